"""The first lines of `run`: what will be done, on what, how long that takes, and where the results go."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence

import torch

from advconf_lite.data.grid import Grid
from advconf_lite.data.slices import read_slice_set
from advconf_lite.experiment.networks import is_trained, new_segmenter
from advconf_lite.experiment.parts import first_look
from advconf_lite.experiment.run import Run
from advconf_lite.methods.registry import head_methods, seeds_needed
from advconf_lite.phantom.organs import find_organ

WIDTH = 79
PIXELS_AT_ONCE = 2**18  # of the step that is timed on a CPU: enough that calls cost little beside them

# What a run costs beside its training steps: each lesson starts Python, draws and is written; a step of all heads takes this
# many steps of the U-Net for the batch that they share, and for each head. Rough: the quick profile was told "about 4
# minutes" on two idle cores, and took 4.6.
SECONDS_PER_LESSON = 10
STEPS_SHARED, STEPS_PER_HEAD = 0.6, 0.35


def first_screen(run: Run, segmenter_seeds: Sequence[int], head_seeds: Sequence[int]) -> str:
    """Nine lines of at most 79 characters, and one for each thing of the grid that a rule decided; all settings are in the
    run's config.json.

    Raises:
        BadInput: the data are not a slice set, its grid cuts off labels, or a network of one's own does not fit.
    """
    data, classes = what_data(run)
    grid, notes = first_look(run.data, run.profile)
    profile, network = run.profile, run.network
    threads = torch.get_num_threads()
    device = f"CPU, {threads} thread{'s' * (threads > 1)}"
    if run.device.type == "cuda":
        device = torch.cuda.get_device_name(run.device)
    trained = f"{profile.segmenter_steps} steps of {profile.segmenter_batch} slices"
    if network:
        trained = f"with weights {network.weights}" if network.weights else trained
    base = "" if profile.base == "paper" else f" on the settings of {profile.base}"
    rows = {
        "data": data,
        "grid": str(grid),
        "profile": f"{profile.name}{base}: {network.factory if network else 'U-Net'} {trained}, "
        f"heads {profile.head_steps} of {profile.settings.batch_size}",
        "device": device,
        "methods": ", ".join(run.methods),
        "qualities": ", ".join(run.qualities),
        "seeds": f"segmenter {_numbers(segmenter_seeds)}; head {_numbers(head_seeds)}",
        "time": _time(run, grid, classes, segmenter_seeds, head_seeds),
        "results": f"{run.folder}; all settings: config.json there",
    }
    lines = [f"{name:11}{textwrap.shorten(text, WIDTH - 11, placeholder=' ...')}" for name, text in rows.items()]
    return "\n".join([*lines, *notes])


def what_data(run: Run) -> tuple[str, int]:
    """The data in words, and how many classes they have, background included."""
    if run.data.startswith("phantom:"):
        organ = find_organ(run.data.split(":")[1])
        counts = ", ".join(f"{n} {role}" for role, n in organ.subjects[run.profile.phantom_subjects].items())
        return f"{run.data}; subjects: {counts} each", len(organ.class_names) + 1
    slices = read_slice_set(run.data)
    subjects = len(slices.table[["domain", "subject"]].drop_duplicates())
    text = f"{slices.info['name']}, {subjects} subjects, {len(slices)} slices, in {run.data}"
    return text, slices.num_classes


def _time(run: Run, grid: Grid, classes: int, segmenter_seeds: Sequence[int], head_seeds: Sequence[int]) -> str:
    """About how many minutes: the steps that are still to do, times the seconds of one, measured now on this machine."""
    segmenter = new_segmenter(run.network, run.profile, classes, 0)
    given = is_trained(segmenter, run.network)
    needed = {seed for s in segmenter_seeds for seed in seeds_needed(s, run.methods)}
    new_segmenters = sum(not given and not run.segmenter_path(s).exists() for s in needed)
    new_heads = sum(
        any(not run.head_path(m, q, s, h).exists() for m in head_methods(run.methods) for q in run.qualities)
        for s in segmenter_seeds
        for h in head_seeds
    )
    if not new_segmenters and not new_heads:
        return "about a minute: everything is trained, only the lessons run again"
    step = seconds_per_step(run, grid, classes)
    of_segmenter, of_heads = training_seconds(run, step)
    seconds = 5 * SECONDS_PER_LESSON + new_segmenters * of_segmenter + new_heads * of_heads
    return f"about {duration(seconds)}; a step of the segmenter takes {step:.2g} s here"


def training_seconds(run: Run, step: float) -> tuple[float, float]:
    """Of one segmenter, and of all heads of one pair of seeds, if none stops early; `step`: seconds of the segmenter's."""
    heads = len(head_methods(run.methods)) * len(run.qualities)
    images = run.profile.settings.batch_size / run.profile.segmenter_batch
    head_steps = run.profile.head_steps * images * (STEPS_SHARED + STEPS_PER_HEAD * heads)
    return step * run.profile.segmenter_steps, step * head_steps


def seconds_per_step(run: Run, grid: Grid, classes: int, steps: int = 3) -> float:
    """Seconds of one training step of the segmenter: the quickest of a few, after one that warms up.

    On a CPU a large batch takes as long as its parts one after the other, so that a part stands for it.
    """
    batch = run.profile.segmenter_batch
    if run.device.type == "cpu":
        batch = min(batch, max(1, PIXELS_AT_ONCE // (grid.rows * grid.columns)))
    segmenter = new_segmenter(run.network, run.profile, classes, 0).to(run.device).train()
    x, taken = torch.zeros(batch, 1, grid.rows, grid.columns, device=run.device, requires_grad=True), []
    for _ in range(steps + 1):
        began = time.perf_counter()
        segmenter.logits(x).mean().backward()
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken[1:]) * run.profile.segmenter_batch / batch


def _numbers(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))


def duration(seconds: float) -> str:
    """Rounded, in words."""
    if seconds < 10:
        return f"{seconds:.0f} seconds" if seconds >= 1.5 else "a second"
    if seconds < 90:
        return f"{round(seconds, -1):.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 3 * 86400 else f"{seconds / 86400:.0f} days"
