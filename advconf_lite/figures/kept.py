"""Figures that stay while what is in them changes: what a widget redraws, well within a tenth of a second.

Most of a figure's time goes into what does not change: ticks, labels, legends. So they are drawn once, and kept as pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from advconf_lite.figures.panels import image_panel, outlines
from advconf_lite.figures.style import DPI, Cue


class OutlinedFigure:
    """A widget's figure of outlined slices: `_start` makes it with the first drawing, each further one changes it."""

    def __init__(self, class_names: Sequence[str], spacing_mm: float, quality: str) -> None:
        self.class_names, self.spacing_mm, self.quality = list(class_names), spacing_mm, quality
        self.kept: KeptFigure | None = None


class KeptImage:
    """An image on axes of its own, of which `show` changes pixels, grey window and outlines."""

    def __init__(self, ax: Axes, image: np.ndarray) -> None:
        image_panel(ax, image)
        ax.axis("off")
        self.ax, self.image = ax, ax.images[0]
        self._outlined: list[tuple[Any, list[Artist]]] = []  # what was outlined, in order, and its artists

    def show(
        self,
        image: np.ndarray,
        outlined: Sequence[tuple[np.ndarray, Cue | None]] = (),
        window: tuple[float, float] | None = None,
    ) -> None:
        """An image (H, W), and the outlines of label maps (H, W), each in a cue or, without one, in its classes' own."""
        low, high = np.percentile(image, [1, 99]) if window is None else window
        self.image.set_data(image)
        self.image.set_extent((-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5))
        self.image.set_clim(low, max(high, low + 1e-6))
        wanted = [(mask.shape, mask.tobytes(), cue) for mask, cue in outlined]
        same = 0  # an outline is the slowest part of an image
        while same < min(len(wanted), len(self._outlined)) and wanted[same] == self._outlined[same][0]:
            same += 1
        for _, artists in self._outlined[same:]:
            for artist in artists:
                artist.remove()
        del self._outlined[same:]
        for key, (mask, cue) in zip(wanted[same:], outlined[same:]):
            before = len(self.ax.collections)
            outlines(self.ax, mask, cue)
            self._outlined.append((key, list(self.ax.collections[before:])))

    def parts(self) -> list[Artist]:
        """All that is to be seen on the axes, in the order in which it is drawn."""
        ax = self.ax
        return sorted([*ax.images, *ax.collections, *ax.lines, *ax.texts, ax.title], key=lambda part: part.get_zorder())


class KeptFigure:
    """A figure whose layout, ticks and legends are found once.

    Args:
        fig: with its first content.
        images: on axes that hold nothing else.
        moving: artists of other axes that change, in the order in which they are drawn. An axis with its ticks and label
            can be one, and takes longest.
    """

    def __init__(self, fig: Figure, images: Sequence[KeptImage] = (), moving: Sequence[Artist] = ()) -> None:
        self.fig, self.images, self.moving = fig, list(images), list(moving)
        self._canvas: FigureCanvasAgg | None = None
        self._given = False

    def picture(self) -> Figure | np.ndarray:
        """The figure, the first time; later the pixels (rows, columns, RGB) of what it holds now."""
        if not self._given:
            self.fig.set_dpi(DPI)
            self.fig.draw_without_rendering()
            self.fig.set_layout_engine("none")  # found; found again, it would be another one
            self._given = True
            return self.fig
        self.prepare()
        self._canvas.restore_region(self._stays)
        renderer = self._canvas.get_renderer()
        for artist in (*(part for image in self.images for part in image.parts()), *self.moving):
            artist.draw(renderer)
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

    def prepare(self) -> None:
        """Draw what stays; done by the second `picture` if by nobody before."""
        if self._canvas is not None:
            return
        self._canvas = FigureCanvasAgg(self.fig)
        for image in self.images:
            image.ax.set_visible(False)
        for artist in self.moving:
            artist.set_animated(True)  # left out of what is drawn as a whole
        self._canvas.draw()
        self._stays = self._canvas.copy_from_bbox(self.fig.bbox)
        for image in self.images:
            image.ax.set_visible(True)
