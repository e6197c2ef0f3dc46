"""The same function for several things that do not wait for each other, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from joblib import cpu_count

MOST = 4  # at a time: each holds what it needs for its way back, which is gigabytes for large images


@contextmanager
def side_by_side(device: torch.device) -> Iterator[Callable]:
    """`map`, in as many threads as there are cores for, `MOST` at most; each computes with torch's own number, and the
    results come in order. On a GPU, which does one thing after the other anyway, it is Python's own.

    For work of milliseconds in torch, which leaves Python to the others meanwhile. What is local to a thread in torch, such
    as the modes of autograd and autocast, is that of a new one.
    """
    threads = min(cpu_count() // torch.get_num_threads(), MOST) if device.type == "cpu" else 1
    if threads < 2:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map
