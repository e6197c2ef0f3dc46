"""Guesses: recorded once, compared with the truth, and read like a head's predictions on the scorecard."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from teaching import predictions, said

from advconf_lite.course import guesses
from advconf_lite.course.guesses import guess, recorded, reveal
from advconf_lite.course.scorecard import own_numbers, own_table, scorecard
from advconf_lite.figures.scorecard import own_scores
from advconf_lite.metrics import eaurc, mae
from advconf_lite.support.errors import BadInput


def test_a_guess_is_recorded_and_compared(desk, capsys):
    guess("median_dice", 0.6, sure=0.8)
    assert "0.6 is recorded" in said(capsys)
    assert json.loads(desk.read_text()) == {"median_dice": {"guess": 0.6, "unit": "", "sure": 0.8}}
    reveal("median_dice", np.float64(0.31))
    assert "you guessed 0.6, it is 0.31: 0.29 too high" in said(capsys)
    guess("failures", "7", unit="slices")
    reveal("failures", 4)
    assert "7 slices, it is 4 slices: 3 slices too high" in said(capsys)
    guess("which", "PLAIN ", choices=["plain", "adversarial"])
    reveal("which", "plain")
    assert "it is plain; right" in said(capsys)
    assert list(desk.parent.iterdir()) == [desk]  # whole files only


def test_the_first_guess_counts_until_one_says_again_and_never_after_the_truth(desk, capsys):
    guess("x", 0.5)
    guess("x", 0.7)
    assert recorded()["x"]["guess"] == 0.5 and "unless you add again=True" in said(capsys)
    guess("x", 0.7, again=True)
    assert recorded()["x"]["guess"] == 0.7
    reveal("x", 0.9)
    guess("x", 0.9, again=True)
    assert recorded()["x"] == {"guess": 0.7, "unit": "", "sure": None, "truth": 0.9} and "stays" in said(capsys)
    reveal("x", 0.1)  # another run
    assert recorded()["x"]["truth"] == 0.9 and "it is 0.1" in said(capsys)


@pytest.mark.parametrize("nothing", [None, ..., [None]])
def test_without_a_guess_nothing_is_written_and_the_truth_is_shown(nothing, desk, capsys):
    guess("x", nothing, unit="slices")
    assert "no guess yet" in said(capsys)
    reveal("x", 3)
    assert "it is 3; you made no guess" in said(capsys) and not desk.exists()
    scorecard()
    assert "No guess has been compared" in said(capsys)


@pytest.mark.parametrize(
    ("value", "options", "word"),
    [
        (60, {"within": (0, 1)}, "is 0.6 meant"),
        (3, {"within": (0, 1)}, "not from 0 to 1"),
        (float("nan"), {}, "no number"),
        ("none of them", {"choices": ["a", "b"]}, "none of a, b"),
        (np.zeros(3), {}, "neither"),
        (0.5, {"sure": 80}, "sure=80"),
        ("  ", {}, "empty"),
        (object(), {}, "neither"),
    ],
)
def test_what_is_no_guess_is_said_and_not_recorded(value, options, word, desk, capsys):
    guess("x", value, **options)
    assert "not recorded" in (text := said(capsys)) and word in text and not desk.exists()


@pytest.mark.parametrize("value", [0.5, torch.tensor(0.5), np.float32(0.5), " 0,5 ", "0.5", np.array([[0.5]])[0, 0]])
def test_a_number_may_be_written_in_many_ways(value, desk, capsys):
    guess("x", value)
    assert recorded()["x"]["guess"] == 0.5


@pytest.mark.parametrize("truth", [None, float("nan"), "plain", np.zeros(3), pd.DataFrame(), object(), float("inf")])
def test_whatever_is_revealed_a_cell_goes_on(truth, desk, capsys):
    for name in ("guessed", "not_guessed"):
        if name == "guessed":
            guess(name, 0.5)
        reveal(name, truth)
        assert name in said(capsys)
    assert "truth" not in recorded()["guessed"]


def test_a_broken_file_is_kept_and_a_folder_that_cannot_be_written_costs_only_the_file(desk, capsys, monkeypatch):
    desk.parent.mkdir()
    for broken in ("{", "[1]", '{"a": 3}', "\x00"):
        desk.write_text(broken)
        guess("x", 0.5)
        assert recorded()["x"]["guess"] == 0.5 and "kept as guesses.unreadable.json" in said(capsys)
        assert (desk.parent / "guesses.unreadable.json").read_text() == broken

    def full(*_):
        raise BadInput("cannot write it: no space left")

    monkeypatch.setattr(guesses, "write_text", full)
    guess("y", 0.2)
    reveal("y", 0.3)
    assert "no space left" in (text := said(capsys)) and "0.1 too low" in text
    assert list(recorded()) == ["x", "y"] and "y" not in json.loads(desk.read_text())


def test_guesses_lie_beside_the_runs_from_wherever_a_lesson_was_opened(desk, monkeypatch):
    root = desk.parent.parent
    (root / "pyproject.toml").touch()
    (root / "notebooks" / "student").mkdir(parents=True)
    for place in ("notebooks", "notebooks/student", "."):
        monkeypatch.chdir(root / place)
        assert guesses.guesses_path() == desk


def test_scorecard_has_the_numbers_of_the_metrics_and_a_picture(desk, capsys):
    asked = {"a": (0.9, 0.6), "b": (0.5, 0.7), "c": (0.4, 0.35)}
    for name, (mine, truth) in asked.items():
        guess(name, mine, sure=mine)
        reveal(name, truth)
    guess("slices", 9, unit="slices")
    reveal("slices", 4)
    guess("which", "plain")
    reveal("which", "adversarial")
    numbers = own_numbers(own_table())
    mine, truth = np.array(list(asked.values())).T
    assert numbers["mae"] == pytest.approx(mae(mine, truth)) and numbers["eaurc"] == pytest.approx(eaurc(mine, truth))
    assert numbers["n"] == 3 and numbers["sure"] == pytest.approx(eaurc(mine, 1 - abs(mine - truth)))
    capsys.readouterr()
    scorecard(predictions())
    text = said(capsys)
    assert "you 3 scores 0.183" in text and "adversarial head 96 slices" in text and "Of 1 choices, 0 were right" in text
    assert "1 a; 2 b; 3 c" in text
    scorecard(predictions(), method="replay")
    assert "no replay head" in said(capsys)
    scorecard(predictions().drop(columns="domain"))  # no table of predictions: a line
    assert "could not do that" in said(capsys)
    assert isinstance(own_scores(mine, truth), Figure)
