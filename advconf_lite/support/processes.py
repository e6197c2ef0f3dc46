"""The same function for many jobs, in several processes."""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor, wait
from joblib.parallel import BACKENDS

from advconf_lite.support.command_line import ignored

IDLE_S = 60  # after which a process that is left alone ends, as when this one was killed
LOOK_S = 0.25  # between two looks for a file
AHEAD = 4  # jobs per process that are handed out and not done
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def in_processes(function: Callable, jobs: list[tuple], workers: int, helping: bool = False) -> Iterator[Any]:
    """`function(*job)` of every job, in order and as they come: in `workers` processes, or here if that is 1.

    Each process has one thread, for one worker per core with a BLAS thread per core each would spend most of its time
    waiting for the others. No more than `AHEAD` jobs per worker are handed out ahead of those that are done. An error of a
    job is raised here; closing the iterator ends the work, and returns when what had been begun is done.

    Args:
        helping: this process is one of the workers: while the others start, which takes them seconds, and whenever the
            next result is not there yet, it does the first job that nobody has begun. Not for jobs that are matrix
            products: this process may have a BLAS thread per core, and would slow the others.
    """
    others = workers - helping
    if workers == 1 or "loky" not in BACKENDS:  # a sandbox that forbids processes: the same work, one after the other
        yield from (function(*job) for job in jobs)
        return
    waiting = iter(enumerate(jobs))
    mine: dict[int, Any] = {}  # results of this process that nobody has asked for yet
    theirs: dict[int, Future] = {}

    def hand_out() -> None:
        # Not by joblib.Parallel, which leaves its caller nothing to do while it waits.
        while sum(not future.done() for future in theirs.values()) < AHEAD * others:
            if (job := next(waiting, None)) is None:
                return
            # Processes start here; their initializer comes later than an interrupt may.
            with ignored(signal.SIGINT), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # loky's, that it waits for the end of other work before it changes its size
                pool = get_reusable_executor(others, None, IDLE_S, initializer=_leave_ctrl_c_to_us, env=ONE_THREAD)
                theirs[job[0]] = pool.submit(function, *job[1])

    try:
        first = next(waiting, None) if helping else None  # that is there before any process is
        hand_out()
        if first is not None:
            mine[first[0]] = function(*first[1])
        for number in range(len(jobs)):
            while helping and number in theirs and not theirs[number].done() and (job := next(waiting, None)):
                mine[job[0]] = function(*job[1])
                hand_out()
            try:
                result = mine.pop(number) if number in mine else theirs[number].result()
            except BrokenProcessPool:  # a process was killed, as by a machine that is short of memory: others will start
                result = function(*jobs[number])
            theirs.pop(number, None)
            yield result
            hand_out()
    finally:
        wait([future for future in theirs.values() if not future.cancel()])


@contextmanager
def beside(function: Callable, *arguments: Any) -> Iterator[Future | None]:
    """`function(*arguments)` in another process, with one thread, while the block runs, and its future; whether it works is
    not asked.

    If the block fails or is interrupted, so is the process. None where a sandbox forbids processes: nobody has done it.
    """
    if "loky" not in BACKENDS:
        yield None
        return
    pool = ProcessPoolExecutor(1, initializer=_leave_ctrl_c_to_us, env=ONE_THREAD)
    with ignored(signal.SIGINT):  # of the process that starts here
        future = pool.submit(function, *arguments)
    done = False
    try:
        yield future
        done = True
    finally:
        pool.shutdown(wait=True, kill_workers=not done)


def once_there(paths: Sequence[Path], function: Callable, *arguments: Any) -> Any:
    """`function(*arguments)` as soon as all files are there: for `beside`, whose process can have started by then."""
    while not all(path.exists() for path in paths):
        time.sleep(LOOK_S)
    return function(*arguments)


def _leave_ctrl_c_to_us() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
