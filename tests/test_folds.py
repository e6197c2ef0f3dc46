"""Folds: each subject of the source is tested once, over as many slice sets as there are folds."""

import shutil

import pytest
from test_acdc import a_patient, prepare, refused

from advconf_lite.data.slices import read_slice_set
from advconf_lite.data.splits import split_by_fold
from advconf_lite.support.errors import BadInput


@pytest.mark.parametrize("number, folds", [(10, 5), (11, 5), (7, 3), (4, 4), (3, 3), (150, 7)])
def test_folds_test_each_subject_once(number, folds):
    subjects = [f"p{i}" for i in range(number)]
    splits = [split_by_fold(subjects, fold, folds, seed=3) for fold in range(1, folds + 1)]
    tested = [[name for name in subjects if split[name] == "test"] for split in splits]
    assert sorted(name for fold in tested for name in fold) == sorted(subjects)
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    for split, test in zip(splits, tested):
        assert set(split) == set(subjects)  # one split each, by being a dict
        rest, val = number - len(test), list(split.values()).count("val")
        assert val >= 1 and abs(val - rest / 5) <= 1 and list(split.values()).count("train") == rest - val >= 1


def test_folds_depend_on_the_seed_alone():
    subjects = [f"p{i}" for i in range(10)]
    split = split_by_fold(subjects, 2, 5)
    assert split == split_by_fold(reversed(subjects * 2), 2, 5) != split_by_fold(subjects, 2, 5, seed=1)


@pytest.mark.parametrize("number, fold, folds, sentence", [
    (5, 0, 5, "there is no fold 0 of 5"), (5, 6, 5, "there is no fold 6 of 5"), (5, 1, 6, "5 subjects cannot be cut into 6"),
    (5, 1, 1, "folds is 1; give a whole number of at least 2"), (3, 2, 2, "3 subjects cannot be cut into 2 folds"),
])  # fmt: skip
def test_folds_that_do_not_exist(number, fold, folds, sentence):
    with pytest.raises(BadInput, match=sentence):
        split_by_fold(map(str, range(number)), fold, folds)


# ---- the command


@pytest.fixture
def archive(tmp_path):
    for number in (1, 2, 3, 4, 101):
        a_patient(tmp_path / "acdc" / "training", f"patient{number:03d}")
    return tmp_path / "acdc"


def test_folds_test_each_patient_once(archive, tmp_path):
    tested = []
    for fold in (1, 2, 3, 4, 5):
        assert prepare(archive, tmp_path / str(fold), "--size", 24, "--fold", f"{fold}/5") == 0
        data = read_slice_set(tmp_path / str(fold))
        split = data.table.groupby("subject")["split"].unique()
        assert sorted(values[0] for values in split) == ["test", "train", "train", "train", "val"]
        tested += [name for name, values in split.items() if values[0] == "test"]
        assert data.info["fold"] == f"{fold}/5" and data.info["how_made"].endswith(f" --fold {fold}/5")
    assert sorted(tested) == [f"patient{number:03d}" for number in (1, 2, 3, 4, 101)]


def test_another_fold_gets_another_folder(archive, tmp_path, capsys):
    assert prepare(archive, tmp_path / "out", "--size", 24, "--fold", "1/2") == 0
    before = (tmp_path / "out" / "dataset.json").read_bytes()
    assert "holds fold 1/2; choose another folder" in refused(capsys, archive, tmp_path, "--fold", "2/2")
    assert "holds fold 1/2; choose another folder" in refused(capsys, archive, tmp_path)
    assert (tmp_path / "out" / "dataset.json").read_bytes() == before
    assert prepare(archive, tmp_path / "out", "--size", 24, "--fold", "1/2") == 0
    shutil.rmtree(tmp_path / "out")
    prepare(archive, tmp_path / "out", "--size", 24)
    assert "fold" not in read_slice_set(tmp_path / "out").info
    assert "holds a set without folds; choose" in refused(capsys, archive, tmp_path, "--fold", "1/2")


def test_folds_that_cannot_be(archive, tmp_path, capsys):
    for text in ("0/5", "6/5", "2", "a/b", "-1/5", "1/5/5", "1.0/5"):
        assert f"'{text}' is no fold K/N with K from 1 to N" in refused(capsys, archive, tmp_path, f"--fold={text}")
    assert "5 subjects cannot be cut into 6 folds" in refused(capsys, archive, tmp_path, "--fold", "6/6")
    assert "folds is 1; give a whole number of at least 2" in refused(capsys, archive, tmp_path, "--fold", "1/1")
    sentence = refused(capsys, archive, tmp_path, "--fold", "1/5", "--split", "slice")
    assert "--fold keeps subjects apart and --split slice does not" in sentence
    for mask in archive.rglob("*_gt.nii.gz"):
        mask.unlink()
    assert "--fold is for sets with masks" in refused(capsys, archive, tmp_path, "--fold", "1/5")
