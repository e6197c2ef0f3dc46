"""A run's lessons, and what they wait for. Where a core is to spare, three processes work ahead of them or beside them:

    training   segmenters, heads
    samples                scores of methods without a head
    others                 lessons tagged "beside"
    lessons    01, 02      03

Nobody tells anybody what is done: whoever wants a result that another process makes waits for its lock, and reads it. So a
process that fails or is killed changes no result, for the lesson then makes what it lacks, and says what is wrong.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count

from advconf_lite.course.notebooks import execute, lesson, lessons
from advconf_lite.course.report import write_page
from advconf_lite.experiment.folder import RunFolder
from advconf_lite.methods.registry import head_methods, sampled_methods
from advconf_lite.support.alone import alone_in
from advconf_lite.support.memory import memory_bytes
from advconf_lite.support.processes import beside, once_there

PROCESSES, EACH = 5, 1e9  # that are at work at the same time, and bytes of each beside the images

Ahead = Callable[[Sequence[str], bool, Sequence[Path]], AbstractContextManager[Any]]


def execute_lessons(run: RunFolder, names: list[str], parameters: dict[str, Any], ahead: Ahead) -> None:
    """Execute lessons by papermill; the executed copies and their pages appear in notebooks/ of the run's folder.

    Args:
        parameters: of the lessons, with `segmenter_seeds` and `head_seeds`.
        ahead: (parts of the run, whether their bars are shown, files) -> a block beside which another process makes these
            parts as soon as the files are there.

    Raises:
        BadInput, PapermillExecutionError: see `execute`.
    """
    began, folder = time.time(), run.folder / "notebooks"
    if not has_room(run):
        _execute(names, folder, parameters, began)
        return
    given, of_samples = lessons("beside"), lessons("dropout")
    others = sorted(set(names) & set(given), key=lambda name: (name not in of_samples, name))  # samples are there first
    heads = product(head_methods(run.methods), run.qualities, parameters["segmenter_seeds"], parameters["head_seeds"])
    trained = all(run.has_head(*head) for head in heads)
    segmenters = [run.segmenter_path(seed) for seed in parameters["segmenter_seeds"]]
    with ExitStack() as processes:
        if not trained:
            processes.enter_context(ahead(["segmenter", "heads"], True, []))
        if sampled_methods(run.methods) and not (trained and run.predictions_path.exists()):
            processes.enter_context(ahead(["samples"], False, segmenters))
        lane = processes.enter_context(beside(once_there, segmenters, _execute, others, folder, parameters, began))
        _execute([name for name in names if name not in others], folder, parameters, began)
        if lane is None or lane.exception():  # which is said where it happens again
            _execute(others, folder, parameters, began)


def has_room(run: RunFolder) -> bool:
    """Whether this machine has a core and memory for work beside the lessons. A GPU is left to one process at a time."""
    if run.device.type != "cpu" or cpu_count() <= torch.get_num_threads():
        return False
    e = run.experiment  # made here, if it is not there yet
    parts = [e.train, e.val, *e.validation.values(), *e.evaluated().values()]
    tensors = [tensor for part in parts for tensor in part.pair() if isinstance(tensor, torch.Tensor)]
    return PROCESSES * (EACH + sum(tensor.nbytes for tensor in tensors)) <= memory_bytes()


def _execute(names: Sequence[str], folder: Path, parameters: dict[str, Any], began: float) -> None:
    for name in names:
        over = "\r\033[K" if sys.stdout.isatty() else ""  # a bar of another process
        print(f"{over}[{time.time() - began:5.0f} s] lesson {name}", flush=True)
        with alone_in(folder, wait=True, work=name):  # for the process beside a run that was killed lives on
            execute(lesson(name), folder / f"{name}.ipynb", parameters)
            write_page(folder / f"{name}.ipynb")
