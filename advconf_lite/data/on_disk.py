"""Pixels that stay on the disk: what a network is fed with, made from the stored slices when rows of it are asked for."""

from __future__ import annotations

import copy
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor


class OnDisk:
    """Stands where a tensor (N, ...) would stand that does not fit into memory. An index gives the rows as a tensor; the
    same bits as those of `SliceSet.tensors`, whichever rows are read together.

    What else a tensor can (comparisons, sums, torch's functions) works too, and reads all of it.

    Args:
        read: rows (n,) -> their tensor (n, ...), on the CPU.
        like: one row or more of it, by which type and shape are known.
    """

    def __init__(self, read: Callable[[np.ndarray], Tensor], rows: np.ndarray, like: Tensor) -> None:
        self._read, self._rows = read, rows
        self.shape, self.ndim = torch.Size((len(rows), *like.shape[1:])), like.ndim
        self.dtype, self.device = like.dtype, torch.device("cpu")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Tensor:
        first, *rest = index if isinstance(index, tuple) else (index,)
        rows = self._rows[first.cpu().numpy() if isinstance(first, Tensor) else first]
        found = self._read(np.atleast_1d(rows)).to(self.device)[(slice(None), *rest)]
        return found if np.ndim(rows) else found[0]

    def split(self, size: int) -> Iterator[Tensor]:
        return (self[start : start + size] for start in range(0, len(self), size))

    def to(self, device: torch.device | str) -> OnDisk:
        """The same, whose rows come on another device."""
        moved = copy.copy(self)
        moved.device = torch.device(device)
        return moved

    def long(self) -> OnDisk:
        assert self.dtype == torch.int64
        return self

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    @classmethod
    def __torch_function__(cls, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return function(*_read_whole(args), **{name: _read_whole(value) for name, value in (kwargs or {}).items()})

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[:].cpu(), dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # as those that copying asks for before there is anything
            raise AttributeError(name)
        return getattr(self[:], name)

    def __eq__(self, other: Any) -> Any:
        return self[:] == other

    def __gt__(self, other: Any) -> Tensor:
        return self[:] > other

    __hash__ = None


def _read_whole(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_read_whole(each) for each in value)
    return value[:] if isinstance(value, OnDisk) else value


def forget(array: Any) -> None:
    """Let the system have back the memory that a mapped file's pages take, in which they count as this process's own."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
