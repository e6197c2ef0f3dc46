"""The figures of each protocol: who beats Algorithm 1 and strong augmentation, what labels are worth, and whether a slice
that is said to have 0.8 has it.

    python docs/draw_evidence.py            # after a change of results/evidence-*-differences.csv, -labels.csv or -bins.csv
    python docs/draw_evidence.py --check    # changes nothing; names each figure that is not of its table

Writes docs/results/evidence-*.png, which the pages show. Each notes what it was drawn from, so a check need not draw.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import evidence_blocks  # noqa: E402
from render import Results  # noqa: E402

from advconf_lite.evaluation.answer import ENDPOINTS, NAMES, RIVALS, Compared  # noqa: E402
from advconf_lite.evaluation.predictions import CONSTANT  # noqa: E402
from advconf_lite.evaluation.verdict import OPEN  # noqa: E402
from advconf_lite.figures.calibrating import by_labels, reliability_panels  # noqa: E402
from advconf_lite.figures.style import WIDTH, method_cue, png, styled  # noqa: E402

WORTH = (
    "adversarial",
    "strong-augmentation",
    "soft-dice",
    "agreement-15",
    "ensemble-3",
    CONSTANT,
)  # more would hide each other
ESTIMATES = (
    "adversarial",
    "strong-augmentation",
    "adversarial+strong",
    "soft-dice",
    "agreement-15 mapped",
    "ensemble-3 mapped",
)
KINDS = {"differences": "", "labels": "-labels", "bins": "-bins"}  # of tables -> end of the picture's name
NOTED = "made of"  # in the PNG: the hash of the table and of this file


@styled
def against_rivals(found: Compared) -> Figure:
    """A panel for each endpoint, a row for each method, in it an interval for each rival; best eAURC at the top.

    A mark is filled where the whole interval lies on one side of 0. A method that only ranks has no MAE. The name of a
    method that beats both rivals in both is in bold letters.
    """
    first = ENDPOINTS[0]
    methods = sorted(found.tried, key=lambda name: sum(f.difference for f in found.findings(name, first)))
    winners = found.winners(*ENDPOINTS)
    fig = Figure(figsize=(WIDTH, 0.4 * len(methods) + 1.8), layout="constrained")
    axes = fig.subplots(1, len(ENDPOINTS), sharey=True)
    for ax, metric in zip(axes, ENDPOINTS):
        for place, name in enumerate(methods):
            for rival, shift in zip(RIVALS, (-0.17, 0.17)):
                cue = method_cue(rival)
                for f in found.findings(name, metric, (rival,)):
                    ax.hlines(place + shift, f.low, f.high, color=cue.colour, lw=1.6)
                    inside = "white" if f.word == OPEN else cue.colour
                    ax.plot(f.difference, place + shift, marker=cue.marker, ms=6.5, mec=cue.colour, mfc=inside, mew=1.3)
        ax.axvline(0, color="0.2", lw=0.9)
        ax.grid(False, axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        for place in range(1, len(methods)):
            ax.axhline(place - 0.5, color="0.92", lw=0.7, zorder=0)
        ax.set(xlabel=f"{NAMES[metric]} minus the rival's\n(left of 0 is better)", ylim=(len(methods) - 0.5, -0.5))
    axes[0].set_yticks(range(len(methods)), methods)
    for label in axes[0].get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in winners else "normal")
    cues = {rival: method_cue(rival) for rival in RIVALS}
    handles = [Line2D([], [], color=c.colour, marker=c.marker, ms=6.5, label=f"minus {rival}") for rival, c in cues.items()]
    handles += [Line2D([], [], color="0.3", marker="o", mfc="white", ls="none", ms=6.5, label="hollow: not told apart")]
    fig.legend(handles=handles, loc="outside upper center", ncols=3)
    fig.supxlabel("whiskers: 95 % interval over people and pairs of seeds")
    return fig


def worth_of_labels(worth: pd.DataFrame) -> Figure:
    """MAE against the number of labels, of the methods in `WORTH`."""
    return by_labels(worth[worth["method"].isin(WORTH)])


def picture_of(files: dict, name: str, kind: str) -> Figure:
    if kind == "labels":
        return worth_of_labels(evidence_blocks.worth_of(files, name))
    if kind == "bins":
        return reliability_panels(evidence_blocks.bins_of(files, name, ESTIMATES))
    return against_rivals(evidence_blocks.compared(files, name))


def hash_of(table: Path) -> str:
    return hashlib.sha256(table.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def not_of_their_tables(root: Path) -> list[tuple[str, Path, Path]]:
    """(kind, table, picture) of each table that has no picture, or one of another table or drawing."""
    found = []
    for kind, end in KINDS.items():
        for table in sorted((root / "results").glob(f"evidence-*-{kind}.csv")):
            picture = root / "docs" / "results" / f"{table.stem.removesuffix('-' + kind)}{end}.png"
            if picture.exists():
                with Image.open(picture) as image:
                    if image.info.get(NOTED) == hash_of(table):
                        continue
            found.append((kind, table, picture))
    return found


def draw(root: Path) -> list[Path]:
    """Bring all pictures up to their tables; returns those that were drawn."""
    results, drawn = Results(root / "results"), []
    for kind, table, picture in not_of_their_tables(root):
        note = PngInfo()
        note.add_text(NOTED, hash_of(table))
        fig = picture_of(results.files, table.stem.removesuffix(f"-{kind}"), kind)
        with Image.open(io.BytesIO(png(fig))) as image:
            image.save(picture, pnginfo=note, optimize=True)
        drawn.append(picture)
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        print(f"{len(draw(ROOT))} pictures drawn")
        return 0
    old = not_of_their_tables(ROOT)
    for _, table, picture in old:
        print(f"docs/results/{picture.name} is not of results/{table.name}; run python docs/draw_evidence.py")
    return int(bool(old))


if __name__ == "__main__":
    sys.exit(main())
