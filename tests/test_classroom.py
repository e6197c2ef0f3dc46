"""What seats hand in, joined: the fan is `compare`'s, and what does not belong together is refused by name."""

import numpy as np
import pandas as pd
import pytest

from advconf_lite.__main__ import main
from advconf_lite.course.classroom import files_in, join_seats, what_it_says
from advconf_lite.evaluation.paired import compare
from advconf_lite.support.errors import BadInput


def seat(folder, seed, better=0.05, shift=0.0, slices=12, methods=("plain", "adversarial"), column=None):
    """A file as the command seat writes it: two scanners, four subjects with three slices each."""
    rng, rows = np.random.default_rng(seed), []
    for domain in ("A", "B"):
        true = np.clip(np.random.default_rng(len(domain)).uniform(0.2, 0.9, slices) + shift, 0, 1)
        for method in methods:
            noise = 0.2 - (better if method == "adversarial" else 0)
            for number, value in enumerate(true):
                rows.append(
                    {"dataset": "d", "domain": domain, "subject": f"P{number // 3}", "phase": "", "slice": number % 3,
                     "quality": "dice", "method": method, "segmenter_seed": 0, "head_seed": seed, "estimates": True,
                     "true_score": value, "predicted_score": value + noise * rng.normal()}
                )  # fmt: skip
    table = pd.DataFrame(rows)
    path = folder / f"seat-{seed}.csv"
    (table if column is None else table.drop(columns=column)).to_csv(path, index=False)
    return path


def test_the_fan_of_all_seats_is_the_comparison_of_the_joined_table(tmp_path):
    files = [seat(tmp_path, seed) for seed in (4, 1, 7)]
    fan = join_seats(files)
    assert fan.pairs == [(0, 1), (0, 4), (0, 7)]
    joined = pd.concat([pd.read_csv(file, keep_default_na=False) for file in files])
    row = compare(joined, "adversarial", ["plain"]).set_index("metric").loc["pearson"]
    last = fan.opened("pearson").iloc[-1]
    np.testing.assert_allclose(
        last[["difference", "low", "high"]].astype(float), row[["difference", "low", "high"]].astype(float)
    )


def test_rounding_of_another_machine_is_no_other_network(tmp_path):
    assert len(join_seats([seat(tmp_path, 1), seat(tmp_path, 2, shift=0.001)]).pairs) == 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"shift": 0.08}, "judges another U-Net than"),
        ({"slices": 11}, "scores other images than"),
        ({"methods": ("plain",)}, "has no predictions by adversarial"),
        ({"column": "true_score"}, "true_score"),
    ],
)
def test_what_does_not_belong_to_the_class_is_named(tmp_path, other, words):
    first, second = seat(tmp_path, 1), seat(tmp_path, 2, **other)
    with pytest.raises(BadInput) as error:
        join_seats([first, second])
    assert words in str(error.value) and str(second) in str(error.value)


def test_two_seats_with_one_seed_are_both_named(tmp_path):
    first = seat(tmp_path, 5)
    (tmp_path / "again").mkdir()
    with pytest.raises(BadInput) as error:
        join_seats([first, seat(tmp_path / "again", 5)])
    assert str(first) in str(error.value) and "again" in str(error.value) and "same seed 5" in str(error.value)


def test_the_command_draws_and_says(tmp_path, capsys):
    for seed in range(3):
        seat(tmp_path, seed, better=0.18)
    assert main(["class", str(tmp_path), "--out", str(tmp_path / "fan.png")]) == 0
    assert (tmp_path / "fan.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "3 seats" in said and "told apart from 0" in said and "3 of 3 seats alone have this sign" in said


def test_an_empty_folder_and_a_metric_that_is_none(tmp_path, capsys):
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match="holds no csv file"):
        files_in([tmp_path / "none"])
    seat(tmp_path, 1)
    assert main(["class", str(tmp_path), "--metric", "dice", "--out", str(tmp_path / "fan.png")]) == 2
    assert "pearson" in capsys.readouterr().err and not (tmp_path / "fan.png").exists()


def test_an_interval_that_contains_0_is_said():
    table = pd.DataFrame({"alone": [0.1, -0.1], "difference": [0.1, 0.02], "low": [np.nan, -0.1], "high": [np.nan, 0.1]})
    assert "not told apart from 0; 1 of 2 seats" in what_it_says(table, "pearson")
