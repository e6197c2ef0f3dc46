"""What a step of each method costs: passes of the segmenter, counted, and seconds on this machine.

A forward pass of B images counts 1, in units of the batch B of clean images, and a backward pass to the images 1 too, for
the weights are frozen; in the training of a segmenter, whose weights are not, it counts 2. What all heads of a turn
share, the pass of the clean batch, counts for each of them; the work of the head whose perturbations a control replays does
not. Weights do not matter for either, so nothing needs to be trained.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from advconf_lite.augmentation import Augmenter
from advconf_lite.experiment.heads import built, own_profile, untrained_head
from advconf_lite.experiment.networks import new_segmenter
from advconf_lite.experiment.parts import to_device
from advconf_lite.experiment.run import Run
from advconf_lite.head_training import HeadMethod, Learner, new_turn
from advconf_lite.methods.passes import PassMethod
from advconf_lite.methods.registry import find_method, head_methods, sampled_methods
from advconf_lite.methods.sampled import sampled_scores
from advconf_lite.segmenter import Segmenter
from advconf_lite.training import train_segmenter

TRAINING = 3  # passes of a step that changes the segmenter: forward, and back to images and weights
SOME = 16  # images


class Passes:
    """Counts the images that go through a network, and the gradients that come back."""

    def __init__(self, net: nn.Module) -> None:
        self.forward = self.backward = 0
        first = next(module for module in net.modules() if not list(module.children()) and list(module.parameters()))
        self._hook = first.register_forward_hook(self._through)

    def _through(self, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        self.forward += len(output)
        if output.requires_grad:
            output.register_hook(self._back)

    def _back(self, gradient: Tensor) -> None:
        self.backward += len(gradient)

    def taken(self) -> int:
        """Passes times images since this was last asked."""
        count, self.forward, self.backward = self.forward + self.backward, 0, 0
        return count

    def close(self) -> None:
        self._hook.remove()


def step_costs(run: Run, of_segmenter: bool = True, repeats: int = 3) -> pd.DataFrame:
    """Columns what, quality, seconds, passes: of one step of a method or of the "segmenter", of one of its "validation"s, of
    "scoring" an image, and of "sampling" one for all qualities."""
    segmenter = new_segmenter(run.network, run.profile, run.experiment.num_classes, seed=0).to(run.device)
    rows = _of_segmenter(run, segmenter) if of_segmenter else []
    segmenter.freeze()
    for quality in run.qualities:
        for name in head_methods(run.methods):
            rows.append({"what": name, "quality": quality, **of_step(run, segmenter, name, quality, repeats)})
    images = run.experiment.train.images[:SOME]
    seconds = _timed(lambda: segmenter.masks(images.to(run.device))) / len(images)
    rows.append({"what": "scoring", "quality": "", "seconds": seconds, "passes": 1})
    if sampled := sampled_methods(run.methods):
        qualities = [run.quality(quality) for quality in run.qualities]
        seconds = _timed(lambda: sampled_scores(segmenter, images, sampled, qualities, 0)) / len(images)
        passes = max(method.samples for method in sampled)
        rows.append({"what": "sampling", "quality": " ".join(run.qualities), "seconds": seconds, "passes": passes})
    return pd.DataFrame(rows)


def _of_segmenter(run: Run, segmenter: Segmenter) -> list[dict]:
    """A training step, and a validation, apart."""
    pairs = [to_device(part, run.device) for part in (run.experiment.train, run.experiment.val)]

    def train(steps: int) -> float:
        schedule = replace(run.profile, segmenter_steps=steps, steps_per_epoch=steps)
        return _timed(lambda: train_segmenter(segmenter, *pairs, schedule, 0, None, False))

    train(1)  # kernels and memory are found
    one, five = train(1), train(5)
    step = max((five - one) / 4, 1e-9)
    passes = TRAINING * run.profile.segmenter_batch / run.settings.batch_size
    return [
        {"what": "segmenter", "quality": "", "seconds": step, "passes": passes},
        {"what": "validation", "quality": "", "seconds": max(one - step, 0.0), "passes": 0},
    ]


def of_step(run: Run, segmenter: Segmenter, name: str, quality: str, repeats: int) -> dict[str, float]:
    method = find_method(name)
    learner = _learner(run, segmenter, name, quality)
    learners = [learner]
    if method.pair:
        learner.pair = _learner(run, segmenter, method.pair, quality)
        learners = [learner.pair, learner]
    train = to_device(run.experiment.train, run.device)
    augment, counted, times = Augmenter(run.settings.augmentations), Passes(segmenter.net), []
    for step in range(1 + repeats):  # the first one warms up
        turn = new_turn(segmenter, learners, train, augment, own_profile(name, run.profile), 0, step)
        seconds = passes = 0
        if learner.pair:  # its own work does not count, and the pass that both share does
            seconds = _timed(lambda turn=turn: turn.clean)
            passes = counted.taken()
            learner.pair.method.step(turn, learner.pair)
            counted.taken()
        seconds += _timed(lambda turn=turn: method.step(turn, learner))
        passes += counted.taken()
        times.append(seconds)
    counted.close()
    return {"seconds": sorted(times[1:])[repeats // 2], "passes": passes / len(turn.x)}


def _learner(run: Run, segmenter: Segmenter, name: str, quality: str) -> Learner:
    """A head that begins without a warm-up, of which there is none to pay for in most of a training."""
    head = built(run, segmenter, (name, quality), 0, untrained_head(run, segmenter, quality, 0)).train()
    settings = own_profile(name, run.profile).settings
    slices, method = run.experiment.slices, find_method(name)
    learner = Learner(method, head, run.quality(quality), settings, slices.organ, run.experiment.spacing_mm)
    learner.settings = replace(settings, warmup_batches=0)
    return learner


def _timed(work) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def of_method(costs: pd.DataFrame, run: Run, name: str, quality: str) -> dict[str, float]:
    """steps, passes_a_step, training_passes (those of an ensemble's other segmenters too), passes_in_use, an image."""
    method, step = find_method(name), costs[(costs["what"] == name) & (costs["quality"] == quality)]
    if isinstance(method, HeadMethod):
        steps, passes = own_profile(name, run.profile).head_steps, float(step["passes"].iloc[0])
        seconds = float(step["seconds"].iloc[0])
        return {"steps": steps, "passes_a_step": passes, "training_passes": steps * passes, "passes_in_use": 1,
                "seconds_a_step": seconds}  # fmt: skip
    if isinstance(method, PassMethod):
        each = float(costs.loc[costs["what"] == "segmenter", "passes"].iloc[0]) * run.profile.segmenter_steps
        return {"training_passes": (method.segmenters - 1) * each, "passes_in_use": method.segmenters}
    return {"training_passes": 0, "passes_in_use": 1 + method.samples}  # and the plain pass that draws the mask
