"""What a finished run is known to predict, on its own domains and on validation: the ground of `calibrate` and `triage`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from advconf_lite.evaluation.predictions import CONSTANT, SEEDS, read_predictions
from advconf_lite.evaluation.rules import over_all_classes
from advconf_lite.support.numbers import one_of


def known_predictions(
    folder: Path, method: str | None, quality: str | None, source: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Of a finished run: predictions of its domains, those of its validation slices, and the source's name; the scores as
    `predict` gives them, without knowledge of which classes the truth has.

    validation.csv is made if it lacks something, which takes the run's networks; with it, no network is needed. If `source`
    is given, that domain of predictions.csv stands in for validation.

    Raises:
        BadInput: no such run, method, quality or domain.
    """
    found = _known(Path(folder), method, quality, source)
    if not _averages_over_present(Path(folder)):
        return found
    return over_all_classes(found[0]), over_all_classes(found[1]), found[2]


def _averages_over_present(folder: Path) -> bool:
    path = folder / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))["profile"]["settings"] if path.exists() else {}
    return settings.get("average_over") == "present"


def _known(
    folder: Path, method: str | None, quality: str | None, source: str | None
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    table = read_predictions(folder / "predictions.csv")
    table = table[table["method"] != CONSTANT]
    for name, value in (("method", method), ("quality", quality)):
        if value is not None:
            table = table[table[name] == one_of(value, name, dict.fromkeys(table[name]))]
    if source is not None:
        return table, table[table["domain"] == one_of(source, "source", dict.fromkeys(table["domain"]))], source
    keys = ["quality", "method", *SEEDS]
    wanted = set(table[keys].itertuples(index=False, name=None))
    if (folder / "validation.csv").exists():
        validation = read_predictions(folder / "validation.csv")
        both = set(validation["domain"]) & set(table["domain"])  # no scanner is for choosing and for testing
        if set(validation[keys].itertuples(index=False, name=None)) >= wanted and len(both) == 1:
            return table, validation[validation.set_index(keys).index.isin(wanted)], both.pop()
    from advconf_lite.experiment.run import open_run  # imports torch, which reading does not need

    opened = open_run(folder)
    validation = opened.validation(list(dict.fromkeys(table["method"])), sorted({key[2:] for key in wanted}))
    return table, validation, opened.experiment.slices.source_domain
