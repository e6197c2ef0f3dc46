"""The table of predictions: one row per slice, method and pair of seeds; read, checked and merged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.scores import outside

SLICE = ["dataset", "domain", "subject", "phase", "slice"]
SEEDS = ["segmenter_seed", "head_seed"]
TEXT = [*SLICE[:4], "quality", "method"]
WHOLE = ["slice", *SEEDS]
KEYS = ["dataset", "domain", "quality", "method", *SEEDS]
# `estimates`: whether predicted_score estimates true_score, or only ranks slices. Who writes the rows knows it.
PREDICTION_COLUMNS = [*SLICE, "quality", "method", *SEEDS, "estimates", "true_score", "predicted_score"]

# Beside these: true_NAME and predicted_NAME of each class, and which classes the slice's truth lacks. No score says that: 0
# is that of a class that was missed, and of one that was drawn where it is not. Tables of older versions do not have it.
ABSENT, NONE_ABSENT, SEPARATOR = "absent", "-", ";"

CONSTANT = "constant"


def read_predictions(path: str | Path) -> pd.DataFrame:
    """A checked predictions table from a CSV file; text columns are strings even if they look like numbers.

    Raises:
        BadInput: no such file, not a table, a column is missing, `estimates` is not True or False, or a true score is not
            a number from 0 to 1.
    """
    try:
        # A subject or domain called "NA" or "nan" is a name; only empty cells are missing values.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; run the evaluation first, or name the run's folder") from None
    except (OSError, ValueError) as error:  # pandas' parser and encoding errors are ValueErrors
        raise BadInput(f"{path} cannot be read as a table ({error}); delete it and run the evaluation again") from error
    if "estimates" in table:
        table["estimates"] = table["estimates"].map({"True": True, "False": False})
    for column in table.columns.difference([*TEXT, "estimates", ABSENT]):
        try:
            # Python's float() is exact, which the default parser of pandas 2 is not: a merge must not move
            # other rows.
            numbers = table[column].to_numpy(object).astype(np.int64 if column in WHOLE else np.float64)
        except ValueError as error:
            raise BadInput(f"{path}: column {column} holds no number ({error}); delete it and evaluate again") from error
        table[column] = numbers
    return as_text(check_predictions(table, path))


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    # A data set without phases leaves that column empty.
    text = {column: table[column].astype(object).where(table[column].notna(), "").astype(str) for column in TEXT}
    # As they are read again: a single-precision number's own text is a shorter one, and another number in double precision.
    exact = {column: table[column].astype(np.float64) for column in table.select_dtypes(np.float32)}
    return table.assign(**text, **exact, estimates=table["estimates"].astype(bool))


def check_predictions(table: pd.DataFrame, name: str | Path = "the predictions table") -> pd.DataFrame:
    """The same table, or BadInput: a column is missing, a score is no number or a true one not from 0 to 1, a slice is there
    twice, or it is unclear whether a method estimates.

    A predicted score may be NaN or infinite: a network that has no answer. What the metrics make of it is said there.
    """
    if not isinstance(table, pd.DataFrame):
        raise BadInput(f"{name} is a {type(table).__name__}; give a table (pandas.DataFrame) of predictions")
    missing = [column for column in PREDICTION_COLUMNS if column not in table.columns]
    if missing:
        needed = ", ".join(PREDICTION_COLUMNS)
        raise BadInput(
            f"{name} lacks the column(s) {', '.join(missing)} of {needed}; delete it and run the evaluation again"
        )
    for column in ("true_score", "predicted_score"):
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.isnan(values) & table[column].notna().to_numpy()
        allowed = "not a number"
        if column == "true_score":
            wrong, allowed = ~np.isfinite(values) | outside(values), "not a number from 0 to 1 (percentages: divide by 100)"
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise BadInput(
                f"{name}: {column} in data row {row + 1} is {table[column].iloc[row]}, {allowed}; "
                f"remove the rows of method {table['method'].iloc[row]!r} and run it again"
            )
    unclear = ~table["estimates"].isin([True, False])
    if unclear.any():
        row = int(np.flatnonzero(unclear)[0])
        raise BadInput(f"{name}: estimates in data row {row + 1} is neither True nor False; delete it and evaluate again")
    kinds = table.groupby("method")["estimates"].nunique()
    if (kinds > 1).any():
        method = kinds.index[kinds > 1][0]
        raise BadInput(f"{name}: {method} estimates in some rows and only ranks in others; give its rows one kind")
    twice = table.duplicated([*SLICE, "quality", "method", *SEEDS])
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise BadInput(f"{name}: data row {row + 1} repeats a slice of the same method and seeds; remove one of the two")
    return table


def named_slices(rows: pd.DataFrame, most: int = 5) -> str:
    """The first few slices of a table in words."""
    several = rows["domain"].nunique() > 1
    names = []
    for row in rows.head(most).itertuples():
        words = [f"{row.domain}"] * several + [f"subject {row.subject}"] + [f"{row.phase}"] * bool(row.phase == row.phase)
        names.append(" ".join(word for word in [*words, f"slice {row.slice}"] if word))
    return ", ".join(names) + (f" and {len(rows) - most} others" if len(rows) > most else "")


def unanswered(table: pd.DataFrame) -> list[str]:
    """A sentence for each method, quality and pair of seeds that has no finite prediction for some slices: which ones."""
    lost = table[~np.isfinite(table["predicted_score"].to_numpy(np.float64))]
    sentences = []
    for key, rows in lost.groupby(["method", "quality", "domain", *SEEDS], sort=False):
        same = np.logical_and.reduce([table[k] == v for k, v in zip(["method", "quality", "domain", *SEEDS], key)])
        sentences.append(
            f"{key[0]} has no finite prediction of {key[1]} for {len(rows)} of {same.sum()} slices of {key[2]} (segmenter "
            f"seed {key[3]}, head seed {key[4]}): {named_slices(rows)}; they rank last, a human must look at them"
        )
    return sentences


def merge_predictions(path: str | Path, new_rows: pd.DataFrame) -> pd.DataFrame:
    """Put `new_rows` into the table at `path`, replacing the groups (`KEYS`) they contain; returns the table.

    A stage that is repeated, or was interrupted, so neither duplicates rows nor loses those of other stages.
    The file is replaced as a whole.

    Raises:
        BadInput: either table is not a predictions table, or the file cannot be written.
    """
    path = Path(path)
    table = as_text(check_predictions(new_rows, "the new predictions"))
    if path.exists():
        old = read_predictions(path)
        replaced = pd.MultiIndex.from_frame(old[KEYS]).isin(pd.MultiIndex.from_frame(table[KEYS]).unique())
        if not replaced.all():
            table = pd.concat([old[~replaced], table], ignore_index=True)
    classes = [column for column in table.columns if column not in PREDICTION_COLUMNS]
    table = table[[*PREDICTION_COLUMNS, *classes]]
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))
    return table


def class_names(predictions: pd.DataFrame) -> list[str]:
    """The classes whose scores a predictions table has, in its order."""
    names = [column.removeprefix("true_") for column in predictions if column.startswith("true_") and column != "true_score"]
    return [name for name in names if f"predicted_{name}" in predictions]


def constant_predictions(
    predictions: pd.DataFrame, constant: dict[str, float] | dict[str, dict[str, float]]
) -> pd.DataFrame:
    """The rows of method "constant", head seed 0: one number per quality as the prediction of every slice.

    With numbers for classes too, a quality has them by column: {"predicted_score": 0.8, "predicted_LV": 0.9}.
    """
    rows = predictions[predictions["quality"].isin(list(constant))]
    # The true score belongs to the segmenter, so one row per slice and segmenter seed is all there is.
    rows = rows.drop_duplicates([*SLICE, "quality", "segmenter_seed"])
    given = {q: one if isinstance(one, dict) else {"predicted_score": one} for q, one in constant.items()}
    names = [name for name in class_names(rows) if any(f"predicted_{name}" in one for one in given.values())]
    predicted = {
        column: rows["quality"].map({quality: one.get(column, np.nan) for quality, one in given.items()}).astype(float)
        for column in ["predicted_score", *(f"predicted_{name}" for name in names)]
    }
    true = [*([ABSENT] if names and ABSENT in rows else []), *(f"true_{name}" for name in names)]
    return rows[[*PREDICTION_COLUMNS, *true]].assign(method=CONSTANT, head_seed=0, estimates=True, **predicted)
