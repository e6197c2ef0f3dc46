"""From slices to volumes: is the mean of slice scores, weighted by what is drawn, the score of the volume?

    python benchmarks/volumes.py runs/prostate [runs/cardiac ...] --method adversarial [--save FILE.csv]

Per domain of each finished run, over its volumes and classes: the true Dice of the stack beside means of its slices' Dice,
true and predicted, without and with the weights of `predict`. True slice scores show what the weights lose; predicted ones,
what is left of it when the slices are judged without a truth. The source's slices without a label are left out, as in the
run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from advconf_lite.evaluation.predictions import SLICE  # noqa: E402
from advconf_lite.evaluation.volumes import VOLUME, volume_score  # noqa: E402
from advconf_lite.experiment.run import Run, open_run  # noqa: E402


def volumes(run: Run, method: str, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
    """A row per volume and class: domain, its true Dice, and four means of its slices'."""
    segmenter, rows = run.segmenter(segmenter_seed), []
    table = run.predictions()
    table = table[(table["method"] == method) & (table["quality"] == "dice")]
    table = table[(table["segmenter_seed"] == segmenter_seed) & (table["head_seed"] == head_seed)]
    for domain, part in run.experiment.evaluated().items():
        drawn, truth = segmenter.masks(part.images.to(run.device)).cpu().numpy(), part.masks.numpy()
        keys = part.table.assign(domain=domain, place=range(len(part)))[[*SLICE, "place"]]
        keys[SLICE] = keys[SLICE].astype(str)
        found = table.assign(**{name: table[name].astype(str) for name in SLICE}).merge(keys, on=SLICE)
        for _, some in found.groupby(VOLUME, sort=False):
            at = some["place"].to_numpy()
            for label, name in enumerate(run.experiment.class_names, start=1):
                a, b = (masks[at] == label for masks in (drawn, truth))
                sizes, total = a.sum((1, 2)), a.sum() + b.sum()
                row = {"domain": domain, "true": 2 * (a & b).sum() / total if total else 1.0}
                for kind in ("true", "predicted"):
                    scores = some[f"{kind}_{name}"].to_numpy(float)
                    row[f"{kind}_plain"] = scores.mean()
                    row[f"{kind}_weighted"] = volume_score(scores, sizes)
                rows.append(row)
    return pd.DataFrame(rows)


def summed(table: pd.DataFrame) -> pd.DataFrame:
    """Per domain: volumes, and of each mean its mean absolute error against the true Dice of the stack, and its bias."""
    means = [name for name in table if name not in ("domain", "true")]
    off = table[means].sub(table["true"], axis=0).groupby(table["domain"], sort=False)
    error, bias = off.agg(lambda values: values.abs().mean()), off.mean()
    found = error.join(bias.add_prefix("bias_"))
    found.insert(0, "volumes", off.size())
    return found.reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--method", default="adversarial")
    parser.add_argument("--save", type=Path, metavar="FILE.csv")
    chosen = parser.parse_args()
    found = pd.concat(
        [summed(volumes(open_run(run, progress=False), chosen.method)).assign(run=run.name) for run in chosen.run]
    )
    found = found[["run", *found.columns.drop("run")]]
    print(found.to_string(index=False, float_format="{:.3f}".format))
    if chosen.save:
        found.to_csv(chosen.save, index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
