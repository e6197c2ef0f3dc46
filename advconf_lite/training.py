"""The two training loops. Killed at any moment and started again, each continues to the same weights (CPU).

Randomness is a function of (seed, step): every step draws from its own generator, so there is no random state that a
checkpoint could miss.
"""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from .adversarial import Buffered, Quality, State, adversarial_step, plain_step, score_loss, segment, targets
from .augmentation import Augmenter
from .files import write_atomically
from .head import predict_scores
from .progress import bar as tqdm
from .quality import dice
from .segmenter import Segmenter
from .settings import Profile

Pair = tuple[Tensor, Tensor]  # images (N, 1, H, W) and masks (N, H, W)


def derived_seed(*key: int | str) -> int:
    """A 63-bit seed from a key of numbers and words, the same on every machine."""
    words = [part if isinstance(part, int) else int.from_bytes(part.encode(), "big") for part in key]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """A generator on `device`, seeded by `key`."""
    return torch.Generator(device).manual_seed(derived_seed(*key))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and numbers, whole or not at all."""
    data = io.BytesIO()
    torch.save(state, data)
    write_atomically(path, lambda temporary: temporary.write_bytes(data.getbuffer()))


def load_checkpoint(path: Path, device: torch.device | str) -> dict[str, Any] | None:
    """The checkpoint at `path`, or None if there is none."""
    return torch.load(path, map_location=device, weights_only=True) if path.exists() else None


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


def segmenter_lr(profile: Profile, step: int) -> float:
    """The cosine schedule: a short linear rise, then down to zero at the last step."""
    rise = max(1, profile.segmenter_steps // 20)
    progress = max(0, step - rise) / max(1, profile.segmenter_steps - rise)
    return profile.settings.segmenter_lr * min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * progress))


def train_segmenter(
    net: nn.Module,
    train: Pair,
    val: Pair,
    profile: Profile,
    seed: int,
    checkpoint: Path,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Train the U-Net with Dice + cross-entropy and Adam (section 4.2); leaves the best validation weights in `net`.

    Args:
        train, val: images (N, 1, H, W) and masks (N, H, W), on the device to train on.
        checkpoint: continued if it exists; written every `profile.checkpoint_steps` batches.

    Returns:
        History, one row per epoch (`profile.steps_per_epoch` batches): step, epoch, loss, val_loss, val_dice, lr.
    """
    settings = profile.settings
    device = train[0].device
    with torch.no_grad():
        num_classes = net.eval()(train[0][:1]).shape[1]
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.segmenter_lr)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=settings.segmenter_plateau)
    augment = Augmenter(settings.augmentations)
    criterion = DiceCELoss(to_onehot_y=True, softmax=True, include_background=settings.dice_background)
    best: dict[str, Any] = {"loss": math.inf, "epoch": 0, "net": copy.deepcopy(net.state_dict())}
    history: list[dict[str, Any]] = []
    losses: list[float] = []
    start, stopped = 0, False

    if saved := load_checkpoint(checkpoint, device):
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        plateau.load_state_dict(saved["plateau"])
        best, history, losses, start, stopped = (saved[k] for k in ("best", "history", "losses", "step", "stopped"))

    bar = tqdm(total=profile.segmenter_steps, initial=start, desc=f"U-Net, seed {seed}", disable=not progress)
    with own_randomness(device):
        for step in range(start, 0 if stopped else profile.segmenter_steps):
            torch.manual_seed(derived_seed("segmenter dropout", seed, step))
            x, y = draw_batch(train, profile.segmenter_batch, augment, "segmenter batch", seed, step)
            if settings.segmenter_schedule == "cosine":
                optimizer.param_groups[0]["lr"] = segmenter_lr(profile, step)
            net.train()
            with autocast(device, settings.mixed_precision):
                loss = criterion(net(x), y[:, None])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if settings.segmenter_clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), settings.segmenter_clip)
            optimizer.step()
            losses.append(loss.item())

            last = step + 1 == profile.segmenter_steps
            if (step + 1) % profile.steps_per_epoch == 0 or last:
                epoch = len(history) + 1
                val_loss, val_dice = validate_segmenter(net, val, criterion, num_classes, profile.segmenter_batch)
                lr = optimizer.param_groups[0]["lr"]
                history.append(
                    {"step": step + 1, "epoch": epoch, "loss": float(np.mean(losses)), "val_loss": val_loss,
                     "val_dice": val_dice, "lr": lr})
                losses = []
                if settings.segmenter_schedule == "plateau":
                    plateau.step(val_loss)
                if val_loss < best["loss"]:
                    best = {"loss": val_loss, "epoch": epoch, "net": copy.deepcopy(net.state_dict())}
                stopped = epoch - best["epoch"] >= settings.segmenter_patience
                bar.set_postfix(val_dice=f"{val_dice:.3f}")
            bar.update()
            if (step + 1) % profile.checkpoint_steps == 0 or last or stopped:
                save_checkpoint(checkpoint, {
                    "net": net.state_dict(), "optimizer": optimizer.state_dict(), "plateau": plateau.state_dict(),
                    "best": best, "history": history, "losses": losses, "step": step + 1, "stopped": stopped})
            if stopped:
                break
    bar.close()
    net.load_state_dict(best["net"])
    return history


@torch.no_grad()
def validate_segmenter(
    net: nn.Module, val: Pair, criterion: nn.Module, num_classes: int, batch: int
) -> tuple[float, float]:
    """Mean loss, and mean foreground Dice, over validation slices, in evaluation mode."""
    net.eval()
    loss, score = 0.0, 0.0
    for x, y in zip(val[0].split(batch), val[1].split(batch)):
        logits = net(x)
        loss += criterion(logits, y[:, None]).item() * len(x)
        score += dice(logits.argmax(1), y, num_classes).mean(1).sum().item()
    return loss / len(val[0]), score / len(val[0])


@dataclass
class HeadRun:
    """One head in training: what is trained, on which quality, and all that a checkpoint must hold."""

    method: str
    quality: str
    head: nn.Module
    g: Quality
    adversarial: bool
    state: State = field(default_factory=lambda: State(0.0))
    history: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, list[float]] = field(default_factory=lambda: {"clean": [], "perturbed": []})
    best_loss: float = math.inf
    best_epoch: int = 0
    stopped: bool = False

    def start(self, settings: Any) -> HeadRun:
        self.optimizer = torch.optim.Adam(self.head.parameters(), lr=settings.head_lr)
        patience = settings.head_plateau if settings.head_plateau is not None else 10**9
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=patience)
        self.state = State(settings.alpha)
        self.best = copy.deepcopy(self.head.state_dict())
        return self

    def state_dict(self) -> dict[str, Any]:
        return {
            "head": self.head.state_dict(), "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(), "alpha": self.state.alpha,
            "buffer": None if self.state.buffer is None else vars(self.state.buffer).copy(),
            "history": self.history, "seen": self.seen, "best": self.best, "best_loss": self.best_loss,
            "best_epoch": self.best_epoch, "stopped": self.stopped}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.head.load_state_dict(saved["head"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.plateau.load_state_dict(saved["plateau"])
        self.state = State(saved["alpha"], None if saved["buffer"] is None else Buffered(**saved["buffer"]))
        for name in ("history", "seen", "best", "best_loss", "best_epoch", "stopped"):
            setattr(self, name, saved[name])


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
) -> None:
    """Train several heads on one frozen segmenter, side by side; leaves each one's best weights in `run.head`.

    All heads of a seed see the same clean batches in the same order, and share one pass of the segmenter over each. A
    head's result does not depend on which others are trained beside it.

    Early stopping and the kept checkpoint (section 3.4): mean squared error on clean source validation, from the end
    of the warm-up on, for every method alike.

    Args:
        segmenter: frozen.
        runs: heads to train; filled with histories (one row per step) and the true scores seen.
        train, val: images (N, 1, H, W) and masks (N, H, W) on the device to train on.
        checkpoint: continued if it exists.
        on_step: called after each step, for a live plot.
    """
    settings = profile.settings
    augment = Augmenter(settings.augmentations)
    for run in runs:
        run.start(settings)
    start = 0
    if saved := load_checkpoint(checkpoint, train[0].device):
        start = saved["step"]
        for run in runs:
            run.load_state_dict(saved["runs"][f"{run.method}/{run.quality}"])
    z_val, s_val = validation_targets(segmenter, runs, val, settings, profile.segmenter_batch)

    bar = tqdm(total=profile.head_steps, initial=start, desc=f"heads, seed {seed}", disable=not progress)
    for step in range(start, profile.head_steps):
        active = [run for run in runs if not run.stopped]
        if not active:
            break
        x, y = draw_batch(train, settings.batch_size, augment, "head batch", seed, step)
        perturbing = step >= settings.warmup_batches
        with autocast(x.device, settings.mixed_precision):
            clean = segment(segmenter, x, y, gradient=perturbing and any(run.adversarial for run in active))
            for run in active:
                run.head.train()
                if run.adversarial and perturbing:
                    row = adversarial_step(segmenter, run.head, run.optimizer, clean, run.state, run.g, settings)
                else:
                    row = plain_step(run.head, run.optimizer, clean, run.g, settings)
                record(run, row, step, epoch=step // profile.steps_per_epoch + 1)

        last = step + 1 == profile.head_steps
        if (step + 1) % profile.steps_per_epoch == 0 or last:
            for run in active:
                end_of_epoch(run, z_val, s_val[run.quality], settings, eligible=step + 1 > settings.warmup_batches)
        bar.update()
        if (step + 1) % profile.checkpoint_steps == 0 or last:
            save_checkpoint(checkpoint, {
                "step": step + 1, "runs": {f"{run.method}/{run.quality}": run.state_dict() for run in runs}})
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


def end_of_epoch(run: HeadRun, z_val: Tensor, s_val: Tensor, settings: Any, eligible: bool) -> None:
    """Validate, keep the best weights, stop when nothing has improved for `head_patience` epochs."""
    row = run.history[-1]
    epoch = row["epoch"]
    row["val_loss"] = score_loss(predict_scores(run.head, z_val), s_val).item()
    run.plateau.step(row["val_loss"])
    if eligible and row["val_loss"] < run.best_loss:
        run.best_loss, run.best_epoch = row["val_loss"], epoch
        run.best = copy.deepcopy(run.head.state_dict())
    patience = settings.head_patience
    run.stopped = bool(patience and run.best_epoch and epoch - run.best_epoch >= patience)


@torch.no_grad()
def validation_targets(
    segmenter: Segmenter, runs: Sequence[HeadRun], val: Pair, settings: Any, batch: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """z (N, C, h, w) and the true scores (N, classes) per quality of the clean validation slices; both stay fixed."""
    halves = [segment(segmenter, x, y) for x, y in zip(val[0].split(batch), val[1].split(batch))]
    g = {run.quality: run.g for run in runs}
    scores = {
        name: targets(torch.cat([quality(half.y_hat, half.y) for half in halves]), settings.absent_surface)
        for name, quality in g.items()
    }
    return torch.cat([half.z for half in halves]), scores
