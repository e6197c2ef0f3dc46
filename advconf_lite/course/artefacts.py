"""The command `artefacts`: trains all that ships, from a commit that it names; `--check` makes it once more.

The run behind it is one like any other, but for two things: its images have 8 bits, and weights are rounded as soon as they
are trained, so that every number that ships can be computed again from the files that ship.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advconf_lite import __version__
from advconf_lite.support.errors import BadInput

SEEDS = 0, 1, 2
METHODS = (
    "plain", "adversarial", "plain-2b", "replay", "random-direction", "strong-augmentation",
    "agreement-2", "agreement-15", "entropy-15",
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path, metavar="artefacts", help="the folder that ships")
    parser.add_argument("--work", type=Path, default=Path("runs/artefacts"), metavar="FOLDER", help="of the runs behind it")
    parser.add_argument("--organ", nargs="+", metavar="NAME", help="default: all that the phantom has")
    parser.add_argument("--profile", default="quick", help="as of the command run")
    parser.add_argument("--quality", default="dice", metavar="NAME", help="what the heads predict")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME")
    parser.add_argument("--segmenter-seed", type=int, nargs="+", default=list(SEEDS), metavar="N")
    parser.add_argument("--head-seed", type=int, nargs="+", default=list(SEEDS), metavar="N")
    parser.add_argument("--dirty", action="store_true", help="although files differ from the commit; the manifest says so")
    parser.add_argument(
        "--check",
        nargs="?",
        const="remade",
        choices=("stored", "remade"),
        help="of what is in --out: stored, sums and numbers (seconds); remade, all of it trained again (hours)",
    )


def run(chosen: argparse.Namespace) -> int:
    return _check(chosen) if chosen.check else _make(chosen)


def _check(chosen: argparse.Namespace) -> int:
    from advconf_lite.course.commit import commit, of_one_commit
    from advconf_lite.course.edition import check_sums, read_manifest
    from advconf_lite.course.recheck import check_alike, check_scores
    from advconf_lite.course.shipped import ShippedRun
    from advconf_lite.experiment.profiles import profile_from_config

    manifest = read_manifest(chosen.out)
    check_sums(chosen.out, manifest)
    print(f"{len(manifest['files'])} files are those of commit {manifest['commit']}", flush=True)
    for organ in manifest["organs"]:
        with tempfile.TemporaryDirectory() as place:
            print(check_scores(ShippedRun(Path(place) / "run", organ, progress=False, artefacts=chosen.out)), flush=True)
    if chosen.check == "remade":
        work = chosen.work.with_name(f"{chosen.work.name}-again")
        of_one_commit(work, commit(True, chosen.out, work))  # a check that was killed goes on, on the same code
        for organ, entry in manifest["organs"].items():
            seeds = [list(dict.fromkeys(each)) for each in zip(*entry["pairs"])]
            profile, again = profile_from_config(entry["profile"]), work / "packed"
            make(organ, work / organ, again, profile, entry["qualities"], entry["methods"], *seeds)
            print(check_alike(chosen.out / organ, again / organ), flush=True)
        shutil.rmtree(work)  # the next check makes everything again
    return 0


def _make(chosen: argparse.Namespace) -> int:
    from advconf_lite.course.commit import commit, of_one_commit
    from advconf_lite.course.packing import write_manifest
    from advconf_lite.phantom.organs import ORGANS
    from advconf_lite.support.alone import alone_in

    began, organs = time.time(), chosen.organ or list(ORGANS)
    made_by = {"command": _command(chosen), "commit": commit(chosen.dirty, chosen.out, chosen.work), "version": __version__}
    with alone_in(chosen.work):
        of_one_commit(chosen.work, made_by["commit"])
        entries: dict[str, Any] = {}
        for organ in organs:
            entries[organ] = make(
                organ, chosen.work / organ, chosen.out, chosen.profile, chosen.quality.split(), chosen.methods,
                chosen.segmenter_seed, chosen.head_seed,
            )  # fmt: skip
        size = write_manifest(chosen.out, entries, made_by | {"versions": _versions(chosen.work / organs[0])})
    print(f"{size / 1e6:.1f} MB in {chosen.out}, made in {time.time() - began:.0f} s from commit {made_by['commit']}")
    return 0


def make(
    organ: str, work: Path, out: Path, profile: Any, qualities: Sequence[str], methods: Sequence[str],
    segmenter_seeds: Sequence[int], head_seeds: Sequence[int], progress: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Train what ships of one organ in the folder `work`, as far as it is not there yet, and pack it into `out`/ORGAN.

    Returns:
        The organ's entry of the manifest.

    Raises:
        BadInput: an unknown name, or seeds without the pair (0, 0), whose weights ship.
    """
    from advconf_lite.course.edition import PAIR
    from advconf_lite.course.eight_bits import images_of_8_bits
    from advconf_lite.course.packing import SHIPPED_HEADS, pack, stage_steps
    from advconf_lite.course.pictures import subject_on_all_scanners
    from advconf_lite.experiment.compact import round_file
    from advconf_lite.experiment.run import Run
    from advconf_lite.methods.registry import head_methods

    if PAIR[0] not in segmenter_seeds or PAIR[1] not in head_seeds:
        raise BadInput(f"the weights of segmenter seed {PAIR[0]} and head seed {PAIR[1]} ship; name these seeds, too")
    if missing := [name for name in SHIPPED_HEADS if name not in methods]:
        raise BadInput(f"the heads {' and '.join(SHIPPED_HEADS)} ship; name {missing[0]}, too", argument="methods")
    run, began = Run(work, f"phantom:{organ}", profile, qualities, methods, progress=progress), time.time()
    say = lambda what: print(f"[{time.time() - began:5.0f} s] {organ}: {what}", flush=True)  # noqa: E731
    say("images")
    images_of_8_bits(run, organ)
    pairs = [(s, h) for s in segmenter_seeds for h in head_seeds]
    for s, h in pairs:
        say(f"segmenter seed {s}, head seed {h}")
        run.segmenter(s)
        round_file(run.segmenter_path(s))
        run.stages = tuple(stage_steps(run).values()) if (s, h) == PAIR else ()
        run.heads(s, h)
        for quality in run.qualities:
            for method in head_methods(run.methods):
                round_file(run.head_path(method, quality, s, h))
        run.predict_heads(s, h)
        run.predict_agreement(s, h)
    run.metrics()
    say("packing")
    return pack(run, organ, pairs, subject_on_all_scanners(run), out / organ)


def _command(chosen: argparse.Namespace) -> str:
    """What was typed, as far as it is not the default."""
    words = ["python -m advconf_lite artefacts --out artefacts"]
    for name, default in (("organ", None), ("profile", "quick"), ("quality", "dice"), ("methods", list(METHODS)),
                          ("segmenter_seed", list(SEEDS)), ("head_seed", list(SEEDS))):  # fmt: skip
        value = getattr(chosen, name)
        if value != default:
            value = " ".join(map(str, value)) if isinstance(value, list) else value
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def _versions(run: Path) -> dict[str, str]:
    from advconf_lite.experiment.folder import read_config

    return read_config(run)["versions"]
