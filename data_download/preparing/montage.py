"""A picture of each domain: slices of different subjects with their masks outlined, to be looked at."""

from __future__ import annotations

import re
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
        names = zip(data.domains, _file_names(data.domains))
        return [_montage(data.select(domain=domain), folder / f"montage-{name}.png") for domain, name in names]
    except OSError as error:
        raise BadInput(f"cannot write {folder}: {error.strerror or error}; give --montage another folder") from error


def _file_names(domains: list[str]) -> list[str]:
    """One for each domain, such as 3T-1.5T for 3T/1.5T, which any file system takes."""
    names: list[str] = []
    for domain in domains:
        name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]', "-", domain)[:60]
        taken = {other.lower() for other in names}
        names.append(next(new for new in (name, *(f"{name}-{n}" for n in range(2, 9999))) if new.lower() not in taken))
    return names


def _printable(text: str) -> str:
    """As it is, where matplotlib would take a $ for mathematics and a byte that is no UTF-8 for an error."""
    return text.encode("utf-8", "replace").decode().replace("$", r"\$")


def chosen_rows(data: SliceSet, number: int = COLUMNS * ROWS) -> list[int]:
    """Middle slices of as many subjects as possible, spread over the domain."""
    groups = [rows.index.to_numpy() for _, rows in data.table.groupby(["subject", "phase"], sort=False)]
    picked = [groups[index] for index in np.unique(np.linspace(0, len(groups) - 1, number).round().astype(int))]
    return [int(rows[len(rows) // 2]) for rows in picked]


def _montage(data: SliceSet, path: Path) -> Path:
    from advconf_lite.figures.images import samples  # matplotlib takes a second that no other command needs

    chosen = chosen_rows(data)
    entries = [data.table.iloc[row] for row in chosen]
    titles = [_printable(f"{entry['subject']}\n{entry['phase']} slice {entry['slice']}") for entry in entries]
    masks = None if data.masks is None else np.stack([data.masks[row] for row in chosen])
    images = np.stack([data.images[row] for row in chosen])
    figure = samples(images, masks, titles, data.class_names, data.spacing_mm, COLUMNS)
    figure.suptitle(_printable(f"{data.info['name']}, {data.domains[0]}: {data.spacing_mm} mm pixels"))
    figure.savefig(path, dpi=80)
    return path
