"""Figures that stay while what is in them changes: what a widget redraws, well within a tenth of a second.

Most of a figure's time goes into what does not change: ticks, labels, legends. So they are drawn once, and kept as pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from advconf_lite.figures.panels import image_panel, outlines
from advconf_lite.figures.style import DPI, Cue


class KeptImage:
    """An image on axes of its own, of which `show` changes pixels, grey window and outlines."""

    def __init__(self, ax: Axes, image: np.ndarray) -> None:
        image_panel(ax, image)
        ax.axis("off")
        self.ax, self.image = ax, ax.images[0]

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
        for old in list(self.ax.collections):
            old.remove()
        for mask, cue in outlined:
            outlines(self.ax, mask, cue)


class KeptFigure:
    """A figure whose layout, ticks and legends are found once.

    Args:
        fig: with its first content.
        whole: axes that are drawn anew as a whole, such as those of images.
        moving: artists of other axes that change; none may leave its axes.
    """

    def __init__(self, fig: Figure, whole: Sequence[Axes], moving: Sequence[Artist]) -> None:
        self.fig, self.whole, self.moving = fig, list(whole), list(moving)
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
        for artist in (*self.whole, *self.moving):
            artist.draw(renderer)
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

    def prepare(self) -> None:
        """Draw what stays; done by the second `picture` if by nobody before."""
        if self._canvas is not None:
            return
        self._canvas = FigureCanvasAgg(self.fig)
        for artist in self.whole:
            artist.set_visible(False)
        for artist in self.moving:
            artist.set_animated(True)  # left out of what is drawn as a whole
        self._canvas.draw()
        self._stays = self._canvas.copy_from_bbox(self.fig.bbox)
        for artist in self.whole:
            artist.set_visible(True)
