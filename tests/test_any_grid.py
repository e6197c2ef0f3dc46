"""Sets of any organ: the grid that the images have, planes that nobody turns, and labels that a crop would lose."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from advconf_lite.data.resampling import centre_crop_or_pad
from advconf_lite.data.slices import read_slice_set
from data_download.__main__ import main
from data_download.dataset import DataSet
from data_download.preparing.scans import cut_off, size_for
from data_download.sets import DATASETS


def a_folder(folder, shapes, spacings, label=lambda image: image > 50, classes=1):
    """One subject per shape (X, Y): noise, three slices, a mask of `label`."""
    folder.mkdir()
    for number, (shape, spacing) in enumerate(zip(shapes, spacings)):
        image = np.random.default_rng(number).integers(0, 99, (*shape, 3)).astype(np.int16)
        affine = np.diag([spacing, spacing, 5.0, 1])
        mask = (label(image) * (1 + number % classes)).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(image, affine), folder / f"P{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(mask, affine), folder / f"P{number}_gt.nii.gz")
    return folder


def prepare(source, out, *options):
    return main(["prepare", "nifti", "--source", str(source), "--out", str(out), *map(str, options)])


def stored(path):
    return np.asanyarray(nibabel.load(path).dataobj)


# ---- the images' own grid


def test_without_numbers_the_grid_is_the_images_own_and_no_organ_is_named(tmp_path, capsys):
    source = a_folder(tmp_path / "lung", [(40, 30)] * 4, [0.7] * 4)
    assert prepare(source, tmp_path / "out") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("grid: ")]
    assert "0.7 mm (the median spacing" in line and "48 x 48 pixels (the smallest multiple of 16" in line
    data = read_slice_set(tmp_path / "out")
    assert data.info["size"] == 48 and data.spacing_mm == 0.7 and data.info["tolerance_mm"] == 2.1
    assert data.class_names == ["foreground"] and "organ" not in data.info
    text = (tmp_path / "out" / "dataset.json").read_text()
    assert not any(word in text for word in ("heart", "cardiac", "prostate", "LV"))
    # pixel for pixel what is stored, in the middle, neither turned nor resampled
    row = data.table.query("subject == 'P2' and slice == 1").index[0]
    np.testing.assert_array_equal(data.images[row, 9:39, 4:44], stored(source / "P2.nii.gz")[..., 1].T)
    np.testing.assert_array_equal(data.masks[row, 9:39, 4:44], stored(source / "P2_gt.nii.gz")[..., 1].T)
    assert int((data.masks[:] > 0).sum()) == sum(int(stored(path).sum()) for path in source.glob("*_gt.nii.gz"))


def test_the_median_spacing_and_the_largest_image_decide(tmp_path):
    source = a_folder(tmp_path / "own", [(20, 20), (20, 20), (31, 20), (20, 20)], [1.0, 1.0, 2.0, 0.5])
    assert prepare(source, tmp_path / "out") == 0
    info = read_slice_set(tmp_path / "out").info
    assert (info["spacing_mm"], info["size"], info["tolerance_mm"]) == (1.0, 64, 3.0)  # 31 pixels of 2 mm are 62 of 1
    assert prepare(source, tmp_path / "out", "--spacing", 2) == 0
    assert read_slice_set(tmp_path / "out").info["size"] == 32
    assert prepare(source, tmp_path / "out", "--size", 80, "--tolerance", 1.5) == 0
    info = read_slice_set(tmp_path / "out").info
    assert (info["spacing_mm"], info["size"], info["tolerance_mm"]) == (1.0, 80, 1.5)
    assert info["how_made"].startswith("python -m data_download prepare nifti --spacing 1.0 --size 80 ")


def test_a_bad_header_is_named_or_its_subject_left_out(tmp_path, capsys):
    source = a_folder(tmp_path / "own", [(20, 20)] * 4, [1.0] * 4)
    (source / "P1.nii.gz").write_bytes(b"<html>")
    assert prepare(source, tmp_path / "out") == 2
    assert "P1.nii.gz cannot be read" in capsys.readouterr().err
    assert prepare(source, tmp_path / "out", "--skip-bad") == 0
    data = read_slice_set(tmp_path / "out")
    assert "P1" not in set(data.table["subject"]) and data.info["size"] == 32
    for path in source.glob("P?.nii.gz"):
        path.write_bytes(b"<html>")
    assert prepare(source, tmp_path / "none", "--skip-bad") == 2


def test_four_classes_with_names_and_a_label_too_many(tmp_path, capsys):
    source = a_folder(tmp_path / "brain", [(20, 20)] * 4, [1.0] * 4, classes=4)
    assert prepare(source, tmp_path / "out") == 2
    assert "holds the unknown label 2; expected are 0, 1: name a class for every label with --classes" in (
        capsys.readouterr().err
    )
    assert prepare(source, tmp_path / "out", "--classes", "csf", "grey", "white", "lesion") == 0
    data = read_slice_set(tmp_path / "out")
    assert data.class_names == ["csf", "grey", "white", "lesion"] and set(np.unique(data.masks[:])) == {0, 1, 2, 3, 4}


def test_only_an_organ_that_was_named_turns_the_planes(tmp_path):
    source = a_folder(tmp_path / "own", [(16, 16)] * 3, [1.0] * 3)
    for out, options in (("plain", ()), ("turned", ("--organ", "prostate")), ("kept", ("--orientation", "as-stored"))):
        assert prepare(source, tmp_path / out, *options) == 0
    plain, turned, kept = (read_slice_set(tmp_path / out) for out in ("plain", "turned", "kept"))
    np.testing.assert_array_equal(plain.images[:], kept.images[:])
    # +x is the patient's right and +y the front: the radiological view turns both
    np.testing.assert_array_equal(plain.images[:], turned.images[:][:, ::-1, ::-1])
    assert turned.info["organ"] == "prostate"


# ---- what a crop loses


def corner(pixels):
    """A mask of the middle, and of so many pixels at the image's edge in the first slice."""

    def label(image):
        mask = np.zeros(image.shape, bool)
        mask[10:30, 10:30] = True
        mask[0, :pixels, 0] = True
        return mask

    return label


def test_labels_that_the_crop_loses_are_counted_and_named(tmp_path, capsys):
    source = a_folder(tmp_path / "own", [(40, 40)] * 3, [1.0] * 3, corner(3))
    assert prepare(source, tmp_path / "out", "--size", 32, "--spacing", 1) == 0
    said = "the crop to 32 x 32 pixels loses 9 of 3609 labelled pixels (0.25%), of own P0, own P1, own P2"
    assert f"note: {said}" in capsys.readouterr().err and said in read_slice_set(tmp_path / "out").info["notes"]
    assert prepare(source, tmp_path / "out", "--size", 40, "--spacing", 1) == 0
    assert not any("crop" in note for note in read_slice_set(tmp_path / "out").info["notes"])


def test_more_than_half_a_percent_is_refused_with_the_size_that_holds_all(tmp_path, capsys):
    source = a_folder(tmp_path / "own", [(40, 40)] * 5, [1.0] * 5, corner(7))
    assert prepare(source, tmp_path / "out", "--size", 32, "--spacing", 1) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("data_download: the crop to 32 x 32 pixels loses 35 of 6035 labelled pixels (0.58%)")
    assert error.endswith("of own P0, own P1, own P2 and 2 others; --size 48 holds all of them")
    assert not (tmp_path / "out").exists()
    assert prepare(source, tmp_path / "out", "--size", 48, "--spacing", 1) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_size_that_is_named_is_the_smallest_that_loses_nothing(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *rng.integers(5, 20, 2))) < 0.02
    masks[0, rng.integers(masks.shape[1]), rng.integers(masks.shape[2])] = True
    for size in range(1, 22):
        assert cut_off(masks, size) == masks.sum() - centre_crop_or_pad(masks, size).sum()
    needed = size_for(masks)
    assert centre_crop_or_pad(masks, needed).sum() == masks.sum() > centre_crop_or_pad(masks, needed - 1).sum()
    assert size_for(np.zeros((2, 5, 6), bool)) == 0


# ---- adding a data set


def test_a_data_set_is_one_new_file(tmp_path):
    root = Path(__file__).parent.parent
    for package in ("data_download", "advconf_lite"):
        shutil.copytree(root / package, tmp_path / package)
    (tmp_path / "data_download" / "sets" / "spleens.py").write_text(
        "from data_download.dataset import DataSet\n"
        "from data_download.sets.nifti import find_images\n"
        "DATA_SET = DataSet('spleens', 'Spleens', {1: 1},\n"
        "    {'name': 'Spleens', 'class_names': ['spleen'], 'source_domain': 'own'}, find_images)\n"
    )
    source = a_folder(tmp_path / "own", [(16, 16)] * 3, [1.0] * 3)
    command = [sys.executable, "-m", "data_download", "prepare", "spleens", "--source", str(source), "--out", "out"]
    subprocess.run(
        command,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )
    info = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert info["class_names"] == ["spleen"] and info["how_made"].startswith("python -m data_download prepare spleens ")


def test_every_record_says_all_that_a_slice_set_needs():
    for name, data in DATASETS.items():
        assert isinstance(data, DataSet) and data.name == name and data.what
        assert len(data.info["class_names"]) == max(data.labels.values()) and data.info["source_domain"]
        assert sorted(set(data.labels.values())) == list(range(1, max(data.labels.values()) + 1))
