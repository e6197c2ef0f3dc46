"""How much Dice could a perturbation of a given size cost at all? The upper bound of Algorithm 1's true drop.

    python benchmarks/alignment_bounds.py runs/A [runs/B ...] --out bounds.csv

Reads finished segmenters. Per run and size ||delta|| / ||x||, means over source validation slices: the true drop of the
segmenter's own gradient (which knows the ground truth), of the part of it that leads through the features z, which is all
that a head can reach, and of a Gaussian direction; each in one step, as Algorithm 1 takes one, and the first two in five.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from monai.losses import DiceCELoss
from torch import Tensor

from advconf_lite.experiment.run import Run, open_run
from advconf_lite.methods.controls import random_delta, segmenter_direction, with_norms
from advconf_lite.segmenter import Segmenter, label_map

SIZES = (0.01, 0.02, 0.03, 0.05)
SLICES = 64  # of source validation, at even distances
Direction = Callable[[Tensor, Tensor], Tensor]  # of images (B, 1, H, W) with masks (B, H, W)


def through_z(segmenter: Segmenter) -> Direction:
    """As `segmenter_direction`, but what leads around z, the skip connections, is held still."""
    layer = segmenter.net.get_submodule(segmenter.layer)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)

    def direction(x: Tensor, y: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        z = segmenter(x)[1]
        held = z.detach().requires_grad_()
        hook = layer.register_forward_pre_hook(lambda module, inputs: (held,))  # z is the layer's input
        try:
            (of_z,) = torch.autograd.grad(loss(segmenter.logits(x.detach()), y[:, None]), held)
        finally:
            hook.remove()
        return torch.autograd.grad(z, x, of_z)[0]

    return direction


def in_steps(direction: Direction, x: Tensor, y: Tensor, size: float, steps: int) -> Tensor:
    """A perturbation of at most `size`: so many steps, each with the gradient of where the last one has led."""
    delta = torch.zeros_like(x)
    for _ in range(steps):
        step = size if steps == 1 else 1.5 * size / steps
        delta = delta + with_norms(direction(x + delta, y), step * x)
        over = delta.flatten(1).norm(dim=1) / (size * x).flatten(1).norm(dim=1)
        delta = delta / over.clamp_min(1)[:, None, None, None]
    return delta


def bounds(run: Run) -> pd.DataFrame:
    segmenter, g = run.segmenter(0), run.quality("dice")
    x, y = run.experiment.val.pair()
    take = torch.linspace(0, len(x) - 1, min(SLICES, len(x))).long()
    x, y = x[take].to(run.device), y[take].to(run.device)

    def score(images: Tensor) -> float:
        with torch.no_grad():
            return g(label_map(segmenter.logits(images)), y).mean().item()

    def whole(images: Tensor, masks: Tensor) -> Tensor:
        return segmenter_direction(segmenter.logits, images, masks)

    before, rows = score(x), []
    for size in SIZES:
        row = {"run": run.folder.name, "size": f"{size:g}"}
        for name, direction in (("gradient", whole), ("through_z", through_z(segmenter))):
            for steps in (1, 5):
                row[f"{name}_{steps}"] = before - score(x + in_steps(direction, x, y, size, steps))
        rows.append(row | {"gaussian": before - score(x + random_delta(size * x))})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("bounds.csv"))
    chosen = parser.parse_args()
    table = pd.concat([bounds(open_run(folder, progress=False)) for folder in chosen.runs], ignore_index=True)
    print(table.round(3).to_string(index=False))
    table.to_csv(chosen.out, index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
