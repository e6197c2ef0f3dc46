"""The same function for many jobs, in several processes."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BACKENDS

from advconf_lite.support.command_line import ignored

IDLE_S = 60  # after which a process that is left alone ends, as when this one was killed


def in_processes(function: Callable, jobs: list[tuple], workers: int) -> Iterator[Any]:
    """`function(*job)` of every job, in order and as they come: in `workers` processes, or here if that is 1.

    Each process has one thread, for one worker per core with a BLAS thread per core each would spend most of its time
    waiting for the others. No more than two jobs per worker are handed out ahead of those that are done. An error of a job
    is raised here; closing the iterator ends the work.
    """
    if workers == 1 or "loky" not in BACKENDS:  # a sandbox that forbids processes: the same work, one after the other
        yield from (function(*job) for job in jobs)
        return
    how = {"inner_max_num_threads": 1, "initializer": _leave_ctrl_c_to_the_parent, "idle_worker_timeout": IDLE_S}
    with parallel_config("loky", n_jobs=workers, **how):
        pool = Parallel(return_as="generator", batch_size=1, pre_dispatch="2 * n_jobs")
    with ignored(signal.SIGINT):  # processes start here; their initializer comes later than an interrupt may
        outcomes = pool(delayed(function)(*job) for job in jobs)
    try:
        # Not "yield from", which would close `outcomes` before the warning is silenced.
        for outcome in outcomes:  # noqa: UP028
            yield outcome
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib's, that a caller who gives up leaves work undone
            outcomes.close()


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
