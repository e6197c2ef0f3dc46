"""`explore`: the picture of the start everywhere, and controls that replace it where somebody can move them."""

import re
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from teaching import said

from advconf_lite.course import explore as exploring
from advconf_lite.course.explore import Slider, explore


def drawing(gain, kind="a", on=False):
    if gain > 8:
        raise ValueError("too\nmuch gain")
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, gain], [0, 1 + on])
    return figure, f"gain {gain}, {kind}"


@pytest.fixture
def kernel(monkeypatch):
    """What a notebook would be shown: (display id, bundle) of every output and every replacement."""
    shown = []
    monkeypatch.setattr(exploring, "_in_notebook", lambda: True)
    monkeypatch.setattr(exploring, "show", lambda fig, caption, alt, dpi, display_id: shown.append((display_id, caption)))
    monkeypatch.setattr(exploring, "_display", lambda bundle, place, alt=None: shown.append((place, bundle)))
    monkeypatch.setattr(exploring, "_update", lambda bundle, place, alt=None: shown.append((place, bundle)))
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append(("box", a)))
    return shown


def test_explore_without_a_front_end_draws_once(capsys, monkeypatch):
    explorer = explore(drawing, "A line.", gain=(1, 10), kind=["a", "b"], on=True)
    assert explorer.values == {"gain": 1, "kind": "a", "on": True} and not explorer.widgets
    assert re.fullmatch(r"Figure \d+\. A line\. gain 1, a", said(capsys))


def test_explore_without_ipywidgets_or_under_a_runner_is_a_picture(kernel, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert not explore(drawing, "A line.", gain=(1, 10)).widgets
    monkeypatch.undo()
    monkeypatch.setenv(exploring.VARIABLE, "log")
    monkeypatch.setattr(exploring, "_in_notebook", lambda: True)
    assert exploring._widgets() is None


def test_a_slider_replaces_the_picture_and_an_error_is_one_line(kernel):
    pytest.importorskip("ipywidgets")
    explorer = explore(drawing, "A line.", gain=Slider(2, 1, 10), kind=["a", "b"], on=False)
    (place, caption), (line, text), (box, _) = kernel
    assert (caption, text["text/plain"], line, box) == ("A line.", "gain 2, a", f"{place}-text", "box")
    gain = explorer.widgets["gain"]
    assert type(gain).__name__ == "IntSlider" and (gain.min, gain.max, gain.step) == (1, 10, 1)
    explorer.draw(gain=1)  # what is measured is a change, and not the first drawing of a process
    gain.value = 5
    (where, picture), (_, text) = kernel[3:]
    assert where == place and text["text/plain"] == "gain 5, a"
    assert "data:image/png;base64," in picture["text/html"] and "A line.</figcaption>" in picture["text/html"]
    before = explorer.picture
    gain.value = 9
    assert kernel[-1] == (line, {"text/plain": "this cannot be drawn: ValueError: too much gain"})
    assert explorer.picture is before and explorer.values["gain"] == 5
    gain.value = 5  # back again: the line goes, although nothing has changed
    assert kernel[-1][1]["text/plain"] == "gain 5, a" and explorer.error is None
    explorer.move(kind="b", on=True)
    assert explorer.widgets["on"].value is True and kernel[-1][1]["text/plain"] == "gain 5, b"
    number = len(kernel)
    explorer.move(kind="b")
    assert len(kernel) == number  # nothing to draw


def test_a_slow_drawing_waits_for_the_hand_to_let_go(kernel, monkeypatch):
    pytest.importorskip("ipywidgets")
    explorer = explore(drawing, "A line.", gain=(1.0, 8.0))
    assert explorer.widgets["gain"].continuous_update
    monkeypatch.setattr(exploring, "LIMIT", 0.0)
    explorer.widgets["gain"].value = 3.0
    assert explorer.seconds > 0 and not explorer.widgets["gain"].continuous_update
    monkeypatch.setattr(exploring, "LIMIT", 60.0)
    explorer.widgets["gain"].value = 4.0
    assert explorer.widgets["gain"].continuous_update


@pytest.mark.parametrize(
    "draw",
    [lambda v: np.zeros((8, 9)), lambda v: np.full((8, 9, 3), 200, np.uint8), lambda v: "only a line", lambda v: None],
)
def test_what_a_drawing_may_return(draw, kernel):
    explorer = explore(draw, "It.", v=(0.0, 1.0))
    explorer.move(v=0.5)
    assert explorer.error is None and (explorer.picture is None or explorer.picture[:4] == b"\x89PNG")


def test_a_figure_that_is_kept_finds_its_layout_once(kernel):
    figure = Figure(figsize=(3, 2), layout="constrained")
    (line,) = figure.subplots().plot([0, 1], [0, 1])

    def draw(gain):
        line.set_ydata([0, gain])
        return figure

    explorer = explore(draw, "A line.", gain=(0.0, 1.0))
    assert figure.get_layout_engine() is not None
    pictures = set()
    for gain in (0.5, 0.7):
        explorer.move(gain=gain)
        pictures.add(explorer.picture)
    assert len(pictures) == 2 and isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine | None)


def test_a_slider_with_one_place_is_left_out(kernel):
    """A browser's slider refuses equal ends."""
    pytest.importorskip("ipywidgets")
    explorer = explore(drawing, "It.", gain=Slider(2, 2, 2, 1), on=True)
    assert list(explorer.widgets) == ["on"]
    explorer.widgets["on"].value = False
    assert explorer.values["gain"] == 2 and explorer.error is None


def test_a_choice_answers_to_the_keys_that_a_notebook_leaves_it(kernel):
    """Arrow keys on a dropdown go to the notebook, which moves to the next cell."""
    pytest.importorskip("ipywidgets")
    few, many = (explore(lambda kind: kind, "It.", kind=list(names)) for names in ("abc", "abcdefgh"))
    kinds = [type(explorer.widgets["kind"]).__name__ for explorer in (few, many)]
    assert kinds == ["ToggleButtons", "SelectionSlider"]
    for explorer in (few, many):
        explorer.widgets["kind"].value = "c"
        assert explorer.text == "c"


@pytest.mark.parametrize("control", [3, "text", (1,), (1, "a"), []])
def test_what_is_no_control_is_a_line(control, capsys):
    assert explore(drawing, "A line.", gain=control) is None
    assert "control gain" in said(capsys)
