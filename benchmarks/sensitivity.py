"""How large a perturbation has to be, once Algorithm 1 has aligned: phantom beside real images, by the same recipe.

    python benchmarks/sensitivity.py runs/cardiac runs/prostate runs/acdc [--steps 2000]

For each finished run, one adversarial Dice head is trained on its first segmenter with the run's settings until the loop
has aligned (median true drop of 100 steps at least half of delta_s), or --steps are over. Printed are the size of the
perturbation then, the true drop that it causes on source validation slices, and that of a Gaussian direction of the same
norm. The last run is the reference of the ratios.
"""

from __future__ import annotations

import argparse
from statistics import median

from advconf_lite.adversarial import relative_norm, segment
from advconf_lite.augmentation import Augmenter
from advconf_lite.course.probing import apply_delta, head_delta
from advconf_lite.experiment.heads import untrained_head
from advconf_lite.experiment.parts import to_device
from advconf_lite.experiment.run import Run, open_run
from advconf_lite.head_training import new_algorithm
from advconf_lite.methods.controls import random_delta
from advconf_lite.training import draw_batch

WINDOW = 100


def align(run: Run, steps: int, head_seed: int) -> dict[str, float]:
    """Train until aligned; what it took."""
    settings, segmenter, g = run.settings, run.segmenter(0), run.quality("dice")
    head = untrained_head(run, segmenter, "dice", head_seed).train()
    loop, augment = new_algorithm(head, g, settings), Augmenter(settings.augmentations)
    train = to_device(run.experiment.train, run.device)
    drops: list[float] = []
    norms: list[float] = []
    for step in range(steps):
        x, y = draw_batch(train, settings.batch_size, augment, "head batch", head_seed, step)
        clean = segment(segmenter, x, y, gradient=step >= settings.warmup_batches)
        if step < settings.warmup_batches:
            loop.plain_step(clean)
            continue
        row = loop.step(segmenter, clean)
        if "true_drop" in row:
            drops.append(row["true_drop"])
            norms.append(row["delta_norm"])
        if len(drops) >= WINDOW and median(drops[-WINDOW:]) >= 0.5 * settings.delta_s:
            break
    x, y = to_device(run.experiment.val, run.device)
    delta = head_delta(segmenter, head, x, loop.alpha, settings)
    return {
        "steps": step + 1,
        "true drop": median(drops[-WINDOW:]),
        "norm": median(norms[-WINDOW:]),
        "fresh true drop": apply_delta(segmenter, head, x, y, delta, g).true_drop.mean().item(),
        "fresh norm": relative_norm(delta, x).median().item(),
        "random true drop": apply_delta(segmenter, head, x, y, random_delta(delta), g).true_drop.mean().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--head-seed", type=int, default=0)
    chosen = parser.parse_args()
    rows = {folder: align(open_run(folder, progress=False), chosen.steps, chosen.head_seed) for folder in chosen.runs}
    reference = rows[chosen.runs[-1]]
    for folder, row in rows.items():
        print(
            folder,
            ", ".join(f"{name} {value:.4g}" for name, value in row.items()),
            f"; norm / reference {row['norm'] / reference['norm']:.2f}, "
            f"fresh {row['fresh norm'] / reference['fresh norm']:.2f}",
        )


if __name__ == "__main__":
    main()
