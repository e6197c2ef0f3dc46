"""Splits, domains and classes of which nobody has outlined anything: left out with a word, or refused by name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from advconf_lite.data.slices import write_slice_set
from advconf_lite.experiment.parts import first_look, load_experiment, remarks_on_grid
from advconf_lite.experiment.profiles import find_profile
from advconf_lite.support.errors import BadInput

SMOKE = find_profile("smoke")


def a_set(
    folder, empty=(), domains="AAAAAABC", splits=("train",) * 2 + ("val",) * 2 + ("test",) * 4, classes=1, masks=None, **info
):
    """Eight subjects of two slices; those in `empty` have no label."""
    if masks is None:
        masks = np.zeros((16, 32, 32), np.uint8)
        masks[:, 10:22, 10:22] = 1
        for label in range(2, classes + 1):
            masks[:, 10:14, 4 * label : 4 * label + 4] = label
    for subject in empty:
        masks[2 * subject : 2 * subject + 2] = 0
    table = pd.DataFrame({
        "dataset": "own", "domain": np.repeat(list(domains), 2), "subject": np.repeat([f"p{i}" for i in range(8)], 2),
        "phase": "", "slice": [0, 1] * 8, "spacing_mm": 2.0, "split": np.repeat(splits, 2),
    })  # fmt: skip
    images = np.random.default_rng(0).normal(size=masks.shape) + masks
    names = [f"c{i + 1}" for i in range(classes)]
    return write_slice_set(folder, images, masks, table, {"name": "own", "class_names": names, "source_domain": "A", **info})


def load(slices, tmp_path, **profile):
    return load_experiment(str(slices.folder), tmp_path / "run", replace(SMOKE, **profile), progress=False)


@pytest.mark.parametrize(("split", "empty"), [("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))])
def test_a_split_without_a_label_is_refused_by_name(split, empty, tmp_path):
    with pytest.raises(BadInput, match=f"no label on any slice with domain A and split {split}"):
        load(a_set(tmp_path / "set", empty), tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_a_slice_is_refused_by_name(split, tmp_path):
    splits = [{"train": "val", "val": "test", "test": "train"}[s] if s == split else s for s in ("train", "val", "test")]
    with pytest.raises(BadInput, match=f"no slices with domain A and split {split}"):
        load(a_set(tmp_path / "set", domains="AAAAAAAA", splits=[*splits * 2, *splits[:2]]), tmp_path)


@pytest.mark.parametrize(
    ("given", "targets", "words"),
    [
        ({"empty": (6,)}, ["C"], "domain B is left out: no slice of it with split test has a label"),
        ({"empty": (7,)}, ["B"], "domain C is left out"),
        ({"splits": ("train",) * 2 + ("val",) * 2 + ("test",) * 3 + ("train",)}, ["B"], "domain C is left out"),
        ({"splits": ("train",) * 2 + ("val",) * 2 + ("test",) * 2 + ("val", "test")}, ["C"], "domain B is left out"),
    ],
)  # fmt: skip
def test_a_target_that_nobody_has_outlined_is_left_out_with_a_word(given, targets, words, tmp_path):
    slices = a_set(tmp_path / "set", **given)
    experiment = load(slices, tmp_path)
    assert list(experiment.targets) == targets and not experiment.reacquired
    assert any(words in note for note in experiment.notes)
    assert any(words in note for note in first_look(str(slices.folder), SMOKE)[1])


@pytest.mark.parametrize("given", [{"empty": (6, 7)}, {"empty": (7,), "domains": "AAAAAAAC"},
                                   {"splits": ("train",) * 2 + ("val",) * 2 + ("test",) * 2 + ("train",) * 2}])  # fmt: skip
def test_without_any_target_it_is_a_set_of_one_domain(given, tmp_path):
    experiment = load(a_set(tmp_path / "set", **given), tmp_path)
    assert experiment.reacquired and len(experiment.targets) >= 3
    assert "no target domain is left; held-out subjects of the source, re-acquired, stand in" in experiment.notes


def test_an_empty_validation_domain_is_left_out(tmp_path):
    splits = ("train",) * 2 + ("val",) * 2 + ("test",) * 2 + ("val", "test")
    experiment = load(a_set(tmp_path / "set", (6,), splits=splits, validation_domains=["B"]), tmp_path)
    assert experiment.validation == {} and list(experiment.targets) == ["C"]
    assert any("domain B is left out: no slice of it with split val" in note for note in experiment.notes)


@pytest.mark.parametrize(("classes", "gone"), [(2, [2]), (3, [3]), (3, [1, 3])])
def test_a_class_that_no_training_slice_shows_is_refused_by_name(classes, gone, tmp_path):
    masks = np.zeros((16, 32, 32), np.uint8)
    for label in range(1, classes + 1):
        masks[:, 4:12, 8 * label : 8 * label + 6] = label
    masks[:4][np.isin(masks[:4], gone)] = 0
    with pytest.raises(BadInput, match=f"split train, as .*, that shows {', '.join(f'c{k}' for k in gone)}: nothing could"):
        load(a_set(tmp_path / "set", masks=masks, classes=classes), tmp_path)


def test_labels_that_vanish_on_a_coarse_profile_are_counted(tmp_path):
    masks = np.zeros((16, 32, 32), np.uint8)
    masks[::2, 10:22, 10:22] = 1
    masks[1::2, 9, 9] = 1
    experiment = load(a_set(tmp_path / "set", masks=masks), tmp_path, max_size=8)
    assert "2 labelled slices of domain A and split train have no labelled pixel left" in " ".join(experiment.notes)
    assert len(experiment.train) == 2


@pytest.mark.parametrize(
    ("organ", "meant"),
    [("heart", "cardiac"), ("Prostate", "prostate"), ("liver", None), ("cardiac", None)],
)
def test_another_word_for_an_organ_that_has_scanners_is_said(organ, meant, tmp_path):
    remarks = [text for text in remarks_on_grid(a_set(tmp_path / "set", organ=organ)) if "organ" in text]
    assert len(remarks) == (meant is not None)
    assert not meant or remarks[0].startswith(f"dataset.json says organ {organ}: write {meant} to re-acquire")
