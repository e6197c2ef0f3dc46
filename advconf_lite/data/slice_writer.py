"""Writing the files of a slice set: whole or not at all, block by block."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.data.slice_checks import FILES, IMAGE_TYPE, MASK_TYPE, load_and_check, recover, replaced
from advconf_lite.data.slice_info import COLUMNS, complete
from advconf_lite.data.slice_input import as_labels, as_pixels, as_rows
from advconf_lite.support.errors import BadInput, cannot_write
from advconf_lite.support.files import sha256


class SliceSetWriter:
    """Writes a slice set block by block, for sets that do not fit into memory:

        with SliceSetWriter(folder, info) as writer:
            writer.add(images, masks, rows)  # (n, H, W), (n, H, W) or None, n rows of slices.csv

    Everything goes to a hidden sibling folder, is checked as `read_slice_set` checks it, and is then renamed.
    Whoever looks into `folder` finds what was there before or the whole new set. `info` may be changed until
    the block ends. `unfinished_in` is another folder, on the same disk, for the hidden one: that of a caller who clears
    up after runs that were killed.

    Raises:
        BadInput: what `read_slice_set` would refuse, a full disk, or a folder that holds something other than
            a slice set.
    """

    def __init__(self, folder: str | Path, info: dict, unfinished_in: Path | None = None):
        self.folder, self.info = Path(folder), info
        self._place = unfinished_in or self.folder.parent
        self._tables: list[pd.DataFrame] = []
        self._files: dict[str, io.BufferedWriter] = {}
        self._shape: tuple[int, int] | None = None

    def __enter__(self) -> SliceSetWriter:
        recover(self.folder)
        refuse_to_overwrite(self.folder)
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            _remove_left_over(self.folder)
            self._part = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", suffix=".part", dir=self._place))
        except OSError as error:
            raise self._disk_error(error) from error
        return self

    def add(self, images: np.ndarray, masks: np.ndarray | None, rows: pd.DataFrame | list[dict]) -> None:
        """Append n slices."""
        table = as_rows(rows, self.folder)
        images = as_pixels(images, "images", self.folder)
        if self._shape is None:
            self._shape, self._has_masks = images.shape[1:], masks is not None
        arrays = [("images.npy", images, IMAGE_TYPE)]
        if masks is not None:
            arrays.append(("masks.npy", as_labels(masks, self.folder), MASK_TYPE))
        same = all(array.shape == (len(table), *self._shape) and array.ndim == 3 for _, array, _ in arrays)
        if not same or self._has_masks != (masks is not None):
            shapes = ", ".join(f"{name} {array.shape}" for name, array, _ in arrays)
            raise BadInput(
                f"cannot write {self.folder}: a block of {len(table)} rows has {shapes}, where slices of "
                f"{self._shape} {'with' if self._has_masks else 'without'} masks are expected; "
                "give all slices one size"
            )
        try:
            for name, array, dtype in arrays:
                if name not in self._files:
                    self._files[name] = open(self._part / name, "wb")
                    self._files[name].write(_npy_header(0, self._shape, dtype))
                self._files[name].write(np.ascontiguousarray(array, dtype=dtype).data)
        except OSError as error:
            raise self._disk_error(error) from error
        self._tables.append(table)

    def set_column(self, name: str, values: Sequence) -> None:
        """Give all rows so far values that are known only at the end, such as a split over all slices."""
        starts = np.cumsum([0, *(len(table) for table in self._tables)])
        for table, start in zip(self._tables, starts):
            table[name] = list(values[start : start + len(table)])

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as full:
            raise self._disk_error(full) from full
        finally:
            for file in self._files.values():
                try:
                    file.close()
                except OSError:
                    pass  # a full disk once more, while its error is already on its way
            shutil.rmtree(self._part, ignore_errors=True)

    def _finish(self) -> None:
        if not self._tables:
            raise BadInput(f"cannot write {self.folder}: there is not a single slice; check the source")
        table = pd.concat(self._tables, ignore_index=True)
        extra = [column for column in table if column not in COLUMNS]
        for name, file in self._files.items():
            # The length of an .npy header does not change with the number of rows, so it can be written last.
            file.seek(0)
            file.write(_npy_header(len(table), self._shape, IMAGE_TYPE if name == "images.npy" else MASK_TYPE))
            file.flush()
        info = complete(self.info, table, self.folder / "dataset.json")
        with open(self._part / "slices.csv", "w", encoding="utf-8", newline="") as file:
            table[COLUMNS + extra].to_csv(file, index=False, lineterminator="\n")
            _flush(file)
        with ThreadPoolExecutor() as threads:  # sums while the disk writes: 1 GB takes 1.1 s, one after the other 1.9 s
            written = threads.map(_flush, self._files.values())
            names = [*self._files, "slices.csv"]
            sums = threads.map(sha256, [self._part / name for name in names])
            # In dataset.json and not in a file beside it: one rename covers both, so no set is without its checksums.
            info["sha256"] = dict(zip(names, sums))
            list(written)  # an error of the disk is raised here
        for file in self._files.values():
            file.close()  # Windows renames no folder with an open file
        with open(self._part / "dataset.json", "w", encoding="utf-8") as file:
            file.write(json.dumps(info, indent=2, ensure_ascii=False) + "\n")
            _flush(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a slice-level split warns its readers; its writer asked for it
            load_and_check(self._part, shown=self.folder)
        os.chmod(self._part, 0o755)  # mkdtemp makes 0700
        old = replaced(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            os.replace(self.folder, old)
        os.replace(self._part, self.folder)
        shutil.rmtree(old, ignore_errors=True)

    def _disk_error(self, error: OSError) -> BadInput:
        return cannot_write(self.folder, error)


def refuse_to_overwrite(folder: Path) -> None:
    """Only a slice set, or nothing, may be replaced.

    Raises:
        BadInput: the folder holds anything else.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file; choose another folder", argument="folder")
        held = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise cannot_write(folder, error) from error
    if held and not ({"images.npy", "slices.csv", "dataset.json"} <= held <= set(FILES)):
        raise BadInput(
            f"{folder} holds something other than a slice set ({sorted(held - set(FILES) or held)[0]}); "
            "choose another folder",
            argument="folder",
        )


def _npy_header(number: int, shape: tuple[int, int], dtype: np.dtype) -> bytes:
    buffer = io.BytesIO()
    described = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (number, *map(int, shape)),
    }
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())  # a rename may otherwise reach the disk before the contents do


def _remove_left_over(folder: Path) -> None:
    """What killed writers left behind; an hour without a write, so that no living writer is touched."""
    for part in folder.parent.glob(f".{folder.name}-*.part"):
        newest = max((path.stat().st_mtime for path in [part, *part.iterdir()]), default=0.0)
        if time.time() - newest > 3600:
            shutil.rmtree(part, ignore_errors=True)
