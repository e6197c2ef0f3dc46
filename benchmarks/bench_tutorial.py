"""Where the time of a fresh `run` has gone, from what it has left in its folder.

    python benchmarks/bench_tutorial.py runs/BEFORE [runs/AFTER ...] [--names before after ...] [--save FILE.csv]

In seconds since it began: when the images, the last segmenter, the last head and the end were there, by the files' own times
(copy a folder with cp -a); and for each lesson when it ended, by papermill's. Lessons may overlap.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

import nbformat
import pandas as pd

STAGES = {"images": "data/phantom-*/images.npy", "U-Net": "segmenter-*.safetensors", "heads": "head-*.safetensors"}


def ends(folder: Path) -> pd.Series:
    """Seconds from the beginning of a run to the end of each stage, of each lesson, and of the whole."""
    executed = {path.stem: nbformat.read(path, as_version=4) for path in sorted((folder / "notebooks").glob("*.ipynb"))}
    spans = {
        name: [datetime.fromisoformat(lesson.metadata["papermill"][key]).timestamp() for key in ("start_time", "end_time")]
        for name, lesson in executed.items()
    }
    files = {path: path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}
    began = min([*files.values(), *(begins for begins, _ in spans.values())])
    found = {name: max(made) for name, pattern in STAGES.items() if (made := [files[path] for path in folder.glob(pattern)])}
    found |= {f"lesson {name[:2]}": end for name, (_, end) in spans.items()}
    return pd.Series(found | {"whole": files[folder / "index.html"]}) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="of the folders' columns; their own by default")
    parser.add_argument("--save", metavar="FILE.csv")
    chosen = parser.parse_args()
    names = chosen.names or [folder.name for folder in chosen.folders]
    table = pd.DataFrame({f"{name}_s": ends(folder) for name, folder in zip(names, chosen.folders, strict=True)})
    first = table.iloc[:, 0]
    for name in names[1:]:
        table[f"{name}_ratio"] = table[f"{name}_s"] / first
    table = table.rename_axis("until")
    print(table.round(2).to_string())
    if chosen.save:
        table.reset_index().to_csv(chosen.save, index=False, float_format="%.2f")


if __name__ == "__main__":
    main()
