"""Options of the command line that `run` and `tune` share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_data_options(parser: argparse.ArgumentParser, out: str, methods: str) -> None:
    """What to work on, how large, and where; `out` and `methods` say what those are for."""
    parser.add_argument(
        "--data",
        required=True,
        metavar="SPEC",
        help="a slice-set folder, or the built-in phantom:cardiac or phantom:prostate",
    )
    parser.add_argument(
        "--profile", default="quick", help="smoke (seconds), quick (minutes on two cores), medium (hours), full, paper (GPU)"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="runs/NAME", help=out)
    parser.add_argument(
        "--quality",
        nargs="+",
        metavar="NAME",
        help="what is predicted, such as surface_dice; default: all that there are",
    )
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=methods)
