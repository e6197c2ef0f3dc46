"""A run in parts, each of which is one command beside others: `run --only PART`, as a workflow engine starts them.

    data        the images: made, or read and checked
    segmenter   a network for each segmenter seed
    heads       the heads of each pair of seeds, trained side by side, and their predictions
    samples     the scores of methods without a head, for each pair of seeds
    tables      metrics.csv, and the rows of all tables in one order, whichever part has finished first

A part makes what it finds missing, goes on from a checkpoint, waits for a process that does the same work, and ends in
jobs/PART-sS-hH.json, its record. Where that is missing, the part has not been finished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from advconf_lite.evaluation.predictions import CONSTANT, read_predictions
from advconf_lite.experiment.folder import read_history
from advconf_lite.experiment.networks import Network
from advconf_lite.experiment.profiles import Profile
from advconf_lite.experiment.run import Run
from advconf_lite.support.files import write_atomically, write_text

try:
    import resource
except ImportError:  # Windows, where no seconds of a processor and no memory are recorded
    resource = None

Seeds = Sequence[int]


def make_segmenters(run: Run, segmenter_seeds: Seeds, head_seeds: Seeds) -> None:
    for s in segmenter_seeds:
        run.segmenter(s)


def make_heads(run: Run, segmenter_seeds: Seeds, head_seeds: Seeds) -> None:
    for seeds in product(segmenter_seeds, head_seeds):
        run.heads(*seeds)
        run.predict_heads(*seeds)


def make_samples(run: Run, segmenter_seeds: Seeds, head_seeds: Seeds) -> None:
    for seeds in product(segmenter_seeds, head_seeds):
        run.predict_agreement(*seeds)


def parts_of(
    parts: Sequence[str], progress: bool, segmenter_seeds: Seeds, head_seeds: Seeds, folder: Path, data: str,
    profile: Profile, qualities: Sequence[str], methods: Sequence[str], network: Network | None,
) -> None:  # fmt: skip
    """Some parts in a process of their own, without records; the rest is what the run was made with."""
    run = Run(folder, data, profile, qualities, methods, None, progress, network)
    for part in parts:
        PARTS[part](run, segmenter_seeds, head_seeds)


def make_tables(run: Run, segmenter_seeds: Seeds, head_seeds: Seeds) -> None:
    for seeds in product(segmenter_seeds, head_seeds):
        run.predict_heads(*seeds)
        run.predict_agreement(*seeds)
    with run.alone("tables"):
        for path, read in ((run.predictions_path, read_predictions), (run.history_path, read_history)):
            table = in_order(read(path), run)
            write_atomically(path, lambda temporary, table=table: table.to_csv(temporary, index=False))
    run.metrics()


PARTS: dict[str, Callable[[Run, Seeds, Seeds], Any]] = {
    "data": lambda run, segmenter_seeds, head_seeds: run.experiment,
    "segmenter": make_segmenters,
    "heads": make_heads,
    "samples": make_samples,
    "tables": make_tables,
}


def in_order(table: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Rows of predictions.csv or history.csv by stage and seeds, then by domain, method and quality as the run has them.

    The constant prediction comes last. Rows of the same key keep their order.
    """
    known = {
        "domain": [*run.experiment.evaluated()],
        "method": [*run.methods],
        "quality": [*run.qualities],
        "stage": ["segmenter", "head"],
    }
    keys = pd.DataFrame({"last": (table["method"] == CONSTANT).to_numpy()} if "method" in table else {}, index=table.index)
    for column in ("stage", "segmenter_seed", "head_seed", "domain", "method", "quality"):
        if column in table:
            names = list(dict.fromkeys([*known.get(column, []), *sorted(table[column].dropna().unique())]))
            keys[column] = table[column].map({name: place for place, name in enumerate(names)})
    return table.loc[keys.sort_values(list(keys), kind="stable").index].reset_index(drop=True)


def record_path(folder: Path, part: str, segmenter_seeds: Seeds, head_seeds: Seeds) -> Path:
    """The record of a part: jobs/data.json, jobs/segmenter-s0.json, jobs/heads-s0-h1.json, jobs/tables.json."""
    seeds = {"segmenter": {"s": segmenter_seeds}, "heads": {"s": segmenter_seeds, "h": head_seeds}}
    seeds["samples"] = seeds["heads"]
    name = "-".join([part, *(letter + "+".join(map(str, each)) for letter, each in seeds.get(part, {}).items())])
    return folder / "jobs" / f"{name}.json"


@contextmanager
def recorded(run: Run, part: str, segmenter_seeds: Seeds, head_seeds: Seeds, began: float) -> Iterator[Path]:
    """Write what a part has cost once it has ended well: seconds, those of processors, memory in MB (10^6 bytes).

    A part that went on from a checkpoint, or found its work done, says what was left to do. `began`: when its process did.
    """
    path = record_path(run.folder, part, segmenter_seeds, head_seeds)
    yield path
    record: dict[str, Any] = {
        "part": part,
        "data": run.data,
        "profile": run.profile.name,
        "began": round(began, 2),
        "seconds": round(time.time() - began, 2),
        "device": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
    if resource:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        # Of its children, one after the other, the largest. Linux counts in units of 1024 bytes, macOS in bytes.
        unit = 1024 if Path("/proc").exists() else 1
        record["cpu_seconds"] = round(sum(each.ru_utime + each.ru_stime for each in used), 2)
        record["memory_mb"] = round(sum(each.ru_maxrss for each in used) * unit / 1e6)
    if run.device.type == "cuda":
        record["gpu_mb"] = round(torch.cuda.max_memory_reserved(run.device) / 1e6)
    write_text(path, json.dumps(record, indent=1) + "\n")
