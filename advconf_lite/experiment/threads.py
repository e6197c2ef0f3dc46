"""How many threads a run computes with on a CPU.

A network with few channels on small images has too little to share out: several threads are slower than one, and many times
slower where another process wants a core, for all wait for the last. A large network gains. So both are tried once, before
a folder's first training; its config.json keeps the number, for with another one sums round otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from advconf_lite.segmenter import Segmenter
from advconf_lite.training import own_randomness

WORTH_IT = 1.3  # times as fast as one thread
MOST = torch.get_num_threads()  # OMP_NUM_THREADS, else one per core; read before a run has set another number
TRIES = 3  # of which the fastest counts: what else runs on the machine can only slow one down
ENOUGH_S = 1.0  # a longer step is tried once
PIXELS = 2**17  # of a batch at most: eight images of 128 x 128, two of 256 x 256


def fitting_threads(build: Callable[[], Segmenter], batch: int, size: int) -> int:
    """One thread, or `MOST` if they make a step `WORTH_IT` times as fast.

    Args:
        build: makes the network that is to be trained.
        batch, size: images in a step, and pixels a side.
    """
    if MOST == 1:
        return 1
    try:
        segmenter, x = build().train(), torch.zeros(min(batch, PIXELS // size**2 or 1), 1, size, size)
        seconds = {threads: _seconds(segmenter, x, threads) for threads in (1, MOST)}
    except Exception:  # a network that does not take such images; its own stage says why
        return MOST
    finally:
        torch.set_num_threads(MOST)
    return MOST if WORTH_IT * seconds[MOST] <= seconds[1] else 1


def _seconds(segmenter: Segmenter, x: Tensor, threads: int) -> float:
    """Of a pass and its way back."""
    torch.set_num_threads(threads)
    times = []
    with own_randomness(x.device):
        while len(times) <= TRIES and sum(times) < ENOUGH_S:  # the first one warms up, where there are others
            began = time.perf_counter()
            segmenter.logits(x).sum().backward()
            times.append(time.perf_counter() - began)
    return min(times)
