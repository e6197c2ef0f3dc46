"""The files of a run's folder that are not plain tables: config.json, history.csv and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from advconf_lite.experiment.profiles import Profile
from advconf_lite.settings import Settings
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically


def read_config(folder: str | Path) -> dict[str, Any]:
    """config.json of a run's folder."""
    path = Path(folder) / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; give the folder of a run made by python -m advconf_lite run") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not readable as JSON ({error}); delete the folder and run again") from None


def profile_values(config: dict[str, Any]) -> dict[str, Any]:
    """Plain values of a run's profile, those of a folder that was made before a field existed included."""
    values = {"method_settings": {}, "trials": 0} | config["profile"]
    values["settings"] = Settings.defaults() | values["settings"]
    if "source" in values["phantom_subjects"]:  # once the same for every organ
        values["phantom_subjects"] = {organ: values["phantom_subjects"] for organ in values["size"]}
    return values


def profile_from_config(config: dict[str, Any]) -> Profile:
    """The Profile that a run was made with."""
    values = profile_values(config)
    settings = dict(values.pop("settings"))
    settings["augmentations"] = tuple(settings["augmentations"])
    values["channels"] = tuple(values["channels"])
    return Profile(**values, settings=Settings(**settings))


def save_weights(module: nn.Module, path: Path) -> None:
    """Weights and buffers as safetensors, written whole or not at all."""
    data = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()})
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def load_weights(module: nn.Module, path: Path) -> None:
    """Read weights into `module`; BadInput if the file does not fit."""
    try:
        module.load_state_dict(safetensors.torch.load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"{path} cannot be read as the weights of this run ({reason}); delete the file and run again to make it anew"
        ) from error


def merge_history(folder: Path, rows: list[dict[str, Any]], **key: Any) -> None:
    """Add rows to history.csv, in place of older ones of the same key (stage, quality, method, seeds)."""
    path = folder / "history.csv"
    new = pd.DataFrame(rows).assign(**key)
    if path.exists():
        old = pd.read_csv(path)
        same = np.logical_and.reduce([old[k] == v if k in old else np.zeros(len(old), bool) for k, v in key.items()])
        new = pd.concat([old[~same], new], ignore_index=True)
    first = ["stage", "quality", "method", "segmenter_seed", "head_seed"]
    new = new[[c for c in first if c in new] + [c for c in new if c not in first]]
    write_atomically(path, lambda temporary: new.to_csv(temporary, index=False))
