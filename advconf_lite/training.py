"""Training of the segmenter, and what both training loops share.

Killed at any moment and started again, each loop continues to the same weights (CPU).

Randomness is a function of (seed, step): every step draws from its own generator, so there is no random state that a
checkpoint could miss.
"""

from __future__ import annotations

import copy
import io
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
from advconf_lite.experiment.profiles import Profile
from advconf_lite.quality import dice
from advconf_lite.segmenter import label_map
from advconf_lite.support.files import write_atomically
from advconf_lite.support.progress import bar as tqdm
from advconf_lite.support.randomness import derived_seed, generator

Pair = tuple[Tensor, Tensor]  # images (N, 1, H, W) and masks (N, H, W)


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
                    {
                        "step": step + 1,
                        "epoch": epoch,
                        "loss": float(np.mean(losses)),
                        "val_loss": val_loss,
                        "val_dice": val_dice,
                        "lr": lr,
                    }
                )
                losses = []
                if settings.segmenter_schedule == "plateau":
                    plateau.step(val_loss)
                if val_loss < best["loss"]:
                    best = {"loss": val_loss, "epoch": epoch, "net": copy.deepcopy(net.state_dict())}
                stopped = epoch - best["epoch"] >= settings.segmenter_patience
                bar.set_postfix(val_dice=f"{val_dice:.3f}")
            bar.update()
            if (step + 1) % profile.checkpoint_steps == 0 or last or stopped:
                save_checkpoint(
                    checkpoint,
                    {
                        "net": net.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "plateau": plateau.state_dict(),
                        "best": best,
                        "history": history,
                        "losses": losses,
                        "step": step + 1,
                        "stopped": stopped,
                    },
                )
            if stopped:
                break
    bar.close()
    net.load_state_dict(best["net"])
    return history


@torch.no_grad()
def validate_segmenter(net: nn.Module, val: Pair, criterion: nn.Module, num_classes: int, batch: int) -> tuple[float, float]:
    """Mean loss, and mean foreground Dice, over validation slices, in evaluation mode."""
    net.eval()
    loss, score = 0.0, 0.0
    for x, y in zip(val[0].split(batch), val[1].split(batch)):
        logits = net(x)
        loss += criterion(logits, y[:, None]).item() * len(x)
        score += dice(label_map(logits), y, num_classes).mean(1).sum().item()
    return loss / len(val[0]), score / len(val[0])
