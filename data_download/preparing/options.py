"""Options of `prepare` that mean the same for every data set."""

from __future__ import annotations

import argparse
import re


def add_common_options(parser: argparse.ArgumentParser, spacing_mm: float | None, size: int | None) -> None:
    """Add them, with the data set's own grid as the default; None is worked out from the images."""
    parser.add_argument("--source", required=True, metavar="DIR", help="the data set: its folder, or its archive")
    parser.add_argument("--out", metavar="DIR", help="the slice set to write")
    parser.add_argument("--dry-run", action="store_true", help="show how the files are understood, and stop there")
    parser.add_argument("--spacing", type=positive(float), default=spacing_mm, help="pixel size in mm")
    parser.add_argument("--size", type=positive(int), default=size, help="height and width in pixels, by centre crop or pad")
    parser.add_argument(
        "--orientation",
        choices=("aligned", "as-stored"),
        default="aligned",
        help="turn and flip the planes so that all lie the same way up, or leave them, as the published code does",
    )
    parser.add_argument(
        "--slice-axis",
        choices=("auto", "0", "1", "2"),
        default="auto",
        help="the axis of the stored arrays that counts the slices; auto: that of the largest spacing",
    )
    parser.add_argument(
        "--split",
        choices=("subject", "slice"),
        default="subject",
        help="keep subjects apart, or draw slices at random as the published code does, which leaks",
    )
    parser.add_argument("--seed", type=int, default=0, help="which subjects (or slices) go where")
    parser.add_argument(
        "--fold",
        type=_fold,
        metavar="K/N",
        help="cut the source's subjects into N folds and test on the K-th, so that N sets test each subject once; "
        "without it a quarter of them is for testing",
    )
    parser.add_argument("--keep-empty", action="store_true", help="keep slices without a foreground pixel")
    parser.add_argument("--skip-bad", action="store_true", help="leave out subjects with bad files and list them at the end")
    parser.add_argument("--workers", type=positive(int), default=None, help="processes; default one per core")
    parser.add_argument(
        "--montage", metavar="DIR", help="also draw a picture of each domain, with its masks, into this folder"
    )
    parser.add_argument(
        "--note",
        metavar="TEXT",
        help="a remark to keep in dataset.json, such as "
        "'the headers of this copy are placeholders, millimetres are nominal'",
    )


def _fold(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no fold K/N with K from 1 to N, such as 1/5")
    return int(match[1]), int(match[2])


def positive(kind: type):
    """An argparse type: a positive, finite number."""

    def convert(text: str):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a positive number")
        return value

    convert.__name__ = kind.__name__  # argparse names it when the text is no number
    return convert
