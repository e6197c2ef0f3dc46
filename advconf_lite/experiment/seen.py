"""What heads have seen in training: the true scores of the images, clean and perturbed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advconf_lite.experiment.folder import RunFolder
from advconf_lite.support.errors import BadInput


def seen_scores(run: RunFolder, method: str, quality: str, seeds: Sequence[tuple[int, int]]) -> dict[str, list[float]]:
    """True scores of the images that heads saw in training: {"clean": ..., "perturbed": ...}, all seeds together."""
    files = [_seen(run.seen_path(method, quality, *pair)) for pair in seeds]
    return {half: np.concatenate([file[half] for file in files]) for half in ("clean", "perturbed")}


def _seen(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise BadInput(f"{path} does not exist, which holds what a head has seen in training; train that head first")
    try:
        with np.load(path) as file:
            return {half: file[half] for half in ("clean", "perturbed")}
    except Exception as error:  # a damaged archive fails in many ways
        raise BadInput(f"{path} cannot be read ({error}); delete it and run again") from error
