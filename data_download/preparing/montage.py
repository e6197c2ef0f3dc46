"""A picture of each domain: slices of different subjects with their masks outlined, to be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advconf_lite.data.slices import SliceSet
from advconf_lite.support.errors import BadInput

COLUMNS, ROWS = 6, 2


def montages(data: SliceSet, folder: str | Path) -> list[Path]:
    """Write montage-DOMAIN.png for every domain of `data` into `folder`; returns the paths.

    Raises:
        BadInput: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_montage(data.select(domain=name), folder / f"montage-{name}.png") for name in data.domains]
    except OSError as error:
        raise BadInput(f"cannot write {folder}: {error.strerror or error}; give --montage another folder") from error


def chosen_rows(data: SliceSet, number: int = COLUMNS * ROWS) -> list[int]:
    """Middle slices of as many subjects as possible, spread over the domain."""
    groups = [rows.index.to_numpy() for _, rows in data.table.groupby(["subject", "phase"], sort=False)]
    picked = [groups[index] for index in np.unique(np.linspace(0, len(groups) - 1, number).round().astype(int))]
    return [int(rows[len(rows) // 2]) for rows in picked]


def _montage(data: SliceSet, path: Path) -> Path:
    from advconf_lite.figures.images import samples  # matplotlib takes a second that no other command needs

    chosen = chosen_rows(data)
    entries = [data.table.iloc[row] for row in chosen]
    titles = [f"{entry['subject']}\n{entry['phase']} slice {entry['slice']}" for entry in entries]
    masks = None if data.masks is None else np.stack([data.masks[row] for row in chosen])
    images = np.stack([data.images[row] for row in chosen])
    figure = samples(images, masks, titles, data.class_names, data.spacing_mm, COLUMNS)
    figure.suptitle(f"{data.info['name']}, {data.domains[0]}: {data.spacing_mm} mm pixels")
    figure.savefig(path, dpi=80)
    return path
