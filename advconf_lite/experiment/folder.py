"""A run's folder: what it was made from, and where everything lies. It trains nothing.

config.json                              data, settings, network, versions: all that is needed to read the rest
segmenter-S.safetensors                  the network of segmenter seed S
head-METHOD-QUALITY-sS-hH.safetensors    its heads, of head seed H
seen-METHOD-QUALITY-sS-hH.npz            true scores of the images that a head saw in training: clean, perturbed
history.csv predictions.csv metrics.csv  tables, one key per (stage, quality, method, pair of seeds)
validation.csv                           predictions for validation slices, if something has asked for them
checkpoints/ data/ jobs/ notebooks/ index.html
.alone-WORK                              while a process does it (`support.alone`)
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import monai
import numpy as np
import pandas as pd
import torch
from torch import nn

from advconf_lite import __version__
from advconf_lite.evaluation.predictions import read_predictions
from advconf_lite.experiment.networks import Network, make_quality, new_segmenter
from advconf_lite.experiment.origins import changed, files_of, refuse_changed_data, refuse_missing_data
from advconf_lite.experiment.parts import SHARE, Experiment, check_spec, load_experiment, remarks_on, remarks_on_grid
from advconf_lite.experiment.profiles import Profile, find_profile
from advconf_lite.experiment.threads import MOST, fitting_threads
from advconf_lite.methods.registry import DEFAULT_METHODS, check_methods, parse_methods
from advconf_lite.quality import QUALITIES, Quality, find_measure
from advconf_lite.support.alone import alone_in
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically, write_text

Key = tuple[str, str]  # (method, quality)
USUAL_SIZE = 256  # pixels a side, where the profile does not bound them
HISTORY_COLUMNS = ("quality", "method", "head_seed", "alpha", "predicted_drop", "true_drop", "delta_norm")


def parse_qualities(names: Sequence[str] | str | None) -> list[str]:
    names = [names] if isinstance(names, str) else list(names or QUALITIES)
    return [find_measure(name).name for name in names]


class RunFolder:
    """A folder, the data and the settings that it was made from, and the paths of what lies in it.

    Args:
        folder: made if missing. A folder made from other data (also: the same files with other contents), by another
            version, with another profile or another network is refused.
        data: "phantom:NAME" or a slice-set folder.
        profile: a name in `PROFILES`, or a Profile.
        quality: one of `quality.QUALITIES`, several, or None for all.
        network: one's own in place of our U-Net: a function, its name "package.module:function", or a `Network`.
        read_only: of a run that is there, to use what it has made; its config.json stays as it is.
    """

    shipped: str | None = None  # which edition, of a folder that was filled with what ships (`course/shipped.py`)
    share = SHARE  # of the memory, for the experiment's images; 0: they stay on the disk

    def __init__(
        self,
        folder: str | Path,
        data: str = "phantom:cardiac",
        profile: str | Profile = "quick",
        quality: Sequence[str] | str | None = None,
        methods: Sequence[str] = DEFAULT_METHODS,
        device: str | None = None,
        progress: bool = True,
        network: Network | str | Callable[..., nn.Module] | None = None,
        read_only: bool = False,
    ) -> None:
        self.qualities = parse_qualities(quality)
        self.methods = parse_methods(methods)
        data = str(data)  # a path will do
        if read_only:
            refuse_missing_data(Path(folder), data)
        check_spec(data)
        self.folder = Path(folder)
        self.data = data if data.startswith("phantom:") else str(Path(data))
        self.profile = find_profile(profile) if isinstance(profile, str) else profile
        self.settings = self.profile.settings
        self.network = network if network is None or isinstance(network, Network) else Network.of(network)
        check_methods(self.methods, self.qualities, one_network=bool(self.network and self.network.weights))
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.progress = progress
        self.stages: tuple[int, ...] = ()  # steps of the heads' training after which their weights are kept, too
        self._holding: set[str] = set()
        if read_only:
            refuse_changed_data(self.folder, read_config(self.folder))
        else:
            with self.alone("config"):
                self._write_config()

    def _write_config(self) -> None:
        path = self.folder / "config.json"
        old = read_config(self.folder) if path.exists() else {}
        config = {
            "data": self.data,
            "files": files_of(self.data, old.get("files")),
            "profile": self.profile.as_dict(),
            "network": self.network and self.network.describe(),
            "qualities": self.qualities,
            "methods": self.methods,
            "versions": {
                "advconf_lite": __version__,
                "torch": torch.__version__,
                "monai": monai.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "device": str(self.device),
            "threads": old.get("threads") or self._fitting_threads(),
        }
        if self.shipped:
            config["shipped"] = self.shipped
        if old:
            self._refuse_others(old, config)
            for key in ("qualities", "methods"):  # a folder may be asked for more later
                config[key] = list(dict.fromkeys([*old[key], *config[key]]))
        if config != old:
            write_text(path, json.dumps(config, indent=1) + "\n")
        torch.set_num_threads(min(config["threads"], MOST))  # of this process, from here on

    def _fitting_threads(self) -> int:
        if self.device.type == "cuda":
            return MOST
        build = partial(new_segmenter, self.network, self.profile, num_classes=2, seed=0)
        return fitting_threads(build, self.profile.segmenter_batch, self.profile.max_size or USUAL_SIZE)

    def _refuse_others(self, old: dict[str, Any], config: dict[str, Any]) -> None:
        """BadInput unless the folder was made from what is asked for now."""
        moved = old["data"] != config["data"] and old.get("files") and not changed(old["files"], config["files"])
        if not moved and old["data"] == config["data"]:
            refuse_changed_data(self.folder, old)
        versions = [each.get("versions", {}).get("advconf_lite", __version__) for each in (old, config)]
        differences = [f"version {versions[0]} of this package, and this is {versions[1]}"] if len(set(versions)) > 1 else []
        if old.get("shipped") and not self.shipped:
            differences.append("what ships with the package, whose images are too few to train on")
        for key in ("data", "profile", "network"):
            same = {name: old[key][name] for name in old[key]} if isinstance(old[key], dict) else old[key]
            # What a folder of before does not say of its network is believed, and so are settings that are new since.
            now = {name: config[key].get(name) for name in same} if same and isinstance(config[key], dict) else config[key]
            if key == "profile" and isinstance(same.get("settings"), dict):
                now["settings"] = {name: now["settings"].get(name) for name in same["settings"]}
            if same != now and not (key == "data" and moved):
                differences.append(_difference(key, same, now))
        if differences:
            raise BadInput(
                f"{self.folder / 'config.json'} says that this folder was made with {differences[0]}; "
                "choose another folder, or delete this one",
                argument="folder",
            )

    @contextmanager
    def alone(self, work: str) -> Iterator[None]:
        """The one process that does some work in this folder; another one that does it is waited for, and then its result is
        there: look again. Processes that do other work are not.

        Who does one work may ask for a later one of this list alone, or two processes would wait for each other: config,
        metrics, scores-..., heads-..., segmenter-..., data, tables.
        """
        if work in self._holding:
            yield
            return
        with alone_in(self.folder, wait=True, work=work):
            self._holding.add(work)
            try:
                yield
            finally:
                self._holding.discard(work)

    @cached_property
    def experiment(self) -> Experiment:
        with self.alone("data"):  # it may have to be made
            return load_experiment(self.data, self.folder, self.profile, self.progress, self.share)

    def quality(self, name: str) -> Quality:
        return make_quality(name, self.experiment, self.settings)

    def segmenter_path(self, seed: int) -> Path:
        return self.folder / f"segmenter-{seed}.safetensors"

    def head_path(self, method: str, quality: str, segmenter_seed: int, head_seed: int) -> Path:
        return self.folder / f"head-{method}-{quality}-s{segmenter_seed}-h{head_seed}.safetensors"

    def seen_path(self, method: str, quality: str, segmenter_seed: int, head_seed: int) -> Path:
        return self.folder / f"seen-{method}-{quality}-s{segmenter_seed}-h{head_seed}.npz"

    def stage_path(self, method: str, quality: str, segmenter_seed: int, head_seed: int, step: int) -> Path:
        """A head as it was after so many steps of its training; only for the steps in `stages`."""
        path = self.head_path(method, quality, segmenter_seed, head_seed)
        return path.with_name(f"{path.stem}-step{step}.safetensors")

    def has_head(self, method: str, quality: str, segmenter_seed: int, head_seed: int) -> bool:
        """Whether a head is there, with what it has seen."""
        key = method, quality, segmenter_seed, head_seed
        return self.head_path(*key).exists() and self.seen_path(*key).exists()

    def checkpoint_path(self, name: str) -> Path:
        return self.folder / "checkpoints" / f"{name}.pt"

    @property
    def predictions_path(self) -> Path:
        return self.folder / "predictions.csv"

    @property
    def validation_path(self) -> Path:
        return self.folder / "validation.csv"

    @property
    def history_path(self) -> Path:
        return self.folder / "history.csv"

    def predictions(self) -> pd.DataFrame:
        """predictions.csv, its methods in the order in which the folder was asked for them, whichever were made first."""
        table, asked = read_predictions(self.predictions_path), read_config(self.folder)["methods"]
        place = {name: place for place, name in enumerate(asked)}
        return table.iloc[table["method"].map(place).fillna(len(asked)).argsort(kind="stable")].reset_index(drop=True)

    def history(self) -> pd.DataFrame:
        """history.csv; segmenter rows have no head seed, so that column is pandas' whole numbers with gaps.

        The columns of heads and of Algorithm 1 are there also if nothing in the run has filled them.
        """
        table = read_history(self.history_path)
        missing = [name for name in HISTORY_COLUMNS if name not in table]
        return table.reindex(columns=[*table.columns, *missing]).astype({"head_seed": "Int64"})

    def merge_history(self, rows: list[dict[str, Any]], **key: Any) -> None:
        """Add rows to history.csv, in place of older ones of the same key (stage, quality, method, seeds)."""
        path = self.history_path
        new = pd.DataFrame(rows).assign(**key)
        with self.alone("tables"):
            if path.exists():
                old = read_history(path)
                same = np.logical_and.reduce([old[k] == v if k in old else np.zeros(len(old), bool) for k, v in key.items()])
                new = pd.concat([old[~same], new], ignore_index=True)
            first = ["stage", "quality", "method", "segmenter_seed", "head_seed"]
            new = new[[c for c in first if c in new] + [c for c in new if c not in first]]
            write_atomically(path, lambda temporary: new.to_csv(temporary, index=False))

    def remarks(self) -> list[str]:
        """Sentences that belong beside this run's numbers."""
        slices = self.experiment.slices
        remarks = [
            *remarks_on_grid(slices),
            *self.experiment.notes,
            *remarks_on(self.data, slices.source_domain, self.experiment.reacquired),
        ]
        if self.profile.method_settings:
            chosen = ", ".join(f"{name} ({_named(values)})" for name, values in self.profile.method_settings.items())
            remarks.append(f"Chosen on validation scanners, with {self.profile.trials} trials for each method: {chosen}.")
        return remarks


def read_history(path: Path) -> pd.DataFrame:
    """history.csv; without a row where nothing was trained, as with given weights."""
    try:
        if not path.exists():
            return pd.DataFrame(columns=["stage", "segmenter_seed", "head_seed"])
        return pd.read_csv(path, engine="python")  # floats to their last bit, however often they are read and written again
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} cannot be read as a table ({reason}); delete the folder and run again") from error


def read_config(folder: str | Path) -> dict[str, Any]:
    """config.json of a run's folder."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; give the folder of a run made by python -m advconf_lite run") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not readable as JSON ({error}); delete the folder and run again") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give yourself the right to, or another run") from None
    if not isinstance(config, dict):
        raise BadInput(f"{path} is not the config.json of a run; delete the folder and run again")
    if missing := [key for key in ("data", "profile", "network", "qualities", "methods") if key not in config]:
        raise BadInput(f"{path} was written by another version ({missing[0]} is missing); delete the folder and run again")
    return config


def network_from_config(config: dict[str, Any]) -> Network | None:
    """The network that a run was made with; None for our U-Net."""
    values = config["network"]
    return values and Network(values["factory"], values["weights"], values["layer"])


def _difference(key: str, old: Any, new: Any) -> str:
    """What a folder was made with, where that differs from what is asked for."""
    if key == "data":
        return f"data {old}"
    if not old:
        return "our own U-Net"
    name = {"profile": "name", "network": "factory"}[key]
    if not new or old[name] != new[name]:
        return f"{key} {old[name]}"
    values = [{**each, **each.get("settings", {})} for each in (old, new)]  # a setting is named by itself
    names = [k for k in {**values[0], **values[1]} if k != "settings" and values[0].get(k) != values[1].get(k)]
    words = {"sha256": "the weights' file", "code": "the code"}
    return f"{key} {old[name]} with other values of {', '.join(words.get(k, k) for k in names)}"


def _named(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
