"""The same function for many jobs, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

AHEAD = 4  # jobs that each other process has been handed


def _call(job: tuple) -> Any:
    function, *arguments = job
    return function(*arguments)


@contextmanager
def _worker_start() -> Iterator[None]:
    """How processes that start inside this block begin: with one thread each, and without the caller's script.

    One worker per core with a BLAS thread per core each would spend most of its time waiting for the others. And spawn
    runs the caller's script again unless it has a main guard, which a student's script has not; the work needs
    nothing of it.
    """
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        vars(main).update(hidden)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def in_processes(function: Callable, jobs: list[tuple], workers: int, helping: bool = False) -> Iterator[Any]:
    """`function(*job)` of every job, in order; in processes when that is possible, else here.

    `helping`: this process is one of the workers: while the others start, which takes them seconds, and whenever the next
    result is not there yet, it does the first job that nobody has begun. An error of a job that it does so ahead is raised
    at once. Not for jobs that are matrix products: this process may have a BLAS thread per core, and would slow the others.
    """
    jobs, mine, done = [(function, *job) for job in jobs], {}, 0  # mine: results of this process, not yet asked for
    if workers > 1 and len(jobs) > 1:
        try:
            # spawn, not fork: the caller may hold threads of torch, which do not survive a fork
            context = multiprocessing.get_context("spawn")
            others = workers - 1 if helping else workers
            with ProcessPoolExecutor(others, mp_context=context) as pool:
                waiting, theirs = iter(enumerate(jobs)), {}

                def hand_out() -> None:
                    # Enough that nobody waits for this process, and not all, for then nothing were left for it to do.
                    while sum(not future.done() for future in theirs.values()) < AHEAD * others:
                        if (job := next(waiting, None)) is None:
                            break
                        theirs[job[0]] = pool.submit(_call, job[1])

                try:
                    with _worker_start():
                        hand_out()
                    for number in range(len(jobs)):
                        while (helping and number not in mine and not theirs[number].done()
                               and (job := next(waiting, None))):  # fmt: skip
                            mine[job[0]] = _call(job[1])
                            hand_out()
                        yield mine.pop(number) if number in mine else theirs.pop(number).result()
                        done += 1
                        hand_out()
                finally:  # when the caller gives up, do not first do all that is waiting
                    pool.shutdown(cancel_futures=True)
            return
        except (BrokenProcessPool, OSError, RuntimeError, ImportError):
            pass  # a sandbox that forbids processes: the same work, one after the other
    for number in range(done, len(jobs)):
        yield mine.pop(number) if number in mine else _call(jobs[number])
