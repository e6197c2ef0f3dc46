"""A picture of each domain: slices of different subjects with their masks outlined, to be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advconf_lite.data.slices import SliceSet
from advconf_lite.support.errors import BadInput

COLUMNS, ROWS = 6, 2
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")  # Okabe and Ito; each class has its own line style too
STYLES = ("-", "--", ":", "-.")


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    chosen = chosen_rows(data)
    lines = -(-len(chosen) // COLUMNS)
    figure = Figure(figsize=(2 * COLUMNS, 2.25 * lines + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, COLUMNS).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, row in zip(axes, chosen):
        image, entry = np.asarray(data.images[row]), data.table.iloc[row]
        axis.imshow(image, cmap="gray", vmin=0, vmax=max(float(np.percentile(image, 99.5)), 1e-6))
        if data.masks is not None:
            for label, (colour, style) in enumerate(zip(COLOURS, STYLES), start=1):
                here = np.asarray(data.masks[row]) == label
                if here.any() and not here.all():
                    axis.contour(here, [0.5], colors=colour, linestyles=style, linewidths=1)
        axis.set_title(f"{entry['subject']} {entry['phase']} slice {entry['slice']}", fontsize=7)
    figure.suptitle(f"{data.info['name']}, {data.domains[0]}: {data.spacing_mm} mm pixels")
    if data.masks is not None:
        handles = [Line2D([], [], color=c, linestyle=s) for c, s, _ in zip(COLOURS, STYLES, data.class_names)]
        figure.legend(handles, data.class_names, loc="outside lower center", ncols=len(data.class_names))
    figure.savefig(path, dpi=80)
    return path
