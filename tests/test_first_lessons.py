"""What lessons 01 and 02 count: the leak that is run, a failure that the network is sure of, a class that is not there."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from advconf_lite.course import absent, leak, silent
from advconf_lite.course.scanners import scanner_table
from advconf_lite.experiment.parts import Part
from advconf_lite.experiment.run import Run
from advconf_lite.figures.certainty import certainty_and_truth
from advconf_lite.figures.leak import two_splits
from advconf_lite.figures.outlines import Outlined, one_subject_all_scanners
from advconf_lite.figures.overlays import empty_class
from advconf_lite.figures.peaks import two_peaks
from advconf_lite.figures.physics import contrast_figure
from advconf_lite.figures.scores import figure2
from advconf_lite.phantom.contrast import CONTRASTS
from advconf_lite.quality import Quality, dice


def part_of(subjects, slices, seed=0):
    """Slices that are nearly the same within a subject, each subject with a square of its own."""
    rng = np.random.default_rng(seed)
    masks, names = [], []
    for subject in range(subjects):
        top, left = rng.integers(2, 18, 2)
        for _ in range(slices):
            masks.append(np.zeros((32, 32), np.int64))
            masks[-1][top : top + 10, left : left + 10] = 1
            names.append(f"p{subject}")
    masks = torch.from_numpy(np.stack(masks))
    images = 3.0 * masks[:, None] + torch.from_numpy(rng.normal(0, 0.1, (len(masks), 1, 32, 32))).float()
    rows = pd.DataFrame({"subject": names, "slice": list(range(slices)) * subjects})
    return Part(images.float(), masks, rows)


def run_of(train, val, evaluated=None):
    experiment = SimpleNamespace(train=train, val=val, num_classes=2, evaluated=lambda: evaluated)
    return SimpleNamespace(
        experiment=experiment,
        data="own",
        device=torch.device("cpu"),
        settings=SimpleNamespace(predict_background=False),
        quality=lambda name: lambda a, b: dice(a, b, 2),
    )


def test_copying_masks_is_perfect_where_neighbours_leak_and_not_where_subjects_are_new():
    run = run_of(part_of(8, 4), part_of(4, 4, seed=1))
    run.experiment.val.table["subject"] = "v" + run.experiment.val.table["subject"]
    table = leak.copied_scores(run, splits=6)
    means = table.groupby("split")[["shared", "dice"]].mean()
    assert means.loc[leak.BY_SLICE, "shared"] > 0.9 and means.loc[leak.BY_SUBJECT, "shared"] == 0
    assert means.loc[leak.BY_SLICE, "dice"] > 0.95 > 0.8 > means.loc[leak.BY_SUBJECT, "dice"]
    cases = leak.copied_cases(run, 3)
    assert len(cases) == 6 and min(case.true for case in cases[:3]) > 0.95
    assert [np.array_equal(a.image, b.image) for a, b in zip(cases[:3], cases[3:])] == [True] * 3
    one_subject_all_scanners(cases, ["it"]).canvas.draw()
    two_splits(table).canvas.draw()


def test_the_most_similar_image_is_another_one_and_never_of_the_same_subject_below():
    run = run_of(part_of(1, 3), part_of(1, 2))
    assert leak.copied_scores(run, 2)["split"].tolist() == [leak.BY_SLICE] * 2  # one subject: nothing to split by
    assert [case.title.split("\n")[1] for case in leak.copied_cases(run, 2)] == ["any other slice"] * 2
    x = torch.stack([torch.full((1, 8, 8), value) for value in (0.0, 1.0, 5.0)])
    assert leak.most_similar(x, x).tolist() == [0, 1, 2] and leak.most_similar(x, x[:2]).tolist() == [0, 1, 1]


class Net(nn.Module):
    """Draws the brighter pixels, with probability p of each label it gives."""

    def __init__(self, p):
        super().__init__()
        self.logit = float(np.log(p / (1 - p)))

    def forward(self, x):
        drawn = (x[:, 0] > 1.0).float()
        return torch.stack([self.logit * (1 - drawn), self.logit * drawn], 1), x

    def masks(self, x):
        return (x[:, 0] > 1.0).long()


@pytest.mark.parametrize(("p", "expected"), [(0.95, 4), (0.85, 0)])
def test_a_failure_is_silent_if_the_network_is_sure_of_what_it_drew(p, expected):
    good, bad, empty = part_of(2, 2), part_of(2, 2, seed=3), part_of(1, 2)
    bad.images = bad.images.roll(12, -1)
    empty.images = torch.zeros_like(empty.images)
    run = run_of(good, good, {"home": good, "away": bad, "blank": empty})
    table = silent.certainty_table(run, Net(p))
    drawn = table["domain"] != "blank"
    assert np.allclose(table.loc[drawn, "certainty"], p, atol=1e-5) and table.loc[~drawn, "certainty"].isna().all()
    assert silent.silent(table).sum() == silent.by_scanner(table)["silent"].sum() == expected
    assert silent.worst_target(table, "home")[0] in ("away", "blank")
    away = table[table["domain"] != "blank"]
    assert "says little of the fall" in " ".join(silent.reading(away, "home").split())
    assert "there is no certainty" in " ".join(silent.reading(table[table["domain"] != "away"], "home").split())
    assert "no target" in silent.reading(table[table["domain"] == "home"], "home")
    certainty_and_truth(table, "home", silent.FAILURE, silent.SURE).canvas.draw()


def test_certainty_is_told_as_an_order_and_as_an_estimate():
    dice = np.tile(np.linspace(0, 1, 11), 3)
    table = pd.DataFrame({"domain": np.repeat(["home", "a", "b"], 11), "dice": dice, "certainty": 0.895 + 0.1 * dice})
    table.loc[table["domain"] == "b", "certainty"] = 0.895 + 0.1 * (1 - dice[:11])
    assert silent.by_scanner(table)["r"].tolist() == [1.0, 1.0, -1.0]
    assert "of certainty and Dice is 0.00" in (text := " ".join(silent.as_baseline(table, "home").split()))
    assert f"off by {abs(table['certainty'] - table['dice'])[11:].mean():.2f}" in text
    assert silent.by_line(table).iloc[0].round(1).tolist() == [1.0, 1.0, 0.9, 0.8, 0.7]
    assert "cannot be judged" in silent.as_baseline(table.assign(dice=0.0), "home")
    assert "no target" in silent.as_baseline(table[table["domain"] == "home"], "home")


def test_a_certainty_that_falls_and_a_quality_that_does_not_are_said_as_such():
    def table(dice, certainty):
        return pd.DataFrame({"domain": ["home", "away"], "dice": [0.9, dice], "certainty": [0.95, certainty]})

    assert "falls, too" in silent.reading(table(0.3, 0.5), "home")
    assert "hardly falls" in " ".join(silent.reading(table(0.89, 0.95), "home").split())


def test_the_clearest_failure_still_overlaps():
    cases = [Outlined(str(true), None, None, None, true) for true in (0.9, 0.0, 0.4, 0.75)]
    assert silent.clearest_failure(cases).true == 0.4 and silent.clearest_failure(cases[::3]).true == 0.75


def test_slices_with_a_class_that_is_not_there_are_found_and_counted():
    part = part_of(4, 1)
    part.masks[:2] = 0
    run = run_of(part, part, {"home": part})
    table = absent.absent_table(run, Net(0.9))
    assert table["lone"].tolist() == [True, True, False, False] and (table.loc[table["lone"], "dice"] == 0).all()
    shares = absent.by_scanner(table)
    assert shares.loc["home", "share with such a class"] == 0.5 and shares.loc["home", "mean Dice of the others"] > 0.9
    two_peaks(table).canvas.draw()


def test_what_is_drawn_by_hand_shows_the_rule():
    found = absent.drawn_by_hand()
    assert found["scores"]["Dice"][2] == 0 and min(found["scores"]["Dice"][:2]) > 0.85
    assert not (found["truth"] == 3).any() and (found["prediction"] == 3).sum() == 64
    empty_class(**found).canvas.draw()


@pytest.mark.parametrize("organ", CONTRASTS)
def test_contrast_shrinks_where_the_lesson_says_so(organ):
    contrast = CONTRASTS[organ]
    assert contrast.ratio(contrast.start) > 1.4 * contrast.ratio(contrast.changed) > 1.4
    contrast_figure(organ).canvas.draw()


@pytest.mark.parametrize(("data", "scanners"), [("phantom:cardiac", 7), ("phantom:prostate", 6), ("own/set", 0)])
def test_the_table_of_scanners_has_what_differs(data, scanners):
    table = scanner_table(data)
    assert len(table) == scanners and (not scanners or (table.nunique() > 1).all())


def test_pictures_of_own_data_say_that_they_are_of_other_subjects(slice_set, tmp_path):
    run = Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["plain"], progress=False)
    cases, words = silent.on_every_scanner(run, run.segmenter(0))
    assert "another subject" in words and cases[0].title.endswith("(source)") and len(cases) > 1
    assert isinstance(run.quality("dice"), Quality) and all(0 <= case.true <= 1 for case in cases)
    assert list(leak.intensities(run)["deviation after"].round(1)) == [1.0] * len(leak.intensities(run))


def test_figure_2_marks_one_slice_on_its_scanners():
    scores = np.linspace(0.1, 0.9, 8)
    keys = {"dataset": "d", "domain": ["home"] * 4 + ["away"] * 4, "subject": "s", "phase": "", "slice": range(8)}
    table = pd.DataFrame({**keys, "quality": "dice", "segmenter_seed": 0, "true_score": scores})
    figure = figure2(table, "home", {"dice": {"home": 0.8, "away": 0.05}})
    figure.canvas.draw()
    stars = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in stars] == [(0.8, 0), (0.05, 1)]
    assert "one slice on each" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(figure2(table, "home").legends[0].get_texts()) == 2
