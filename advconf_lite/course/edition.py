"""The folder artefacts/: where it is, what its manifest says, and whether its files are those that were written.

manifest.json             commit, command, versions, settings, stages, and the sum of every file
ORGAN/segmenter-0.safetensors, head-METHOD-QUALITY-s0-h0*.safetensors   weights as `experiment/compact.py` packs them
ORGAN/seen-*.npz, history.csv.xz                                          what those heads saw, and their training
ORGAN/predictions.csv.xz, metrics.csv                                      all test subjects, all pairs of seeds
ORGAN/images.npy.xz, masks.npy.xz, slices.csv, dataset.json                a dozen of the subjects, as a slice set
ORGAN/one.npz                                                              one more patient, in every scanner
"""

from __future__ import annotations

import io
import json
import lzma
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from advconf_lite.support.command_line import PACKAGE
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256, write_atomically

CLONE = Path(__file__).resolve().parents[2]
MANIFEST = "manifest.json"
FORMAT = 1
PAIR = 0, 0  # segmenter and head seed of the weights that ship
TRAIN = 'or take use = "train"'


@dataclass(frozen=True)
class Stage:
    """A head at one time of its training.

    Attributes:
        name: "early" (the end of the warm-up, at which `plain` and `adversarial` are one and the same head), "middle" or
            "end" (the finished head: the best on validation).
        step: optimiser steps until then.
        alpha: of Algorithm 1 at that step; None for a method that has none.
    """

    method: str
    quality: str
    name: str
    step: int
    alpha: float | None
    file: str


def find_artefacts() -> Path:
    """The folder: that of the clone; else where the wheel has put it, share/advconf-lite/artefacts.

    Raises:
        BadInput: neither has it.
    """
    if (CLONE / "pyproject.toml").exists():
        if (CLONE / "artefacts" / MANIFEST).exists():
            return CLONE / "artefacts"
        raise BadInput(
            f"this clone has no trained artefacts; get the folder {CLONE / 'artefacts'} from the repository, or make it "
            f"with python -m advconf_lite artefacts, which takes hours, {TRAIN}"
        )
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.match(f"artefacts/{MANIFEST}"):
            return Path(file.locate()).resolve().parent
    raise BadInput(f"this installation has no trained artefacts; install {PACKAGE} again with pip, {TRAIN}")


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json.

    Raises:
        BadInput: it is missing, damaged, or of another format.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise BadInput(f"{path} has format {manifest['format']}, and this version reads {FORMAT}; {_again(folder)}")
        manifest["organs"], manifest["files"], manifest["commit"]  # noqa: B018 - are they there?
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} cannot be read ({' '.join(str(error).split())}); {_again(folder)}") from None
    return manifest


def check_sums(folder: Path, manifest: dict[str, Any], organ: str | None = None) -> None:
    """BadInput that names the first file (of an organ, or of all) that is missing or is not what was written."""
    for name, said in manifest["files"].items():
        if organ is None or name.startswith(f"{organ}/"):
            path = folder / name
            try:
                damaged = sha256(path) != said["sha256"]
            except OSError as error:
                raise BadInput(f"{path} cannot be read ({error.strerror}); {_again(folder)}") from None
            if damaged:
                raise BadInput(f"{path} is damaged: its SHA-256 is not that of {MANIFEST}; {_again(folder)}")


def _again(folder: Path) -> str:
    way = "restore it with git checkout" if folder.parent == CLONE else f"install {PACKAGE} again with pip"
    return f"{way}, {TRAIN}"


def read_array(path: Path) -> np.ndarray:
    """uint8 (N, H, W) of a file that `write_array` has written."""
    steps = np.load(io.BytesIO(lzma.decompress(path.read_bytes())))
    return np.cumsum(steps, axis=2, dtype=np.uint8)


def write_array(array: np.ndarray, path: Path) -> None:
    """uint8 (N, H, W) as differences from pixel to pixel, which pack better, without loss."""
    buffer = io.BytesIO()
    np.save(buffer, np.diff(array, axis=2, prepend=np.uint8(0)))
    data = lzma.compress(buffer.getvalue(), preset=9)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
