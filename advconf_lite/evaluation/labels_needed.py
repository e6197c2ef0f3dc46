"""How many labels of a new scanner are worth how much: error, bias and the bound's coverage against their number.

Everything is learned from some of a domain's people and measured on others. Labels are taken in turn: a slice of each
person, then a second one, so that k labels come from as many people as they can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import FEWEST_SUBJECTS, percentiles, seed_weights
from advconf_lite.evaluation.bound import lower_bound
from advconf_lite.evaluation.calibration import FEWEST_PEOPLE, Start, correct, start_from
from advconf_lite.evaluation.predictions import CONSTANT, SEEDS, SLICE, check_predictions, constant_predictions
from advconf_lite.evaluation.release import threshold_for
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import whole

KS = (5, 10, 20, 50)
HELD_OUT = 0.25  # share of a domain's people in each repeat; at least one
# What is summed over the slices of a person who is held out: those with an answer, absolute and signed error, slices above
# the bound, released ones, their risk, failures, failures among the released.
SUMS = ("answered", "absolute", "signed", "above", "released", "risk", "failed", "missed")


class Draw(NamedTuple):
    """One repeat: which slices get labels, in turn (rows), and who is held out (numbers of people)."""

    labelled: np.ndarray
    held_out: np.ndarray


@lru_cache(maxsize=64)
def draws(person: tuple[int, ...], repeats: int, seed: int) -> list[Draw]:
    """Repeats of choosing people and slices; `person` numbers the person of each slice."""
    found, person, people = [], np.array(person), max(person) + 1
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        order = rng.permutation(people)
        out, others = np.split(order, [max(1, int(people * HELD_OUT))])
        mine = rng.permutation(len(person))  # a slice's turn is its place among those of its person
        mine = mine[np.isin(person[mine], others)]
        turn = pd.Series(person[mine]).groupby(person[mine]).cumcount().to_numpy()
        rank = np.argsort(order)[person[mine]]
        found.append(Draw(mine[np.lexsort((rank, turn))], out))
    return found


def labels_needed(
    predictions: pd.DataFrame,
    validation: pd.DataFrame,
    source_domain: str,
    failed_below: float,
    ks: Sequence[int] = KS,
    level: float = 0.9,
    kind: str = "affine",
    risk: float = 0.1,
    repeats: int = 100,
    resamples: int = 1000,
    seed: int = 0,
    watch: Callable[[list], Iterator] = iter,
) -> pd.DataFrame:
    """A row per quality, method, domain and number of labels k; k = 0 is the score as it is.

    All methods and all k of a domain see the same draws of people and slices. Intervals are over people, repeats and seeds,
    drawn anew together. The method "constant" predicts the mean of the source's validation: what labels alone do.

    Args:
        validation: predictions for slices on which nothing was trained; of them only the source's are used, for the start
            of each method, its noise and the threshold.
        failed_below, risk: of the released slices, see `release`.
        watch: takes the list of jobs and gives them one by one, such as a progress bar.

    Returns:
        quality, method, domain, k, n_people (labelled, on average), n_pairs, used (share of the draws in which the
        correction was not refused), mae, bias, coverage (of the bound: mean over people of the share of their slices above
        it; NaN where people are too few), released, released_risk, missed, and gain (MAE without labels minus with), with
        _low and _high of mae, bias, coverage and gain; worse: share of draws in which the error grew by more than 0.001.
        Where a prediction is no finite number, mae, bias, gain and worse are NaN, as in `metrics_table`: over the answered
        slices alone a method would look better. Such a slice has no bound, and is not released.

    Raises:
        BadInput: not a predictions table; no validation of the source; no domain with at least 4 people.
    """
    for value, name in ((repeats, "repeats"), (resamples, "resamples"), *((k, "k") for k in ks)):
        whole(value, name, 1)
    predictions, validation = (
        table[table["method"] != CONSTANT]
        for table in (check_predictions(predictions), check_predictions(validation, "the validation table"))
    )
    source = validation[validation["domain"] == source_domain]
    if source.empty:
        raise BadInput(f"the validation table has no slice of the source {source_domain}; delete it, and it is made anew")
    predictions, source = _with_constant(predictions, source)
    of_source = dict(list(source.groupby(["quality", "method", *SEEDS], sort=False)))
    jobs = [
        (key, part)
        for key, part in predictions.groupby(["quality", "method", "domain"], sort=False)
        if part["subject"].nunique() > FEWEST_PEOPLE and any((*key[:2], *pair) in of_source for pair in _pairs(part))
    ]
    if not jobs:
        raise BadInput(f"no domain has {FEWEST_PEOPLE + 1} people or more, so nobody can be held out; evaluate more of them")
    rows = []
    for key, part in watch(jobs):
        pairs, sums, used, people = [], [], [], []
        for pair in _pairs(part):
            if (known := of_source.get((*key[:2], *pair))) is None:
                continue
            of_pair = part[(part["segmenter_seed"] == pair[0]) & (part["head_seed"] == pair[1])].sort_values(SLICE)
            start = start_from(*_scores(known), bool(known["estimates"].iloc[0]))
            x, y = _scores(known)
            person = pd.factorize(of_pair["subject"].astype(str), sort=True)[0]
            chosen = draws(tuple(person.tolist()), repeats, seed)
            possible = [k for k in ks if k <= min(len(draw.labelled) for draw in chosen)]
            asked = Asked(possible, kind, level, threshold_for(start.map(x), y, risk), failed_below)
            found = [_one(*_scores(of_pair), person, draw, start, asked) for draw in chosen]
            pairs.append(pair)
            for each, values in zip((sums, used, people), zip(*found)):
                each.append(values)
        measured = _measured(np.array(sums), pairs, resamples, seed)
        used, people = (np.mean(values, (0, 1)) for values in (used, people))
        for place, (k, row) in enumerate(zip((0, *possible), measured)):
            counts = {"k": k, "n_people": people[place], "n_pairs": len(pairs), "used": used[place]}
            rows.append({**dict(zip(("quality", "method", "domain"), key)), **counts, **row})
    return pd.DataFrame(rows)


def _with_constant(predictions: pd.DataFrame, source: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with a method more, which predicts the mean of the source's validation for each segmenter."""
    once = source.drop_duplicates([*SLICE, "quality", "segmenter_seed"])
    means = once.groupby(["segmenter_seed", "quality"])["true_score"].mean()
    tables = []
    for table in (predictions, source):
        new = [
            constant_predictions(table[table["segmenter_seed"] == segmenter], {quality: mean})
            for (segmenter, quality), mean in means.items()
        ]
        tables.append(pd.concat([table, *new]))
    return tables[0], tables[1]


def _scores(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table["predicted_score"].to_numpy(float), table["true_score"].to_numpy(float)


def _pairs(table: pd.DataFrame) -> list[tuple[int, int]]:
    return sorted(set(zip(*(table[column] for column in SEEDS))))


class Asked(NamedTuple):
    """What is to be found out with each draw."""

    ks: list[int]
    kind: str
    level: float
    threshold: float
    failed_below: float


def _one(
    predicted: np.ndarray, true: np.ndarray, person: np.ndarray, draw: Draw, start: Start, asked: Asked
) -> tuple[np.ndarray, list[float], list[float]]:
    """Of one draw, for k = 0 and each k: `_sums`; whether the correction was used; of how many people the labels are."""
    out = np.isin(person, draw.held_out)
    expected = start.map(predicted[out])

    def sums(scores: np.ndarray, below: np.ndarray) -> np.ndarray:
        return _sums(scores, below, true[out], person[out], draw.held_out, int(person.max()) + 1, asked)

    found, used, people = [sums(expected, np.full(len(expected), np.nan))], [0.0], [0.0]
    for k in asked.ks:
        some = draw.labelled[:k]
        labels = predicted[some], true[some], person[some]
        correction = correct(*labels, start, asked.kind)
        scores = correction.map(predicted[out])
        bound = lower_bound(*labels, start.map, asked.level)
        found.append(sums(scores, np.minimum(bound.below(expected), scores)))
        used.append(float(correction.used))
        people.append(float(len(np.unique(person[some]))))
    return np.array(found), used, people


def _sums(
    scores: np.ndarray,
    below: np.ndarray,
    true: np.ndarray,
    person: np.ndarray,
    held_out: np.ndarray,
    people: int,
    asked: Asked,
) -> np.ndarray:
    """(people, 1 + SUMS): the number of slices and `SUMS` of each person, NaN for who is not held out."""
    through, failed = scores >= asked.threshold, true < asked.failed_below
    answered = ~np.isnan(scores)
    errors = np.where(answered, scores - true, 0)
    above = np.where(answered & np.isnan(below), np.nan, true >= below - 1e-9)
    columns = (answered, abs(errors), errors, above, through, through * (1 - true), failed, failed & through)
    table = np.full((people, 1 + len(SUMS)), np.nan)
    table[held_out] = 0
    np.add.at(table, person, np.column_stack([np.ones(len(true)), *columns]))
    return table


def _measured(sums: np.ndarray, pairs: list[tuple[int, int]], resamples: int, seed: int) -> list[dict[str, float]]:
    """(pairs, repeats, 1 + ks, people, 1 + SUMS) -> what a row says, for each k."""
    n_pairs, repeats, n_ks, people, _ = sums.shape
    rng = np.random.default_rng([seed, 1])
    once = np.ones(1)
    of_people = np.vstack([np.tile(once, people), rng.multinomial(people, np.full(people, 1 / people), resamples)])
    of_repeats = np.vstack([np.tile(once, repeats), rng.multinomial(repeats, np.full(repeats, 1 / repeats), resamples)])
    of_pairs = seed_weights(pairs, resamples)
    weights = np.einsum("bp,br->prb", of_pairs, of_repeats).reshape(n_pairs * repeats, -1)

    def total(values: np.ndarray) -> np.ndarray:
        """(pairs, repeats, people) -> (1 + resamples,)."""
        drawn = np.nan_to_num(values).reshape(n_pairs * repeats, people) @ of_people.T.astype(float)
        return (drawn * weights).sum(0)

    estimable, rows, before = people >= FEWEST_SUBJECTS, [], None
    with np.errstate(invalid="ignore", divide="ignore"):
        slices_of, *named = np.moveaxis(sums, -1, 0)
        every = dict(zip(SUMS, named))  # (pairs, repeats, 1 + ks, people)
        errors = np.nansum(every["absolute"], 3) / np.nansum(slices_of, 3)
        defined = 1.0 if np.nansum(every["answered"]) == np.nansum(slices_of) else np.nan
        for place in range(n_ks):
            each = {name: values[:, :, place] for name, values in every.items()}
            known = ~np.isnan(each["above"]) & (each["answered"] > 0)
            slices = total(slices_of[:, :, place])
            values = {
                "mae": defined * total(each["absolute"]) / slices,
                "bias": defined * total(each["signed"]) / slices,
                "coverage": total(np.where(known, each["above"] / each["answered"], 0)) / total(known.astype(float)),
            }
            before = values["mae"] if place == 0 else before
            values["gain"] = before - values["mae"]
            row = {}
            for name, value in values.items():
                low, high = percentiles(value[1:]) if estimable else (np.nan, np.nan)
                row |= {name: value[0], f"{name}_low": low, f"{name}_high": high}
            through = total(each["released"])[0]
            row |= {"released": through / slices[0], "released_risk": total(each["risk"])[0] / through}
            row["missed"] = total(each["missed"])[0] / total(each["failed"])[0]
            row["worse"] = defined * float(np.mean(errors[:, :, place] > errors[:, :, 0] + 0.001))
            rows.append(row)
    return rows


def smallest_k(table: pd.DataFrame, share: float = 0.5) -> pd.DataFrame:
    """Per quality, method and domain the smallest k with an MAE below `share` of that without labels; NaN if there is none.

    Columns: quality, method, domain, mae (without labels), k, mae_at_k.
    """
    by = ["quality", "method", "domain"]
    before = table.loc[table["k"] == 0, [*by, "mae"]]
    after = table.loc[table["k"] > 0, [*by, "k", "mae"]].rename(columns={"mae": "mae_at_k"}).merge(before, on=by)
    enough = after[after["mae_at_k"] < share * after["mae"]].sort_values("k").drop_duplicates(by).drop(columns="mae")
    return table[by].drop_duplicates().merge(before, "left", by).merge(enough, "left", by)
