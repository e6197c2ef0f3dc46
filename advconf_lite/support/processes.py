"""The same function for many jobs, in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BACKENDS


def in_processes(function: Callable, jobs: list[tuple], workers: int) -> Iterator[Any]:
    """`function(*job)` of every job, in order and as they come: in `workers` processes, or here if that is 1.

    Each process has one thread, for one worker per core with a BLAS thread per core each would spend most of its time
    waiting for the others. No more than two jobs per worker are handed out ahead of those that are done. An error of a job
    is raised here; closing the iterator ends the work.
    """
    if workers == 1 or "loky" not in BACKENDS:  # a sandbox that forbids processes: the same work, one after the other
        return (function(*job) for job in jobs)
    with parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        pool = Parallel(return_as="generator", batch_size=1, pre_dispatch="2 * n_jobs")
        return pool(delayed(function)(*job) for job in jobs)
