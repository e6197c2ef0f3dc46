"""The paper's Table 1: how a call is timed, what the paper measured and how, and small tables of a run's own networks.

`benchmarks/table1.py` is the full measurement, with the best batch and MONAI's metrics.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from advconf_lite.adversarial import segment
from advconf_lite.agreement import monte_carlo_masks, score_agreement
from advconf_lite.experiment.heads import untrained_head
from advconf_lite.experiment.run import Run
from advconf_lite.head import ConfidenceHead
from advconf_lite.head_training import new_algorithm
from advconf_lite.methods.finetuned import FinetunedHead
from advconf_lite.quality import QUALITIES
from advconf_lite.segmenter import Segmenter, label_map

Way = Callable[[torch.Tensor], object]  # images in, scores out

DIRECT, FINETUNED = "direct prediction", "direct prediction, fine-tuned copy"
PAPER = {  # seconds per image on M&M, NVIDIA A40
    (DIRECT, "dice"): 0.0009, (DIRECT, "surface_dice"): 0.0009, (FINETUNED, "dice"): 0.0018,
    ("agreement N=2", "dice"): 0.0059, ("agreement N=15", "dice"): 0.1011,
    ("agreement N=2", "surface_dice"): 0.0230, ("agreement N=15", "surface_dice"): 1.8964,
}  # fmt: skip
FAULTS = """What the paper's protocol does (facts from its published code), and this one does not:
* direct prediction is a batch's time divided by 15 (throughput), agreement one image's 15 samples (latency)
* the GPU is not synchronised before the clock is read
* no warm-up: the first calls choose and load kernels
* autograd is on, so activations are kept
* the copy from host to device is timed along with the work
* means of 100 repeats without a spread"""


def measure(work: Callable[[], object], seconds: float, device: torch.device) -> list[float]:
    """Seconds of each call: as many as fit into `seconds`, at least three. A warm-up of at least two comes first, of a
    third of `seconds` if they are short: the first calls find their kernels, their memory and the processor's speed."""
    warm: list[float] = []
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        phase = warm if len(warm) < 2 or sum(warm) < seconds / 3 else times
        phase.append(_seconds(work, device))
    return times


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def step_cost(run: Run, segmenter: Segmenter, head: torch.nn.Module, repeats: int = 5) -> dict[str, float]:
    """Milliseconds of a plain step and of a step of Algorithm 1 on as many images, on this machine: medians.

    Both see 2B images: the plain step all of them clean. The head is copied, and stays as it is.
    """
    g, s = run.quality(run.qualities[0]), run.settings
    rows = torch.arange(2 * s.batch_size) % len(run.experiment.train)
    x, y = run.experiment.train.images[rows].to(run.device), run.experiment.train.masks[rows].to(run.device)
    loop, B = new_algorithm(copy.deepcopy(head).train(), g, s), s.batch_size
    works = {
        "plain": lambda: loop.plain_step(segment(segmenter, x, y)),
        "adversarial": lambda: loop.step(segmenter, segment(segmenter, x[:B], y[:B], gradient=True)),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):  # in turns, as machines are noisy
        for name, work in works.items():
            times[name].append(1e3 * _seconds(work, run.device))
    return {name: float(np.median(values[1:])) for name, values in times.items()}  # the first turn warms up


def direct(segmenter: Segmenter, head: ConfidenceHead) -> Way:
    """One pass that gives the masks and the predicted scores."""

    def work(images: torch.Tensor) -> object:
        logits, z = segmenter(images)
        return label_map(logits), head(z)

    return work


def finetuned(segmenter: Segmenter, tuned: FinetunedHead) -> Way:
    """Two passes: the original segmenter gives the masks, the head's own copy the features."""
    return lambda images: (segmenter.masks(images), tuned(tuned.features(images)))


def _agreement(run: Run, segmenter: Segmenter, n: int, name: str) -> Way:
    g = run.quality(name)
    return lambda images: score_agreement(monte_carlo_masks(segmenter, images, n, 0), g)


def cost_table(run: Run, segmenter: Segmenter, samples: Sequence[int] = (2, 15), repeats: int = 5) -> pd.DataFrame:
    """Milliseconds per image for one batch of up to 16 test images, median of a few rounds after one to warm up.

    Each round takes all ways in turn, so that a machine that becomes slower or faster treats them alike.
    """
    x = run.experiment.test.images[:16].to(run.device)
    head = untrained_head(run, segmenter, run.qualities[0], 0).eval()  # time does not depend on weights
    ways: dict[str, tuple[int, Way]] = {
        "segmentation alone": (1, segmenter.masks),
        "segmentation + head": (1, direct(segmenter, head)),
    }
    ways |= {f"agreement, N = {n}, {name}": (n, _agreement(run, segmenter, n, name))
             for n in samples for name in run.qualities}  # fmt: skip
    with torch.inference_mode():
        rounds = [[_seconds(partial(work, x), run.device) for _, work in ways.values()] for _ in range(repeats + 1)]
    median = np.median(rounds[1:], axis=0)
    return pd.DataFrame([{"method": name, "passes": passes, "ms per image": 1e3 * seconds / len(x)}
                         for (name, (passes, _)), seconds in zip(ways.items(), median)])  # fmt: skip


def table1(
    run: Run, segmenter: Segmenter, samples: Sequence[int] = (2, 15), batch: int = 16, seconds: float = 0.3
) -> pd.DataFrame:
    """The paper's Table 1 for this run's network, images and device, from the image on the device to the score.

    Returns:
        One row per way and quality: milliseconds for one image alone (latency: median and quartiles), milliseconds per
        image in a batch of up to `batch` (throughput), and the paper's.
    """
    x = run.experiment.test.images[:batch].to(run.device)
    head = untrained_head(run, segmenter, "dice", 0).eval()  # time does not depend on weights
    tuned = FinetunedHead(head, segmenter).eval()
    # A head predicts what it was trained on; its work is the same, and is timed twice to show it.
    ways: dict[tuple[str, str], Way] = {(DIRECT, name): direct(segmenter, head) for name in QUALITIES}
    ways[FINETUNED, "dice"] = finetuned(segmenter, tuned)
    ways |= {(f"agreement N={n}", name): _agreement(run, segmenter, n, name) for n in samples for name in QUALITIES}
    rows = []
    with torch.inference_mode():
        for (way, name), work in ways.items():
            one, many = (1e3 * np.array(measure(partial(work, images), seconds, run.device)) for images in (x[:1], x))
            low, middle, high = np.percentile(one, [25, 50, 75])
            rows.append({
                "method": way, "quality": name, "ms, one image": f"{middle:.2f} [{low:.2f}, {high:.2f}]",
                f"ms per image, batch of {len(x)}": f"{np.median(many) / len(x):.2f}",
                "paper, ms": f"{1e3 * PAPER[way, name]:.1f}" if (way, name) in PAPER else "",
            })  # fmt: skip
    return pd.DataFrame(rows).set_index(["method", "quality"])
