"""`explore`: a picture that answers to sliders. The picture comes first, so a page without a kernel has it, too.

Where ipywidgets and a front end are there, controls follow below it, and each change replaces the picture. Nothing else
depends on them: on GitHub, in a test, in a rendered book and without ipywidgets there is the picture of the start.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from advconf_lite.course.saying import COLUMNS, in_words, never_raises, say
from advconf_lite.figures.captions import bundle, next_number
from advconf_lite.figures.style import show
from advconf_lite.support.errors import BadInput
from advconf_lite.support.progress import VARIABLE

LIMIT = 0.15  # seconds from a movement to its picture; what is slower is drawn when the slider is let go
DPI = 120
MOST_BUTTONS = 6  # of a choice


class Slider(NamedTuple):
    """A number that is turned: whole if `step` and the ends are whole numbers."""

    start: float
    low: float
    high: float
    step: float | None = None

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.start, self.low, self.high)) and isinstance(
            self.step, int | None
        )


def control_of(name: str, given: Any) -> Slider | list | bool:
    """A Slider from itself or (low, high[, step]), which starts at the low end; a list of choices; a switch.

    Raises:
        BadInput: none of these.
    """
    if isinstance(given, bool | Slider):
        return given
    if isinstance(given, list) and given:
        return given
    if isinstance(given, tuple) and len(given) in (2, 3) and all(isinstance(v, int | float) for v in given):
        return Slider(given[0], *given)
    raise BadInput(f"control {name} is {given!r}; give (low, high), (low, high, step), a Slider, a list, True or False")


def start_of(control: Slider | list | bool) -> Any:
    return control.start if isinstance(control, Slider) else control[0] if isinstance(control, list) else control


class Explorer:
    """A drawing under control.

    Attributes:
        values: name -> what was drawn last.
        seconds: from the last change to its picture.
        picture: PNG, or None; text: a line below it; error: what the drawing raised last, in one line, or None.
        widgets: name -> ipywidgets control; empty without a front end.
    """

    def __init__(self, draw: Callable[..., Any], controls: dict[str, Any], alt: str) -> None:
        self.draw, self.alt, self.caption = draw, alt, ""
        self.controls = {name: control_of(name, given) for name, given in controls.items()}
        self.values = {name: start_of(control) for name, control in self.controls.items()}
        self.picture: bytes | None = None
        self.text, self.error, self.seconds = "", None, 0.0
        self.widgets: dict[str, Any] = {}
        self._place = uuid.uuid4().hex  # display id of the picture; that of the line below ends in "-text"
        self._figure = None  # the one that was drawn last
        self._image = None  # a widget, where outputs cannot be replaced
        self._busy = False

    def _ipython_display_(self) -> None:
        """As the last value of a cell it shows nothing: all is shown."""

    def move(self, **values: Any) -> None:
        """Set controls, as a hand would, and draw."""
        if unknown := sorted(values.keys() - self.values.keys()):
            raise BadInput(f"there is no control {', '.join(unknown)}; there are {', '.join(self.values)}")
        self._busy = True
        for name in values.keys() & self.widgets.keys():
            self.widgets[name].value = values[name]
        self._busy = False
        self._change(values)

    def first(self, caption: str) -> None:
        """Draw the start, and show it with its caption, which stays below every picture that replaces it."""
        self.caption = caption
        result = self._drawn(self.values)
        pictures, self.text = _parts(result)
        for one in pictures:
            if isinstance(one, Figure):
                self._figure = one
                show(one, caption, self.alt, dpi=DPI, display_id=self._place)
            else:
                _display(self._bundle(one), self._place, self.alt)
                say(caption)
        if not pictures:  # of a drawing that failed, a later one has its place
            _display({"text/plain": ""}, self._place)
            say(caption)
        _display({"text/plain": textwrap.fill(self._line(), COLUMNS)}, f"{self._place}-text")
        if not _in_notebook() and self._line():
            say(self._line())

    def controls_below(self, widgets: Any) -> Any:
        """The ipywidgets box with a control for each value; `widgets` is the module, 7.7 or 8."""
        style, wide = {"description_width": "initial"}, widgets.Layout(width="26em")
        for name, control in self.controls.items():
            if isinstance(control, Slider) and control.low == control.high:  # nothing to turn, and an error in a browser
                continue
            label = {"description": name.replace("_", " "), "style": style, "layout": wide}
            if isinstance(control, bool):
                widget = widgets.Checkbox(value=control, indent=False, **label)
            elif isinstance(control, list):
                widget = _choice(widgets, control, label)
            else:
                kind = widgets.IntSlider if control.whole else widgets.FloatSlider
                step = control.step or (1 if control.whole else (control.high - control.low) / 50)
                ends = {"value": control.start, "min": control.low, "max": control.high, "step": step}
                digits = {} if control.whole else {"readout_format": f".{max(0, int(np.ceil(-np.log10(step))))}f"}
                widget = kind(**ends, **digits, **label)
            widget.observe(self._moved, names="value")
            self.widgets[name] = widget
        rows = list(self.widgets.values())
        if "google.colab" in sys.modules:
            self._image = widgets.Image(format="png", layout=widgets.Layout(display="none"))
            rows.insert(0, self._image)
        return widgets.VBox(rows)

    def _moved(self, change: Any) -> None:
        if not self._busy:
            self._change({name: widget.value for name, widget in self.widgets.items()})

    def _change(self, values: dict[str, Any]) -> None:
        values = self.values | values
        if values == self.values and self.error is None:
            return
        began = time.perf_counter()
        result = self._drawn(values)
        if self.error is None:
            self.values = values
            pictures, self.text = _parts(result)
            if pictures:
                self._replace(pictures[0])
        _update({"text/plain": textwrap.fill(self._line(), COLUMNS)}, f"{self._place}-text")
        self.seconds = time.perf_counter() - began
        for widget in self.widgets.values():
            if hasattr(widget, "continuous_update"):
                widget.continuous_update = self.seconds <= LIMIT

    def _drawn(self, values: dict[str, Any]) -> Any:
        try:
            result, self.error = self.draw(**values), None
        except Exception as error:
            result, self.error = None, in_words(error)
        return result

    def _replace(self, picture: Any) -> None:
        shown = self._bundle(picture)
        if self._image is None:
            if self.caption:  # one form of the picture is enough for who has controls, and it has the caption
                size = tuple(int.from_bytes(self.picture[place : place + 4], "big") for place in (16, 20))
                found, _ = bundle(self.picture, next_number(self.caption), self.caption, self.alt, size)
                shown = {kind: found[kind] for kind in ("text/html", "text/plain")}
            _update(shown, self._place, self.alt)
        else:
            self._image.value, self._image.layout.display = self.picture, ""

    def _bundle(self, picture: Any) -> dict[str, str]:
        if picture is self._figure:
            picture.set_layout_engine("none")  # found when it was first drawn, and the slowest part of drawing
        self._figure = picture
        self.picture = _png(picture)
        return {"image/png": base64.b64encode(self.picture).decode(), "text/plain": f"Figure: {self.alt}"}

    def _line(self) -> str:
        return f"this cannot be drawn: {self.error}" if self.error else self.text


@never_raises
def explore(draw: Callable[..., Any], caption: str = "", alt: str | None = None, **controls: Any) -> Explorer:
    """Show what `draw` makes of the controls' starting values; with a front end, also the controls.

    Args:
        draw: called with a value for each control by its name. It returns a matplotlib Figure, an image as an array
            (rows, columns[, RGB], 0 ... 255 or 0 ... 1), a line of text, or a picture and a line. Quickest is a drawing
            that keeps its figure, changes the data in it, and returns it again.
        caption: of the first picture; `alt`: what it shows, for who cannot see it (default: the caption).
        controls: (low, high), (low, high, step) or a Slider for a number, a list for choices, True or False for a switch.
    """
    explorer = Explorer(draw, controls, alt or caption)
    explorer.first(caption)
    widgets = _widgets()
    if widgets is not None and explorer.controls:
        from IPython.display import display

        display(explorer.controls_below(widgets))
    return explorer


def _choice(widgets: Any, options: list, label: dict[str, Any]) -> Any:
    """Buttons, or a slider for many options. A dropdown's arrow keys move JupyterLab to the next cell."""
    if len(options) > MOST_BUTTONS:
        return widgets.SelectionSlider(options=options, value=options[0], **label)
    label = label | {"style": label["style"] | {"button_width": "initial"}, "layout": widgets.Layout(width="auto")}
    return widgets.ToggleButtons(options=options, value=options[0], **label)


def _widgets() -> Any:
    """The module ipywidgets, if somebody may be there to move one: not for a runner of notebooks, nor without a kernel."""
    if VARIABLE in os.environ or not _in_notebook():
        return None
    try:
        import ipywidgets
    except Exception:  # not installed, or half of it
        return None
    return ipywidgets


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def _display(bundle: dict[str, str], place: str, alt: str | None = None) -> None:
    if _in_notebook():
        from IPython.display import display

        display(bundle, metadata={"image/png": {"alt": alt}} if alt else {}, raw=True, display_id=place)


def _update(bundle: dict[str, str], place: str, alt: str | None = None) -> None:
    if _in_notebook():
        from IPython.display import update_display

        update_display(bundle, metadata={"image/png": {"alt": alt}} if alt else {}, raw=True, display_id=place)


def _parts(result: Any) -> tuple[list[Any], str]:
    """Pictures (none or one) and the line of what a drawing has returned."""
    given = result if isinstance(result, tuple) else (result,)
    pictures = [part for part in given if isinstance(part, Figure | np.ndarray | bytes)]
    return pictures[:1], " ".join(part for part in given if isinstance(part, str))


def _png(picture: Figure | np.ndarray | bytes) -> bytes:
    """Quickly, not small: it is seen once."""
    if isinstance(picture, bytes):
        return picture
    from PIL import Image  # comes with matplotlib

    if isinstance(picture, Figure):  # savefig would draw it twice where it has a layout to find
        canvas = FigureCanvasAgg(picture)
        picture.set_dpi(DPI)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3]
    scaled = picture * 255 if picture.dtype.kind == "f" else picture
    file = io.BytesIO()
    Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)).save(file, format="png", compress_level=1)
    return file.getvalue()
