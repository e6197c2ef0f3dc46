"""What labels of a target were worth, in words and as a small table, from results/evidence-*-labels.csv."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from advconf_lite.evaluation.labels_needed import smallest_k
from advconf_lite.evaluation.verdict import listed

Rows = Sequence[dict[str, str]]
WITHIN = 0.03  # of the level, what a bound's coverage may be off
WORDS = ("fold", "quality", "method", "domain")


def as_table(rows: Rows, quality: str = "dice") -> pd.DataFrame:
    """The curve of one quality as numbers; what could not be measured is NaN, and a fold's domain is one of its own.

    Args:
        rows: fold, quality, method, domain, k, used, and mae, gain, bias and coverage with _low and _high, as text.
    """
    table = pd.DataFrame([row for row in rows if row["quality"] == quality])
    for name in table.columns.difference(WORDS):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    if len(table):
        table["domain"] += table["fold"].map(lambda fold: f" (fold {fold})" if fold else "")
    return table


def fewest_labels(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Column names, and a row for each method: with how many labels its MAE is below half, on each target.

    A method whose MAE no number of labels halves on any target has no row.

    Args:
        table: by `as_table`.
    """
    enough = smallest_k(table).pivot(index="method", columns="domain", values="k")
    domains = list(dict.fromkeys(table["domain"]))
    names = [name for name in dict.fromkeys(table["method"]) if enough.loc[name].notna().any()]
    cells = [[f"{k:.0f}" if k == k else "-" for k in enough.loc[name, domains]] for name in names]
    return ["method", *domains], [[name, *row] for name, row in zip(names, cells)]


def labels_said(table: pd.DataFrame, level: float = 0.9) -> str:
    """When labels halve the error, whether the bound holds on people held out, and whether few labels harm.

    Args:
        table: by `as_table`.
    """
    if table.empty:
        return ""
    few, many = table.loc[table["k"] > 0, "k"].agg(["min", "max"])
    halved: dict[str, list[str]] = {}  # how often and with how many labels -> of which methods
    for method, mine in smallest_k(table).groupby("method", sort=False):
        ks = [f"{k:.0f}" for k in sorted({mine["k"].min(), mine["k"].max()}) if k == k]
        shown = f" ({' to '.join(ks)} labels)" if ks else ""
        halved.setdefault(f"{mine['k'].count()} of {len(mine)} targets{shown}", []).append(method)
    first, *others = sorted(halved, key=lambda shown: -len(halved[shown]))
    most = (
        "each method's MAE" if not others else f"the MAE of {len(halved[first])} of {sum(map(len, halved.values()))} methods"
    )
    parts = [f"Labels halve {most} on {first}" + "".join(f", that of {listed(halved[each])} on {each}" for each in others)]
    covered = table.loc[table["k"] == many, "coverage"].dropna()
    if len(covered):
        within = ((covered - level).abs() <= WITHIN + 1e-9).sum()
        parts.append(
            f"with {many:.0f} labels the {level:.0%} bound covers {covered.mean():.3f} of held-out people's slices on "
            f"average ({covered.min():.3f} to {covered.max():.3f} by method and target), within {100 * WITHIN:.0f} points "
            f"on {within} of {len(covered)}{_outside(table, covered, level)}"
        )
    else:
        parts.append(f"no bound could be measured with {many:.0f} labels")
    with_few = table[(table["k"] == few) & table["gain"].notna()]
    if len(with_few):
        harmed = with_few[with_few["gain"] < 0]
        by = (
            f", by at most {-harmed['gain'].min():.4f} (certainly on {(harmed['gain_high'] < 0).sum()})"
            if len(harmed)
            else ""
        )
        where = f"{len(harmed)} of {len(with_few)} (method and target)"
        parts.append(
            f"with {few:.0f} labels the MAE is larger than without on {where}{by}, and the correction is refused in "
            f"{1 - with_few['used'].mean():.0%} of the draws"
        )
    return "; ".join(parts) + "."


def _outside(table: pd.DataFrame, covered: pd.Series, level: float) -> str:
    """Where a bound covers less than it says, and where more."""
    off = {"less": covered[covered < level - WITHIN - 1e-9], "more": covered[covered > level + WITHIN + 1e-9]}
    parts = [
        f"{word} on {len(some)}, of {listed(list(dict.fromkeys(table.loc[some.index, 'domain'])))}"
        for word, some in off.items()
        if len(some)
    ]
    return f" ({'; '.join(parts)})" if parts else ""
