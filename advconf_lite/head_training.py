"""Heads in training, side by side: all heads of one seed see the same batches and share the work on them.

`train_head` trains one head by Algorithm 1 on arrays of one's own; `train_heads` is the loop behind it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Algorithm1, Half, score_loss, segment
from advconf_lite.augmentation import Augmenter
from advconf_lite.head import head_scores
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Schedule, Settings
from advconf_lite.support.checkpoints import load_checkpoint, save_checkpoint
from advconf_lite.support.in_threads import side_by_side
from advconf_lite.support.progress import bar as tqdm
from advconf_lite.training import Pair, autocast, check_pair, draw_batch

Row = dict[str, Any]  # of the history


def new_algorithm(head: nn.Module, g: Quality, s: Settings, kind: type[Algorithm1] = Algorithm1) -> Algorithm1:
    """Algorithm 1, or a variant, with Adam (section 3.4) and the settings' constants."""
    optimizer = torch.optim.Adam(head.requires_grad_(True).parameters(), lr=s.head_lr)
    return kind(head, optimizer, g, s.alpha, s.eta, s.delta_s, s.eps, s.objective, s.absent_surface, s.head_clip)


class HeadMethod:
    """A way to train a head: what it sees in one turn of `train_heads`. As it stands here: Algorithm 1.

    Attributes:
        algorithm: the class that makes the steps.
        pair: the method whose perturbations this one replays; its head is trained beside it.
        starts_from: the method whose finished head this one goes on from.
        estimates: what it predicts is the quality itself, not only an order of the images.
        needs_gradient: of the predicted score with respect to the shared clean batch.
        keeps: attributes of its algorithm that a checkpoint must hold beside LOOP.
    """

    algorithm: type[Algorithm1] = Algorithm1
    pair: str | None = None
    starts_from: str | None = None
    estimates = True
    needs_gradient = True
    keeps: tuple[str, ...] = ()

    def __init__(self, name: str, *numbers: str) -> None:
        self.name = name

    def adjust(self, schedule: Schedule) -> Schedule:
        """The schedule with this method's own settings and length."""
        return schedule

    def passes(self, settings: Settings) -> int:
        """What a step costs alone, in the segmenter's passes over B images: forward counts 1, and back to the images 1."""
        return 3

    def build(self, head: nn.Module, segmenter: Segmenter, g: Quality) -> nn.Module:
        """What is trained and stored, from a new head or in its place."""
        return head

    def features(self, head: nn.Module, x: Tensor, z: Tensor, y_hat: Tensor, batch: int = 64) -> Tensor:
        """What the head reads, (N, C, h, w), of images x (N, channels, H, W) with features z and masks y_hat (N, H, W)."""
        return z

    def step(self, turn: Turn, learner: Learner) -> Row:
        """One optimiser step of `learner`, after a warm-up of plain ones (section 3.2); its row of the history."""
        if turn.number < learner.settings.warmup_batches:
            return learner.algorithm.plain_step(turn.clean) | {"passes": 1}
        return self.loop_step(turn, learner)

    def loop_step(self, turn: Turn, learner: Learner) -> Row:
        """One turn of Algorithm 1's loop."""
        return learner.algorithm.step(turn.segmenter, turn.clean)


@dataclass
class Learner:
    """One head in training, and all that a checkpoint must hold of it.

    `settings` and `steps`, where it stops at the latest, are the method's own (`HeadMethod.adjust`). `pair` is the learner
    whose perturbations this one replays.
    """

    method: HeadMethod
    head: nn.Module
    g: Quality
    settings: Settings
    organ: str | None = None  # organ and mm per pixel: what a virtual scanner must know of an image
    spacing_mm: float = 1.0
    pair: Learner | None = None
    steps: float = math.inf
    history: list[Row] = field(default_factory=list)
    seen: dict[str, list[float]] = field(default_factory=lambda: {"clean": [], "perturbed": []})  # true scores
    best_loss: float = math.inf
    best_epoch: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        self.algorithm = new_algorithm(self.head, self.g, self.settings, self.method.algorithm)
        self.optimizer = self.algorithm.optimizer
        patience = self.settings.head_plateau if self.settings.head_plateau is not None else 10**9
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=patience)
        self.best = copy.deepcopy(self.head.state_dict())

    @property
    def key(self) -> str:
        return f"{self.method.name}/{self.g.name}"

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        loop = {name: getattr(self.algorithm, name) for name in (*LOOP, *self.method.keeps)}
        return parts | {"loop": loop} | {name: getattr(self, name) for name in VALUES}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for name in PARTS:
            getattr(self, name).load_state_dict(saved[name])
        for name in (*LOOP, *self.method.keeps):
            setattr(self.algorithm, name, saved["loop"][name])
        for name in VALUES:
            setattr(self, name, saved[name])

    def take(self, turn: Turn) -> Row:
        """Its step in a turn, on whatever thread."""
        with autocast(turn.x.device, self.settings.mixed_precision):
            self.head.train()
            return self.method.step(turn, self)

    def record(self, row: Row, step: int, epoch: int) -> None:
        """Add one step to the history, and its images' true scores to what the head has seen."""
        for half in ("clean", "perturbed"):
            if half in row:
                scores = row.pop(half)
                row[f"mean_score_{half}"] = scores.nanmean().item()
                self.seen[half] += scores.tolist()
        self.history.append({"step": step + 1, "epoch": epoch, "passes": self.method.passes(self.settings), **row})

    def end_of_epoch(self, s_hat: Tensor, s_val: Tensor, eligible: bool) -> None:
        """Compare scores (N, classes), keep the best weights, stop when `head_patience` epochs have improved nothing."""
        row = self.history[-1]
        epoch = row["epoch"]
        row["val_loss"] = score_loss(s_hat, s_val).item()
        self.plateau.step(row["val_loss"])
        if eligible and row["val_loss"] < self.best_loss:
            self.best_loss, self.best_epoch = row["val_loss"], epoch
            self.best = copy.deepcopy(self.head.state_dict())
        elif self.best_epoch == 0 and math.isnan(row["val_loss"]):  # NaN is an answer that is counted; first weights guess
            self.best = copy.deepcopy(self.head.state_dict())
        patience = self.settings.head_patience
        self.stopped = row["step"] >= self.steps or bool(
            patience and self.best_epoch and epoch - self.best_epoch >= patience
        )


# What a checkpoint holds of a learner.
PARTS = ("head", "optimizer", "plateau")
LOOP = ("alpha", "x_adv", "y_adv", "s_hat_before", "s_before", "norm_before")
VALUES = ("history", "seen", "best", "best_loss", "best_epoch", "stopped")


class Turn:
    """One turn of the loop: the clean batch, and what several heads share of the work on it.

    Attributes:
        segmenter: frozen.
        x, y: the clean batch, (B, channels, H, W) and (B, H, W).
        number: of the turn, from 0.
        seed: of the heads; with `number`, all that randomness may depend on.
    """

    def __init__(self, segmenter: Segmenter, draw: Callable[[str], Pair], number: int, seed: int, gradient: bool) -> None:
        self.segmenter, self.draw, self.number, self.seed, self.gradient = segmenter, draw, number, seed, gradient
        self.x, self.y = draw("")
        self._made: dict[str, Future] = {}

    @property
    def clean(self) -> Half:
        """The clean batch after its one pass; with a graph from x to z if any head needs one."""
        return self.once("clean", lambda: segment(self.segmenter, self.x, self.y, self.gradient))

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """`make()`, or what it gave the first head that asked for this name in this turn, which another one waits for."""
        mine = Future()
        if (made := self._made.setdefault(name, mine)) is mine:
            try:
                mine.set_result(make())
            except BaseException as error:
                mine.set_exception(error)
        return made.result()

    def second(self) -> Half:
        """As many fresh images as the clean batch has, after their pass."""
        return self.once("second", lambda: segment(self.segmenter, *self.draw("second ")))


def train_head(
    segmenter: Segmenter, head: nn.Module, g: Quality, train: Pair, val: Pair, schedule: Schedule | None = None,
    seed: int = 0, checkpoint: Path | None = None, progress: bool = True,
) -> list[Row]:  # fmt: skip
    """Train a head by Algorithm 1 on a frozen segmenter; leaves its best weights on clean validation in `head`.

    Args:
        segmenter: any network with a tap (`Segmenter(net, layer).freeze()`).
        head: `ConfidenceHead(segmenter.feature_shape((H, W)), num_scores)`, with one score per class that g scores.
        g: the quality to predict.
        train, val: images (N, channels, H, W) and label maps (N, H, W) of the source domain; no subject in both.
        schedule: lengths and settings; the paper's by default (10,000 steps of 32 images, learning rate 1e-5).
        checkpoint: a file, continued if it exists; without one, an interrupted training starts anew.

    Returns:
        The history, one row per step: loss, predicted and true drop, ||delta|| / ||x||, alpha, validation loss.

    Raises:
        BadInput: images and label maps do not fit each other.
    """
    schedule = schedule or Schedule()
    method = HeadMethod("adversarial")
    device = next(head.parameters()).device
    train, val = ([part.to(device) for part in check_pair(*pair)] for pair in ((train, "train"), (val, "val")))
    learner = Learner(method, head, g, schedule.settings)
    train_heads(segmenter, [learner], train, val, schedule, seed, checkpoint, progress)
    return learner.history


def train_heads(
    segmenter: Segmenter, learners: Sequence[Learner], train: Pair, val: Pair, schedule: Schedule, seed: int,
    checkpoint: Path | None = None, progress: bool = True, on_step: Callable[[int], None] | None = None,
) -> None:  # fmt: skip
    """Train several heads on one frozen segmenter, side by side; leaves each one's best weights in `learner.head`.

    All heads of a seed see the same clean batches in the same order, and share one pass of the segmenter over each. A
    head's result does not depend on which others are trained beside it, its pair aside, which goes first in each turn.

    Early stopping and the kept checkpoint (section 3.4): mean squared error on clean source validation, from the end
    of the warm-up on, for every method alike.

    Args:
        segmenter: frozen.
        learners: filled with histories (one row per step) and the true scores seen.
        train, val: images (N, channels, H, W) and masks (N, H, W) on the device to train on.
        checkpoint: continued if it exists.
        on_step: called after each step, for a live plot.
    """
    augment = Augmenter(schedule.settings.augmentations)
    device, start = train[0].device, 0
    if saved := load_checkpoint(checkpoint, device):
        start = saved["step"]
        for learner in learners:
            learner.load_state_dict(saved["learners"][learner.key])
    seen = Validation(segmenter, val, schedule.segmenter_batch)
    s_val = seen.targets(learners)

    bar = tqdm(total=schedule.head_steps, initial=start, desc=f"heads, seed {seed}", disable=not progress)
    with side_by_side(device) as each:
        for step in range(start, schedule.head_steps):
            active = [learner for learner in learners if not learner.stopped]
            if not active:
                break
            stepping = with_pairs(active)
            turn = new_turn(segmenter, stepping, train, augment, schedule, seed, step)
            for wave in ([one for one in stepping if not one.pair], [one for one in stepping if one.pair]):
                for learner, row in zip(wave, each(lambda one, turn=turn: one.take(turn), wave)):
                    if not learner.stopped:
                        learner.record(row, step, epoch=step // schedule.steps_per_epoch + 1)

            last = step + 1 == schedule.head_steps
            for one in active:
                if (step + 1) % schedule.steps_per_epoch == 0 or last or step + 1 == one.steps:
                    one.end_of_epoch(seen.scores(one), s_val[one.key], step + 1 > one.settings.warmup_batches)
            bar.update()
            if checkpoint and ((step + 1) % schedule.checkpoint_steps == 0 or last):
                save_checkpoint(checkpoint, {"step": step + 1, "learners": {one.key: one.state_dict() for one in learners}})
            if on_step:
                on_step(step)
    bar.close()
    for learner in learners:
        learner.head.load_state_dict(learner.best)
        learner.head.eval()


def with_pairs(active: Sequence[Learner]) -> list[Learner]:
    """Who steps in a turn, and in which order: pairs first. One that has stopped goes on for the sake of its replayer."""
    pairs = {id(learner.pair): learner.pair for learner in active if learner.pair}
    return [*pairs.values(), *(learner for learner in active if id(learner) not in pairs)]


def new_turn(
    segmenter: Segmenter, learners: Sequence[Learner], train: Pair, augment: Augmenter, schedule: Schedule, seed: int,
    step: int,
) -> Turn:  # fmt: skip
    def draw(word: str) -> Pair:
        with autocast(train[0].device, enabled=False):  # a head may draw in the middle of its step
            return draw_batch(train, schedule.settings.batch_size, augment, word + "head batch", seed, step)

    gradient = any(one.method.needs_gradient and step >= one.settings.warmup_batches for one in learners)
    return Turn(segmenter, draw, step, seed, gradient)


class Validation:
    """The clean validation slices after their pass, in pieces: kept, or made anew each time if they are read from a disk."""

    def __init__(self, segmenter: Segmenter, val: Pair, batch: int) -> None:
        self.segmenter, self.val, self.batch = segmenter, val, batch
        self.kept = list(self.made()) if isinstance(val[0], Tensor) else None

    @torch.no_grad()
    def made(self) -> Iterator[Half]:
        many = math.lcm(64, self.batch)  # so that networks and heads see the batches that they would see of one piece
        for piece in zip(*(part.split(many) for part in self.val)):
            halves = [segment(self.segmenter, *some) for some in zip(*(part.split(self.batch) for part in piece))]
            yield Half(*map(torch.cat, zip(*(vars(half).values() for half in halves))))

    def __iter__(self) -> Iterator[Half]:
        return iter(self.kept) if self.kept is not None else self.made()

    @torch.no_grad()
    def targets(self, learners: Sequence[Learner]) -> dict[str, Tensor]:
        """The true scores (N, classes) per learner's key; they stay fixed."""
        scores: dict[Quality, list[Tensor]] = {}
        for half in self:
            for g, learner in {learner.g: learner for learner in learners[::-1]}.items():
                scores.setdefault(g, []).append(learner.algorithm.true_scores(half))
        return {learner.key: torch.cat(scores[learner.g]) for learner in learners}

    def scores(self, learner: Learner) -> Tensor:
        """What a learner's head predicts, (N, classes)."""
        head, features = learner.head, learner.method.features
        return torch.cat([head_scores(head, features(head, half.x, half.z, half.y_hat, self.batch)) for half in self])
