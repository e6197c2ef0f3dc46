"""Heads in training, side by side: all heads of one seed see the same batches and share the work on them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Buffered, Half, State, score_loss, segment, targets
from advconf_lite.augmentation import Augmenter
from advconf_lite.experiment.profiles import Profile
from advconf_lite.head import predict_scores
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Settings
from advconf_lite.support.progress import bar as tqdm
from advconf_lite.training import Pair, autocast, draw_batch, load_checkpoint, save_checkpoint


class HeadMethod:
    """A confidence head and how it is trained: what it sees in one turn of `head_training.train_heads`."""

    pair: str | None = None  # the method whose perturbations this one replays; its head is trained beside it
    starts_from: str | None = None  # the method whose finished head this one goes on from
    needs_gradient = False  # of the predicted score with respect to the shared clean batch

    def __init__(self, name: str, *numbers: str) -> None:
        self.name = name

    def adjust(self, profile: Profile) -> Profile:
        """The profile with this method's own settings and length."""
        return profile

    def build(self, head: nn.Module, segmenter: Segmenter) -> nn.Module:
        """What is trained and stored, from a new head."""
        return head

    def features(self, head: nn.Module, x: Tensor, z: Tensor, batch: int = 64) -> Tensor:
        """What the head reads of images x (N, 1, H, W), of which the segmenter's own features are z: (N, C, h, w)."""
        return z

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        """One optimiser step of `run`; returns its row of the history."""
        raise NotImplementedError


@dataclass
class HeadRun:
    """One head in training: its method, the quality that it predicts, and all that a checkpoint must hold.

    `settings` are the method's own (`HeadMethod.adjust`). `pair` is the run whose perturbations this one replays.
    """

    method: HeadMethod
    quality: str
    head: nn.Module
    g: Quality
    settings: Settings
    organ: str = "cardiac"  # organ and mm per pixel: what a virtual scanner must know of an image
    spacing_mm: float = 1.0
    pair: HeadRun | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, list[float]] = field(default_factory=lambda: {"clean": [], "perturbed": []})
    best_loss: float = math.inf
    best_epoch: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        self.head.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.head.parameters(), lr=self.settings.head_lr)
        patience = self.settings.head_plateau if self.settings.head_plateau is not None else 10**9
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=patience)
        self.state = State(self.settings.alpha)
        self.best = copy.deepcopy(self.head.state_dict())

    @property
    def key(self) -> str:
        return f"{self.method.name}/{self.quality}"

    def state_dict(self) -> dict[str, Any]:
        return {
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "alpha": self.state.alpha,
            "buffer": None if self.state.buffer is None else vars(self.state.buffer).copy(),
            "history": self.history,
            "seen": self.seen,
            "best": self.best,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.head.load_state_dict(saved["head"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.plateau.load_state_dict(saved["plateau"])
        self.state = State(saved["alpha"], None if saved["buffer"] is None else Buffered(**saved["buffer"]))
        for name in ("history", "seen", "best", "best_loss", "best_epoch", "stopped"):
            setattr(self, name, saved[name])


class Turn:
    """One turn of the loop: the clean batch, and what several heads share of the work on it.

    Attributes:
        segmenter: frozen.
        x, y: the clean batch, (B, 1, H, W) and (B, H, W).
        number: of the turn, from 0.
        seed: of the heads; with `number`, all that randomness may depend on.
    """

    def __init__(self, segmenter: Segmenter, draw: Callable[[str], Pair], number: int, seed: int, gradient: bool) -> None:
        self.segmenter, self.draw, self.number, self.seed, self.gradient = segmenter, draw, number, seed, gradient
        self.x, self.y = draw("")
        self._made: dict[Any, Any] = {}

    @cached_property
    def clean(self) -> Half:
        """The clean batch after its one pass; with a graph from x to z if any head needs one."""
        return segment(self.segmenter, self.x, self.y, self.gradient)

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """`make()`, or what it gave the first head that asked in this turn."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def second(self) -> Half:
        """As many fresh images as the clean batch has, after their pass."""
        return self.once("second", lambda: segment(self.segmenter, *self.draw("second ")))

    def passed(self, x: Tensor, y: Tensor) -> Half:
        """Images after their pass; heads that share the very same tensor share the pass."""
        half, _ = self.once(id(x), lambda: (segment(self.segmenter, x, y), x))  # kept, so that its id stays taken
        return half


def train_heads(
    segmenter: Segmenter,
    runs: Sequence[HeadRun],
    train: Pair,
    val: Pair,
    profile: Profile,
    seed: int,
    checkpoint: Path,
    progress: bool = True,
    on_step: Callable[[int], None] | None = None,
    stream: str = "head batch",
) -> None:
    """Train several heads on one frozen segmenter, side by side; leaves each one's best weights in `run.head`.

    All heads of a seed see the same clean batches in the same order, and share one pass of the segmenter over each. A
    head's result does not depend on which others are trained beside it, its pair aside, which goes first in each turn.

    Early stopping and the kept checkpoint (section 3.4): mean squared error on clean source validation, from the end
    of the warm-up on, for every method alike.

    Args:
        segmenter: frozen.
        runs: heads to train; filled with histories (one row per step) and the true scores seen.
        train, val: images (N, 1, H, W) and masks (N, H, W) on the device to train on.
        checkpoint: continued if it exists.
        on_step: called after each step, for a live plot.
        stream: key of the random batches.
    """
    augment = Augmenter(profile.settings.augmentations)
    start = 0
    if saved := load_checkpoint(checkpoint, train[0].device):
        start = saved["step"]
        for run in runs:
            run.load_state_dict(saved["runs"][run.key])
    z_val, s_val = validation_targets(segmenter, runs, val, profile)

    bar = tqdm(total=profile.head_steps, initial=start, desc=f"heads, seed {seed}", disable=not progress)
    for step in range(start, profile.head_steps):
        active = [run for run in runs if not run.stopped]
        if not active:
            break
        # A pair that has stopped early goes on for the sake of the one that replays it; its own result is made.
        pairs = {id(run.pair): run.pair for run in active if run.pair}
        turns = [*pairs.values(), *(run for run in active if id(run) not in pairs)]

        def draw(word: str, step: int = step) -> Pair:
            with autocast(train[0].device, enabled=False):  # a head may draw in the middle of its step
                return draw_batch(train, profile.settings.batch_size, augment, word + stream, seed, step)

        gradient = any(run.method.needs_gradient and step >= run.settings.warmup_batches for run in turns)
        turn = Turn(segmenter, draw, step, seed, gradient)
        with autocast(turn.x.device, profile.settings.mixed_precision):
            for run in turns:
                run.head.train()
                row = run.method.step(turn, run)
                if not run.stopped:
                    record(run, row, step, epoch=step // profile.steps_per_epoch + 1)

        last = step + 1 == profile.head_steps
        if (step + 1) % profile.steps_per_epoch == 0 or last:
            for run in active:
                z = run.method.features(run.head, val[0], z_val, profile.segmenter_batch)
                end_of_epoch(run, z, s_val[run.quality], eligible=step + 1 > run.settings.warmup_batches)
        bar.update()
        if (step + 1) % profile.checkpoint_steps == 0 or last:
            save_checkpoint(checkpoint, {"step": step + 1, "runs": {run.key: run.state_dict() for run in runs}})
        if on_step:
            on_step(step)
    bar.close()
    for run in runs:
        run.head.load_state_dict(run.best)
        run.head.eval()


def record(run: HeadRun, row: dict[str, Any], step: int, epoch: int) -> None:
    """Add one step to the history, and its images' true scores to what the head has seen."""
    for half in ("clean", "perturbed"):
        if half in row:
            scores = row.pop(half)
            row[f"mean_score_{half}"] = scores.nanmean().item()
            run.seen[half] += scores.tolist()
    run.history.append({"step": step + 1, "epoch": epoch, **row})


def end_of_epoch(run: HeadRun, z_val: Tensor, s_val: Tensor, eligible: bool) -> None:
    """Validate, keep the best weights, stop when nothing has improved for `head_patience` epochs."""
    row = run.history[-1]
    epoch = row["epoch"]
    row["val_loss"] = score_loss(predict_scores(run.head, z_val), s_val).item()
    run.plateau.step(row["val_loss"])
    if eligible and row["val_loss"] < run.best_loss:
        run.best_loss, run.best_epoch = row["val_loss"], epoch
        run.best = copy.deepcopy(run.head.state_dict())
    patience = run.settings.head_patience
    run.stopped = bool(patience and run.best_epoch and epoch - run.best_epoch >= patience)


@torch.no_grad()
def validation_targets(
    segmenter: Segmenter, runs: Sequence[HeadRun], val: Pair, profile: Profile
) -> tuple[Tensor, dict[str, Tensor]]:
    """z (N, C, h, w) and the true scores (N, classes) per quality of the clean validation slices; both stay fixed."""
    batch = profile.segmenter_batch
    halves = [segment(segmenter, x, y) for x, y in zip(val[0].split(batch), val[1].split(batch))]
    g = {run.quality: run.g for run in runs}
    scores = {
        name: targets(torch.cat([quality(half.y_hat, half.y) for half in halves]), profile.settings.absent_surface)
        for name, quality in g.items()
    }
    return torch.cat([half.z for half in halves]), scores
