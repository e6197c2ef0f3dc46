"""The command `predict`, and its contact sheet: the slices that a human should look at first, outlined."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from advconf_lite.course.own import contact_sheet
from advconf_lite.data.slices import read_slice_set
from advconf_lite.experiment import predict as predicting
from advconf_lite.experiment.decision import Calibration
from advconf_lite.experiment.outputs import refuse_to_replace
from advconf_lite.experiment.run import open_run
from advconf_lite.figures.outlines import Outlined, one_subject_all_scanners
from advconf_lite.figures.style import png
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically

MOST = 48  # slices on one sheet


def add_options(parser: argparse.ArgumentParser) -> None:
    predicting.add_options(parser)
    parser.add_argument("--sheet", type=Path, metavar="sheet.png", help="a contact sheet of the first slices, worst first")
    parser.add_argument("--sheet-slices", type=int, default=12, metavar="N", help=f"how many, 1 to {MOST}")


def run(chosen: argparse.Namespace) -> int:
    if chosen.sheet is not None and chosen.sheet.suffix != ".png":
        raise BadInput(f"{chosen.sheet} is no .png, which the contact sheet is", argument="sheet")
    if not 1 <= chosen.sheet_slices <= MOST:
        raise BadInput(f"{chosen.sheet_slices} slices are no sheet; give 1 to {MOST}", argument="sheet_slices")
    refuse_to_replace(chosen.sheet, argument="sheet")
    if chosen.sheet is not None and chosen.sheet.resolve() == chosen.out.resolve():
        raise BadInput(f"{chosen.sheet} would replace the scores of that name; give the sheet another one", argument="sheet")
    table = predicting.told(chosen)
    if chosen.sheet is not None:
        draw_sheet(chosen, table.head(chosen.sheet_slices))
        print(f"contact sheet, worst first: {chosen.sheet}")
    return 0


def draw_sheet(chosen: argparse.Namespace, rows: pd.DataFrame) -> None:
    """Rows of the table by `predict` as a picture: what is outlined, what is predicted, and what was decided."""
    opened = open_run(chosen.run_folder, progress=False)
    made = None if chosen.calibration is None else Calibration(chosen.calibration)
    seed = chosen.segmenter_seed if made is None else made.seeds[0]
    cases = contact_sheet(opened, opened.segmenter(seed), read_slice_set(chosen.data), rows, len(rows))
    title = opened.quality(opened.qualities[0] if made is None else made.quality).measure.title
    if made is None:
        cases = [case._replace(predicted={f"predicted {title}": case.predicted["predicted"]}) for case in cases]
    else:
        cases = [_decided(case, row, title) for case, (_, row) in zip(cases, rows.iterrows())]
    drawn = one_subject_all_scanners(cases, opened.experiment.class_names, opened.experiment.spacing_mm, title)
    picture = png(drawn)
    write_atomically(chosen.sheet, lambda temporary: temporary.write_bytes(picture))


def _decided(case: Outlined, row: pd.Series, title: str) -> Outlined:
    names = {f"predicted {title}": "predicted_score", "calibrated": "calibrated_score", "lower bound": "lower_bound"}
    numbers = {name: float(row[column]) for name, column in names.items() if row[column] == row[column]}
    return case._replace(title=f"{case.title}\n{row['decision']}", predicted=numbers)
