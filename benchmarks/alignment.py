"""Does Algorithm 1 align, and is the phantom as easy to fool as real images? Reads finished runs.

    python benchmarks/alignment.py runs/A [runs/B ...]

First table, per head: medians of the true drop over the first 50 adversarial steps and over the last tenth, and the same
for fresh perturbations of source validation images with the last alpha. Second table, per run: spread of Dice over source
validation slices, how far segmenter seeds agree on which are hard, ||delta|| / ||x|| at the end of training, and the true
drop that a Gaussian direction of the same norm causes. A loop that has not aligned by then has perturbations that mean
little, so there is also the size at equal effect: how long the head's own direction must be to cost source validation
images half of delta_s in truth, which is where alignment is said to begin.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import pandas as pd
import torch
from torch import nn

from advconf_lite.adversarial import relative_norm
from advconf_lite.course.probing import apply_delta, fresh_drops, head_delta
from advconf_lite.experiment.run import Run, open_run
from advconf_lite.segmenter import Segmenter


def seeds_of(run: Run) -> list[tuple[int, int]]:
    history = run.history()
    heads = history[(history["stage"] == "head") & (history["method"] == "adversarial")]
    return [tuple(map(int, pair)) for pair in heads[["segmenter_seed", "head_seed"]].drop_duplicates().to_numpy()]


def alignment(run: Run) -> pd.DataFrame:
    """One row per adversarial head: drops in units of delta_s."""
    history, rows, delta_s = run.history(), [], run.settings.delta_s
    for s, h in seeds_of(run):
        segmenter = run.segmenter(s)
        heads = {key: head for key, head in run.heads(s, h).items() if key[0] == "adversarial"}
        steps = {
            q: history[
                (history["method"] == "adversarial")
                & (history["quality"] == q)
                & (history["segmenter_seed"] == s)
                & (history["head_seed"] == h)
            ]
            for q in run.qualities
        }
        alphas = {key: float(steps[key[1]]["alpha"].iloc[-1]) for key in heads}
        fresh = fresh_drops(run, segmenter, heads, run.experiment.val, alphas).set_index("quality")
        for quality in run.qualities:
            adversarial = steps[quality]["true_drop"].dropna()
            last = steps[quality].tail(max(1, len(adversarial) // 10))
            rows.append(
                {
                    "run": run.folder.name,
                    "quality": quality,
                    "segmenter": s,
                    "head": h,
                    "first 50": adversarial.head(50).median() / delta_s,
                    "last tenth": last["true_drop"].median() / delta_s,
                    "fresh": fresh.loc[quality, "true drop"] / delta_s,
                    "norm": last["delta_norm"].median(),
                    "fresh norm": fresh.loc[quality, "||delta|| / ||x||"],
                    "norm at half": norm_at_half(run, segmenter, heads["adversarial", quality], quality),
                    "random": fresh.loc[quality, "true drop, random direction"] / delta_s,
                }
            )
    return pd.DataFrame(rows)


def norm_at_half(run: Run, segmenter: Segmenter, head: nn.Module, quality: str) -> float:
    """||delta|| / ||x||, median over source validation slices, at which their mean true drop is half of delta_s; inf if
    none up to 0.3 is."""
    x, y = (tensor.to(run.device) for tensor in run.experiment.val.pair())
    direction = head_delta(segmenter, head, x, 1.0, run.settings)
    direction = direction / relative_norm(direction, x)[:, None, None, None].clamp_min(1e-12)  # ||delta|| = ||x||
    before = 0.0, 0.0
    for norm in np.geomspace(0.003, 0.3, 25):
        drop = apply_delta(segmenter, head, x, y, norm * direction, run.quality(quality)).true_drop.mean().item()
        if drop >= 0.5 * run.settings.delta_s:
            return float(np.interp(0.5 * run.settings.delta_s, [before[1], drop], [before[0], norm]))
        before = norm, drop
    return np.inf


def realism(run: Run, aligned: pd.DataFrame) -> dict[str, object]:
    """One row: what the source looks like to a segmenter and to Algorithm 1 (Dice heads)."""
    segmenter_seeds = sorted({s for s, _ in seeds_of(run)})
    x, y = run.experiment.val.images.to(run.device), run.experiment.val.masks.to(run.device)
    scores = {
        s: torch.cat([run.quality("dice")(run.segmenter(s).masks(a), b).mean(1) for a, b in zip(x.split(64), y.split(64))])
        .cpu()
        .numpy()
        for s in segmenter_seeds
    }
    r = [np.corrcoef(scores[a], scores[b])[0, 1] for a, b in itertools.combinations(segmenter_seeds, 2)]
    dice = aligned[aligned["quality"] == "dice"]
    return {
        "run": run.folder.name,
        "slices": len(x),
        "Dice median": np.median(np.concatenate(list(scores.values()))),
        "Dice std": np.mean([s.std() for s in scores.values()]),
        "r between seeds": min(r) if r else np.nan,
        "norm, last tenth": dice["norm"].median(),
        "norm, fresh": dice["fresh norm"].median(),
        "norm at equal effect": dice["norm at half"].median(),
        "true drop, last tenth": dice["last tenth"].median() * run.settings.delta_s,
        "true drop, random": dice["random"].median() * run.settings.delta_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    chosen = parser.parse_args()
    runs = [open_run(folder, progress=False) for folder in chosen.runs]
    tables = [alignment(run) for run in runs]
    pd.set_option("display.width", 200)
    print("true drop / delta_s: below 0.3 at first, at least 0.5 in the end, is what the paper's Figure 1 shows")
    whole = pd.concat(tables, ignore_index=True)
    print(whole.round(3).to_string(index=False))
    verdict = whole.assign(
        **{
            "first < 0.3": whole["first 50"] < 0.3,
            "last >= 0.5": whole["last tenth"] >= 0.5,
            "fresh >= 0.5": whole["fresh"] >= 0.5,
        }
    )
    print("\nshare of heads that do so")
    print(verdict.groupby(["run", "quality"], sort=False)[["first < 0.3", "last >= 0.5", "fresh >= 0.5"]].mean().round(2))
    print("\nsource validation, side by side (Dice heads)")
    print(pd.DataFrame([realism(*pair) for pair in zip(runs, tables)]).round(4).T.to_string(header=False))


if __name__ == "__main__":
    main()
