"""Training of the segmenter, and what both training loops share.

Killed at any moment and started again, each loop continues to the same weights (CPU).

Randomness is a function of (seed, step): every step draws from its own generator, so there is no random state that a
checkpoint could miss.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from advconf_lite.augmentation import Augmenter
from advconf_lite.quality import dice
from advconf_lite.segmenter import Segmenter, as_logits, label_map
from advconf_lite.settings import Schedule
from advconf_lite.support.checkpoints import load_checkpoint, save_checkpoint
from advconf_lite.support.errors import BadInput
from advconf_lite.support.progress import bar as tqdm
from advconf_lite.support.randomness import derived_seed, generator

Pair = tuple[Tensor, Tensor]  # images (N, channels, H, W), masks (N, H, W); or what reads rows of them from a disk


def check_pair(pair: Pair, name: str) -> Pair:
    """The same images (N, channels, H, W) and label maps (N, H, W), or BadInput: shapes or types do not fit."""
    x, y = (part if hasattr(part, "split") else torch.as_tensor(part) for part in pair)
    if x.ndim != 4 or y.shape != (len(x), *x.shape[2:]) or len(x) == 0:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise BadInput(f"{name} has shapes {shapes}; give images (N, channels, H, W) and label maps (N, H, W)")
    if not x.is_floating_point() or y.is_floating_point():
        raise BadInput(f"{name} has types {x.dtype} and {y.dtype}; give images as float32 and label maps as integers")
    return x, y.long()


def draw_batch(data: Pair, size: int, augment: Augmenter, *key: int | str) -> Pair:
    """A random batch, with replacement, augmented; a function of the key alone."""
    images, masks = data
    draw = generator(images.device, *key)
    rows = torch.randint(len(images), (size,), generator=draw, device=images.device)
    return augment(images[rows], masks[rows], draw)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global state; leave the caller's as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def autocast(device: torch.device, enabled: bool) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def segmenter_lr(schedule: Schedule, step: int) -> float:
    """The cosine schedule: a short linear rise, then down to zero at the last step."""
    rise = max(1, schedule.segmenter_steps // 20)
    progress = max(0, step - rise) / max(1, schedule.segmenter_steps - rise)
    return schedule.settings.segmenter_lr * min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * progress))


class SegmenterTraining:
    """A network in training: optimiser, history and best weights, all that a checkpoint must hold."""

    def __init__(self, net: nn.Module, schedule: Schedule) -> None:
        self.net, self.schedule, settings = net, schedule, schedule.settings
        self.optimizer = torch.optim.Adam(net.parameters(), lr=settings.segmenter_lr)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=settings.segmenter_plateau)
        self.criterion = DiceCELoss(to_onehot_y=True, softmax=True, include_background=settings.dice_background)
        self.best: dict[str, Any] = {"loss": math.inf, "epoch": 0, "net": copy.deepcopy(net.state_dict())}
        self.history: list[dict[str, Any]] = []
        self.losses: list[float] = []  # since the last validation
        self.step, self.stopped = 0, False

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in PARTS} | {name: getattr(self, name) for name in VALUES}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for name in PARTS:
            getattr(self, name).load_state_dict(saved[name])
        for name in VALUES:
            setattr(self, name, saved[name])

    def logits(self, x: Tensor) -> Tensor:
        return self.net.logits(x) if isinstance(self.net, Segmenter) else as_logits(self.net(x))

    def update(self, x: Tensor, y: Tensor) -> None:
        """One optimiser step on a batch."""
        settings = self.schedule.settings
        if settings.segmenter_schedule == "cosine":
            self.optimizer.param_groups[0]["lr"] = segmenter_lr(self.schedule, self.step)
        self.net.train()
        with autocast(x.device, settings.mixed_precision):
            loss = self.criterion(self.logits(x), y[:, None])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if settings.segmenter_clip is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), settings.segmenter_clip)
        self.optimizer.step()
        self.losses.append(loss.item())
        self.step += 1

    def end_of_epoch(self, val: Pair) -> None:
        """Validate, keep the best weights, stop when nothing has improved for `segmenter_patience` epochs."""
        settings, epoch = self.schedule.settings, len(self.history) + 1
        val_loss, val_dice = self.validate(val)
        row = {"step": self.step, "epoch": epoch, "loss": float(np.mean(self.losses)), "val_loss": val_loss}
        self.history.append(row | {"val_dice": val_dice, "lr": self.optimizer.param_groups[0]["lr"]})
        self.losses = []
        if settings.segmenter_schedule == "plateau":
            self.plateau.step(val_loss)
        if val_loss < self.best["loss"]:
            self.best = {"loss": val_loss, "epoch": epoch, "net": copy.deepcopy(self.net.state_dict())}
        elif self.best["epoch"] == 0:  # diverged, as in `head_training`: its own masks, and not those of random weights
            self.best["net"] = copy.deepcopy(self.net.state_dict())
        self.stopped = epoch - self.best["epoch"] >= settings.segmenter_patience

    @torch.no_grad()
    def validate(self, val: Pair) -> tuple[float, float]:
        """Mean loss, and mean foreground Dice, over validation slices, in evaluation mode."""
        self.net.eval()
        loss, score, batch = 0.0, 0.0, self.schedule.segmenter_batch
        for x, y in zip(val[0].split(batch), val[1].split(batch)):
            logits = self.logits(x)
            loss += self.criterion(logits, y[:, None]).item() * len(x)
            score += dice(label_map(logits), y, logits.shape[1]).mean(1).sum().item()
        return loss / len(val[0]), score / len(val[0])


# What a checkpoint holds of a network in training.
PARTS = ("net", "optimizer", "plateau")
VALUES = ("best", "history", "losses", "step", "stopped")


def train_segmenter(
    net: nn.Module, train: Pair, val: Pair, schedule: Schedule | None = None, seed: int = 0,
    checkpoint: Path | None = None, progress: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train a network with Dice + cross-entropy and Adam (section 4.2); leaves the best validation weights in `net`.

    Args:
        net: a `Segmenter`, or a network whose output `segmenter.as_logits` can read.
        train, val: images (N, channels, H, W) and masks (N, H, W), on the device to train on; no subject in both.
        schedule: lengths and settings; the paper's by default.
        checkpoint: continued if it exists; written every `schedule.checkpoint_steps` batches.

    Returns:
        History, one row per epoch (`schedule.steps_per_epoch` batches): step, epoch, loss, val_loss, val_dice, lr.

    Raises:
        BadInput: images and masks do not fit each other, or there is no weight to train.
    """
    schedule = schedule or Schedule()
    train, val = check_pair(train, "train"), check_pair(val, "val")
    if not any(weight.requires_grad for weight in net.parameters()):
        raise BadInput("the network has no weights to train: it has none, or they are frozen (requires_grad is False)")
    device, training = train[0].device, SegmenterTraining(net, schedule)
    augment = Augmenter(schedule.settings.augmentations)
    if saved := load_checkpoint(checkpoint, device):
        training.load_state_dict(saved)

    bar = tqdm(total=schedule.segmenter_steps, initial=training.step, desc=f"U-Net, seed {seed}", disable=not progress)
    with own_randomness(device):
        while training.step < schedule.segmenter_steps and not training.stopped:
            torch.manual_seed(derived_seed("segmenter dropout", seed, training.step))
            training.update(*draw_batch(train, schedule.segmenter_batch, augment, "segmenter batch", seed, training.step))
            last = training.step == schedule.segmenter_steps
            if training.step % schedule.steps_per_epoch == 0 or last:
                training.end_of_epoch(val)
                bar.set_postfix(val_dice=f"{training.history[-1]['val_dice']:.3f}")
            bar.update()
            if checkpoint and (training.step % schedule.checkpoint_steps == 0 or last or training.stopped):
                save_checkpoint(checkpoint, training.state_dict())
    bar.close()
    net.load_state_dict(training.best["net"])
    return training.history
