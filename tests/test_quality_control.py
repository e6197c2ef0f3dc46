"""Lesson 00: the game of quality control, the head that is fooled, and what ships or is trained for it."""

import json

import nbformat
import numpy as np
import pytest
from teaching import said

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.course.lessons import start, start_at_once
from advconf_lite.course.notebooks import execute, lesson
from advconf_lite.course.quality_control import Game, fool, quality_control, send_back
from advconf_lite.experiment.run import Run
from advconf_lite.figures.fooling import fooled_row
from advconf_lite.figures.outlines import Outlined
from advconf_lite.figures.style import png
from advconf_lite.support.errors import BadInput


def a_game():
    true = [0.9, 0.2, 0.8, 0.6, 0.95, 0.5]
    cases = [Outlined("t", np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 4)), value) for value in true]
    confidence = {"plain": np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), "tied": np.zeros(6)}
    return Game(cases, confidence, "Dice")


def test_who_caught_how_many():
    game = a_game()
    table = game.caught([2, 5]).set_index("who")
    assert game.failures == 3
    assert table.loc["you"].tolist() == ["2 5", "1"] and table.loc["plain"].tolist() == ["1 2", "1"]
    assert table.loc["tied"].tolist() == ["", "1"]  # an expectation: a third of the failures
    assert table.loc["who knows the truth"].tolist() == ["2 6", "2"]
    assert table.loc["who draws lots, on average"].tolist() == ["any", "1"]
    without = game.caught().set_index("who")
    assert "you" not in without.index and without.loc["plain", "sent back"] == "1 2 3 4"
    assert without.loc["who knows the truth", "failures caught"] == "3"


def test_the_worst_outline_and_its_worst_class():
    truth, drawn = np.zeros((6, 6), int), np.zeros((6, 6), int)
    truth[:3], drawn[:3], truth[3:5], drawn[4:] = 1, 1, 2, 2  # class 1 is right, class 2 half
    bad = Outlined("bad", np.zeros((6, 6)), drawn, truth, 0.75)
    good = Outlined("good", np.zeros((6, 6)), truth, truth, 1.0)
    assert Game([good, bad], {}, "Dice").worst() == (bad, 2)
    nothing = Outlined("none", np.zeros((6, 6)), np.zeros((6, 6), int), np.zeros((6, 6), int), 0.5)
    assert Game([good, nothing], {}, "Dice").worst() == (nothing, 1)


@pytest.mark.parametrize(
    ("given", "understood", "words"),
    [
        (None, [], "not yet"), (..., [], "not yet"), ([], [], "not yet"), ([...], [], "not yet"),
        (3, [], "3 is no list"), ("1, 2", [], "is no list"), (np.array([]), [], "not yet"),
        ([1, 2, 3, 4], [1, 2, 3, 4], "[x] my_picks"),
        (np.array([4, 3, 2, 1]), [4, 3, 2, 1], "[x]"), ((5, 6, 7, 8), [5, 6, 7, 8], "[x]"),
        ([0, 1, 2, 3], [1, 2, 3], "no outline 0"), ([13, 1, 2, 3], [1, 2, 3], "numbered from 1 to 12"),
        ([1, 1, 2, 3], [1, 2, 3], "named twice"), ([1, 2, 3, 4, 5], [1, 2, 3, 4], "the first 4 count"),
        ([1, 2], [1, 2], "these are 2"), ([1.5, "a", True], [], "no outline 1.5"),
    ],
)  # fmt: skip
def test_picks_are_understood_or_a_hint_says_why_not(given, understood, words, capsys):
    assert send_back(given) == understood
    assert words in said(capsys)


@pytest.fixture(scope="module")
def heart(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("qc"), "phantom:cardiac", "smoke", ["dice"], ["plain", "adversarial"], progress=False)
    run.predict_heads()
    return run


def test_the_game_is_played_with_a_runs_slices(heart):
    game = quality_control(heart, n=8)
    assert len(game.cases) == 8 and list(game.confidence) == ["plain", "adversarial", "agreement-15"]
    source, *targets = heart.experiment.evaluated()
    usual = heart.predictions().groupby("domain")["true_score"].median()
    drawn = {case.title for case in game.cases}
    assert source in drawn and len(drawn) == 4
    left_out = [name for name in targets if name not in drawn]
    from_line = (usual - FAILURE).abs()
    assert max(from_line[name] for name in drawn - {source}) <= min(from_line[name] for name in left_out)
    assert all(np.isfinite(scores).all() and len(scores) == 8 for scores in game.confidence.values())
    for number, case in enumerate(game.cases):
        assert case.predicted["plain"] == game.confidence["plain"][number]
    assert [case.true for case in quality_control(heart, n=8).cases] == list(game.true)  # drawn with a seed


def test_the_grade_falls_and_what_is_said_is_what_was_measured(heart):
    fooled = fool(heart, "adversarial")
    assert fooled.maker == "adversarial" and fooled.n >= 1 and fooled.believed > 0
    assert fooled.before.predicted["adversarial"] > fooled.after.predicted["adversarial"]
    assert f"fell by {fooled.believed:.2f}" in str(fooled)
    assert fool(heart, "replay").maker == "plain"  # which the run has
    drawn = fooled_row(fooled.before, fooled.after, heart.experiment.class_names, heart.experiment.spacing_mm)
    labels = [ax.get_xlabel() for ax in drawn.axes[2:]]
    assert [label.count("says") for label in labels] == [2, 2] and f"Dice: {fooled.before.true:.2f}" in labels[0]
    assert len(png(drawn)) > 1000


# ---- what ships, or what is trained in its place


@pytest.mark.parametrize(
    ("data", "profile", "words"),
    [
        ("phantom:prostate", "smoke", "Not shipped"),
        ("mine", "smoke", "of mine nothing ships"),
        ("phantom:cardiac", "quick", ""),
    ],
)
def test_without_artefacts_it_is_trained_and_a_line_says_so(data, profile, words, slice_set, monkeypatch, capsys):
    monkeypatch.chdir(slice_set.parent)
    monkeypatch.setattr("advconf_lite.course.edition.CLONE", slice_set.parent)
    (slice_set.parent / "pyproject.toml").write_text("")
    run = start_at_once(data, profile, "r", "dice", "plain adversarial", "shipped")
    assert type(run) is Run and words in said(capsys)
    assert not list((slice_set.parent / "r").glob("shipped*"))


@pytest.mark.parametrize("values", [{"data": "phantom:liver"}, {"profile": "large"}, {"use": "borrowed"}, {"data": 3}])
def test_what_no_run_could_be_is_refused_as_ever(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"data": "phantom:prostate", "profile": "smoke", "out": "r", "quality": "dice", "methods": "", "use": "shipped"}
    with pytest.raises(BadInput) as at_once:
        start_at_once(**given | values)
    with pytest.raises(BadInput) as usual:
        start(**given | {"use": "train"} | values)
    assert str(at_once.value) == str(usual.value) and list(tmp_path.iterdir()) == []


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return " ".join(json.dumps(output) for cell in cells for output in cell.get("outputs", []))


@pytest.mark.slow
def test_the_lesson_on_own_data_of_one_scanner(slice_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = {"data": str(slice_set), "profile": "smoke", "out": "r"}
    execute(lesson("00_start_here"), tmp_path / "executed.ipynb", parameters)
    text = outputs(tmp_path / "executed.ipynb")
    assert "nothing ships" in text and "who draws lots" in text and text.count('"image/png": "iVBOR') == 4
