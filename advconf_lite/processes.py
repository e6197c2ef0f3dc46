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


def in_processes(function: Callable, jobs: list[tuple], workers: int) -> Iterator[Any]:
    """`function(*job)` of every job, in order; in processes when that is possible, else here."""
    done, jobs = 0, [(function, *job) for job in jobs]
    if workers > 1:
        try:
            # spawn, not fork: the caller may hold threads of torch, which do not survive a fork
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(workers, mp_context=context) as pool:
                with _worker_start():
                    results = pool.map(_call, jobs)
                try:
                    for result in results:
                        yield result
                        done += 1
                finally:  # when the caller gives up, do not first do all that is waiting
                    pool.shutdown(cancel_futures=True)
            return
        except (BrokenProcessPool, OSError, RuntimeError, ImportError):
            pass  # a sandbox that forbids processes: the same work, one after the other
    for job in jobs[done:]:
        yield _call(job)
