"""What every lesson's first cells need: the run's folder, wherever the notebook was opened."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import torch

from advconf_lite.course.edition import find_artefacts, read_manifest
from advconf_lite.course.parameters import refuse_wrong_parameters
from advconf_lite.course.pictures import one_per_domain as one_per_domain  # lessons find it here
from advconf_lite.course.place import go_home
from advconf_lite.course.shipped import ShippedRun
from advconf_lite.experiment.folder import network_from_config, read_config
from advconf_lite.experiment.networks import Network
from advconf_lite.experiment.profiles import PROFILES, Profile
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.seen import seen_scores as seen_scores  # lessons find it here
from advconf_lite.methods.registry import DEFAULT_METHODS, parse_methods
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.errors import BadInput


def start(
    data: str = "phantom:prostate",
    profile: str = "quick",
    out: str = "",
    quality: str = "",
    methods: str = "",
    use: str = "train",
) -> Run:
    """The run in `out`, and one line that says so.

    Relative paths count from the repository, also when Jupyter was started in notebooks/: one lesson must find what
    another has made. `quality` and `methods` are names separated by spaces; none: all that there are.

    Args:
        out: empty, and it is the folder of `folder_of`.
        use: "train", and what the folder lacks is trained; or "shipped", what the course brings along, ready in a second
            and laid out in a folder of its own below `out`. Methods that do not ship are left out then, and a line says so.

    Raises:
        BadInput: a parameter that is none; or what is asked for does not ship.
    """
    refuse_wrong_parameters()
    given = {"data": data, "profile": profile, "out": out, "quality": quality, "methods": methods, "use": use}
    for name, value in given.items():
        if not isinstance(value, str | Path) or (name in ("data", "profile") and not str(value).strip()):
            raise BadInput(f"parameter {name} is {value!r}; give text, and several names separated by spaces")
    go_home()
    # MONAI announces changes of its next release; a student can do nothing about them.
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    out = str(out).strip() or folder_of(str(data), profile)
    if use not in ("train", "shipped"):
        raise BadInput(f"parameter use is {use!r}; give train or shipped")
    if use == "shipped":
        return _shipped(str(data), profile, Path(out), quality, methods)
    made, network = _as_made(profile, Path(out))
    run = Run(out, data, made, quality.split() or None, methods.split() or DEFAULT_METHODS, network=network)
    tuned = f" (settings of {run.profile.trials} trials for each method)" if run.profile.trials else ""
    print(f"data {run.data}, profile {run.profile.name}{tuned}, results in {out}, on {run.device}")
    return run


def start_at_once(data: str, profile: str, out: str, quality: str, methods: str, use: str = "shipped") -> Run:
    """As `start` with what ships; where nothing ships for what is asked, it is trained, and a line says why."""
    if use == "shipped":
        try:
            return start(data, profile, out, quality, methods, use)
        except BadInput as error:
            given = start(data, profile, out, quality, methods, "train")  # refuses what no run could be
            print(f"Not shipped ({str(error).split(';')[0]}), so what the lesson needs is trained here, once.")
            return given
    return start(data, profile, out, quality, methods, use)


def folder_of(data: str, profile: str) -> str:
    """Where a lesson's run lies that names no folder, as runs/prostate-quick: another organ or profile is one edit."""
    return f"runs/{Path(data.removeprefix('phantom:').rstrip('/')).name}-{profile}"


def _shipped(data: str, profile: str, out: Path, quality: str, methods: str) -> Run:
    kind, _, organ = data.partition(":")
    if kind != "phantom":
        raise BadInput(f'of {data} nothing ships; take data = "phantom:prostate", or take use = "train"')
    entry = read_manifest(find_artefacts())["organs"].get(organ, {})
    ships = entry.get("profile", {}).get("name", profile)
    if ships != profile:  # before a folder is filled
        raise BadInput(f'what ships is of profile {ships}, not {profile}; take that one, or take use = "train"')
    asked, known = parse_methods(methods.split()), entry.get("methods", [])
    there = [name for name in asked if name in known]
    run = ShippedRun(out / f"shipped-{organ}", organ, quality.split(), there or asked)
    images = sum(len(subjects) for subjects in run.entry["subjects"].values())
    print(
        f"data {run.data}, profile {run.profile.name}, shipped (trained at commit {run.manifest['commit'][:12]}): scores of "
        f"all test subjects, images of {images} subjects, in {run.folder}, on {run.device}; nothing is trained here"
    )
    if away := [name for name in asked if name not in known]:
        print(f'Left out, for they do not ship: {", ".join(away)}; with use = "train" they are trained')
    return run


def _as_made(profile: str, folder: Path) -> tuple[str | Profile, Network | None]:
    """What `run` gave this folder and no lesson's parameter can name: settings of `--settings` and `--tuned`, a network."""
    if profile not in PROFILES or not (folder / "config.json").exists():
        return profile, None
    config = read_config(folder)
    made = config["profile"]
    if made["name"] == profile:
        tuned = {name: made[name] for name in ("method_settings", "trials")}
        profile = replace(PROFILES[profile].on(made["base"]), **tuned)
    return profile, network_from_config(config)


def pick_slice(run: Run, segmenter: Segmenter, at_least: float = 0.85) -> int:
    """A row of the source's test slices that shows every class and is segmented well: there is something to lose."""
    part = run.experiment.test
    scores = run.quality(run.qualities[0])(segmenter.masks(part.images.to(run.device)), part.masks.to(run.device))
    shown = torch.stack([(part.masks == k).flatten(1).any(1) for k in range(1, run.experiment.num_classes)], 1).all(1)
    score = scores.nan_to_num(1.0).mean(1).cpu()
    good = torch.nonzero(shown & (score >= at_least)).flatten()
    return int(good[len(good) // 2]) if len(good) else int((score + shown).argmax())
