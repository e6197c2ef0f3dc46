"""What lesson 04 looks at: promises that were broken, differences on shared seeds, and the other organ beside this one."""

from __future__ import annotations

import io
import lzma
from collections.abc import Sequence

import pandas as pd

from advconf_lite.course.edition import check_sums, find_artefacts, read_manifest
from advconf_lite.course.saying import say
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.predictions import CONSTANT, SEEDS, SLICE, read_predictions
from advconf_lite.evaluation.verdict import UNKNOWN, findings, shared
from advconf_lite.experiment.run import Run
from advconf_lite.figures.promises import by_excess
from advconf_lite.figures.style import METHODS, ordered
from advconf_lite.phantom.organs import ORGANS
from advconf_lite.support.errors import BadInput

EQUAL = 0.5  # where more than this share of the slices has one and the same true score, there is no order to predict
MIXED = 0.75  # a scanner on which more than this share of the slices fails has nothing left to rank


def with_images(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Those rows of a predictions table whose images are there; of what ships there are more predictions than images."""
    keys = []
    for domain, part in run.experiment.evaluated().items():
        columns = [part.table[name].astype(str if name != "slice" else int) for name in SLICE[2:]]
        keys += list(zip(part.table["dataset"].astype(str), [domain] * len(part), *columns))
    return rows[rows.set_index(SLICE).index.isin(pd.MultiIndex.from_tuples(keys, names=SLICE))]


def of_first_pair(predictions: pd.DataFrame, quality: str) -> pd.DataFrame:
    """The rows of one quality and of the first pair of seeds; those of the constant as they are."""
    rows = predictions[predictions["quality"] == quality]
    pair = min(zip(*(rows.loc[rows["method"] != CONSTANT, column] for column in SEEDS)))
    return rows[(rows[SEEDS] == list(pair)).all(axis=1) | (rows["method"] == CONSTANT)]


def overpromised(run: Run, predictions: pd.DataFrame, method: str, quality: str, n: int = 6) -> pd.DataFrame:
    """The n slices of the targets for which a method, with the first pair of seeds, promised most above what they are worth;
    one of each subject first, since neighbouring slices look alike."""
    rows = of_first_pair(predictions[predictions["method"] == method], quality)
    rows = by_excess(with_images(run, rows[rows["domain"] != run.experiment.slices.source_domain]))
    again = rows.duplicated(["domain", "subject"])
    return pd.concat([rows[~again], rows[again]]).head(n)


def telling_scanner(rows: pd.DataFrame, source: str | None, failed_below: float) -> str | None:
    """The target with the most failures among those that are no failure as a whole: a quarter of it at least is good."""
    targets = rows[rows["domain"] != source]
    share = (targets["true_score"] < failed_below).groupby(targets["domain"], sort=False).mean()
    if share.empty:
        return source
    mixed = share[share <= MIXED]
    return str((mixed if len(mixed) else share).idxmax())


def methods_of(predictions: pd.DataFrame, first: str = "adversarial") -> list[str]:
    """The methods of a table, never the constant: `first` if it is there, then what estimates, then what only ranks."""
    names, estimates = ordered(predictions["method"], METHODS), predictions.groupby("method")["estimates"].first()
    return sorted((name for name in names if name != CONSTANT), key=lambda name: (name != first, not estimates[name]))


def differences(
    predictions: pd.DataFrame, source: str | None, reference: str, others: Sequence[str], resamples: int = 1000
) -> pd.DataFrame:
    """`evaluation.compare`, each of the others on the pairs of seeds that it shares with the reference."""
    parts = [(other, shared(predictions, reference, other)) for other in others]
    found = [compare(part, reference, [other], source, resamples) for other, part in parts if len(part)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def beside_the_constant(predictions: pd.DataFrame, constants: pd.DataFrame, source: str | None) -> pd.DataFrame:
    """MAE of each method that estimates, minus the constant's on the same slices: rows of `compare`, `method` the head.

    Args:
        constants: the rows of the method "constant", which are of the U-Net alone: each head is set beside them.
    """
    found = []
    for name in methods_of(predictions[predictions["estimates"].astype(bool)]):
        ours = predictions[predictions["method"] == name]
        pairs = ours[SEEDS].drop_duplicates()
        theirs = constants.drop(columns="head_seed").merge(pairs, on="segmenter_seed")[constants.columns]
        rows = compare(pd.concat([ours, theirs], ignore_index=True), name, [CONSTANT], source)
        found.append(rows[rows["metric"] == "mae"].assign(method=name))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def word_for(
    predictions: pd.DataFrame, source: str | None, method: str, other: str, metric: str, quality: str
) -> str | None:
    """better, worse or not told apart; None where a method is missing, or there is no interval."""
    rows = predictions[predictions["quality"] == quality]
    if not {method, other} <= set(rows["method"]) or method == other:
        return None
    found = findings(rows, source, method, [other])
    return next((f.word for f in found if f.metric == metric and f.word != UNKNOWN), None)


def nothing_to_rank(predictions: pd.DataFrame, source: str | None, quality: str) -> pd.Series:
    """Share of slices with the most frequent true score, of those targets where it is more than half of them."""
    rows = predictions[(predictions["quality"] == quality) & (predictions["domain"] != source)]
    share = rows.groupby("domain", sort=False)["true_score"].agg(lambda true: true.value_counts(normalize=True).max())
    return share[share > EQUAL].astype(float)


def gain_table(
    metrics: pd.DataFrame, flat: pd.Series, source: str | None, method: str, other: str, metric: str, quality: str
) -> pd.DataFrame:
    """`other`, `method` and the difference on each target, the largest gain first; below them the mean, and the mean
    without those that have nothing to rank (`flat`, by `nothing_to_rank`), as far as there are such and others."""
    rows = metrics[(metrics["quality"] == quality) & (metrics["domain"] != source)]
    table = rows.pivot_table(index="domain", columns="method", values=metric, aggfunc="mean", sort=False)
    if not {method, other} <= set(table):
        return pd.DataFrame(columns=[other, method, "difference", "one true score"])
    table = table[[other, method]].dropna().rename_axis(columns=None)
    table["difference"] = table[method] - table[other]
    table = table.sort_values("difference", ascending=False, kind="stable")
    means = {"mean": table}
    rest = table.drop(flat.index, errors="ignore")
    if 0 < len(rest) < len(table):
        means[f"mean without {len(table) - len(rest)}"] = rest
    below = pd.DataFrame({name: part.mean() for name, part in means.items()}).T
    table["one true score"] = [f"{flat[name]:.0%}" if name in flat else "" for name in table.index]
    return pd.concat([table, below.assign(**{"one true score": ""})])


def shipped_predictions(organ: str) -> tuple[pd.DataFrame, str]:
    """The predictions that ship of an organ, and its source scanner.

    Raises:
        BadInput: nothing ships, or not of this organ.
    """
    folder = find_artefacts()
    manifest = read_manifest(folder)
    if organ not in manifest["organs"]:
        raise BadInput(f"nothing ships of {organ}; what does: {', '.join(manifest['organs'])}")
    check_sums(folder, manifest, organ)
    text = lzma.decompress((folder / organ / "predictions.csv.xz").read_bytes())
    source = pd.read_json(folder / organ / "dataset.json", typ="series")["source_domain"]
    return read_predictions(io.BytesIO(text)), source


def beside_the_other_organ(run: Run, table: pd.DataFrame, reference: str = "adversarial") -> pd.DataFrame:
    """`differences` of this run, and below it those of the phantom's other organ, if they ship: with a column `organ`.

    Of the other organ the same methods are taken, as far as they ship; of own images the table comes back as it is.
    """
    kind, _, organ = run.data.partition(":")
    if kind != "phantom" or table.empty:
        return table
    here, there = table.assign(organ=f"{organ}, this run"), []
    for other in sorted(ORGANS.keys() - {organ}):
        try:
            predictions, source = shipped_predictions(other)
        except BadInput:
            say(f"No predictions of the other organ, {other}, are brought along here; this run stands alone.")
            continue
        wanted = [name for name in dict.fromkeys(table["method"]) if name in set(predictions["method"])]
        rows = predictions[predictions["quality"].isin(table["quality"])]
        there.append(differences(rows, source, reference, wanted).assign(organ=f"{other}, as shipped"))
    return pd.concat([here, *there], ignore_index=True)
