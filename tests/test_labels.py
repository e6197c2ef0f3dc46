"""Labels as masks store them, and what becomes of them: rounding, unknown ones, and those that a crop or a grid loses."""

import gzip

import nibabel
import numpy as np
import pandas as pd
import pytest

from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.support.errors import BadInput
from data_download.__main__ import main
from data_download.preparing.masks import read_mask
from data_download.preparing.montage import montages
from data_download.preparing.volumes import read_volume

SHAPE = (12, 10, 3)
AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
LABELS = {1: 1, 2: 2}


def save(array, path, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(array, affine, dtype=array.dtype), path)
    return path


def labels(dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 3, SHAPE).astype(dtype)


def read(tmp_path, array, known=LABELS, remedy="map them"):
    image, notes = read_volume(save(np.zeros(SHAPE, np.int16), tmp_path / "a.nii")), []
    path = array if hasattr(array, "suffix") else save(array, tmp_path / "a_seg.nii.gz")
    return read_mask(path, image, known, notes, remedy), notes


@pytest.mark.parametrize("kind", ["f4", "f8", "u2", "i8", "u8", "i1", "u4"])
def test_whole_labels_of_every_type_are_themselves(tmp_path, kind):
    mask, notes = read(tmp_path, labels(kind))
    np.testing.assert_array_equal(mask, labels().T)
    assert notes == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: (m * np.float32(0.9996)).astype("f4"),
        lambda m: m + np.where(m > 1, -4e-4, 9e-4),
        lambda m: m * (1 - 1e-12),
        lambda m: (m - 1e-5).astype("f4"),  # background just below 0 is no negative label
    ],
)
def test_labels_near_a_whole_number_are_rounded_and_it_is_said(tmp_path, spoil):
    mask, notes = read(tmp_path, spoil(labels("f8")))
    np.testing.assert_array_equal(mask, labels().T)
    assert len(notes) == 1 and "within 0.001 of a whole number were rounded" in notes[0]


@pytest.mark.parametrize(("slope", "inter"), [(1 / 3, 0), (0.1, 0), (2 / 65535, 0), (0.25, -0.5)])
def test_integers_with_a_scale_factor_are_rounded(tmp_path, slope, inter):
    array = np.rint((labels("f8") - inter) / slope).astype(np.int32)
    data = bytearray(nibabel.Nifti1Image(array, AFFINE).to_bytes())
    data[112:120] = np.array([slope, inter], np.float32).tobytes()
    path = tmp_path / "a_seg.nii.gz"
    path.write_bytes(gzip.compress(bytes(data)))
    mask, _ = read(tmp_path, path)
    np.testing.assert_array_equal(mask, labels().T)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m * 127, "the unknown labels 127, 254; expected are 0, 1, 2: map them (its labels are 0, 127, 254)"),
        (lambda m: m.astype("f4") * 300, "the unknown labels 300, 600; expected are 0, 1, 2"),
        (lambda m: m + 1, "the unknown label 3; expected are 0, 1, 2: map them (its labels are 1, 2, 3)"),
        (
            lambda m: np.arange(m.size).reshape(m.shape).astype("i2"),
            "labels are 0, 1, 2, 3, 4, 5, 6, 7 and 352 others)",
        ),
        (lambda m: -(m.astype("i1") > 0).astype("i1"), "the unknown label -1; expected"),  # 255 in a signed byte
        (lambda m: m * 0.4, "which is no whole number; threshold the mask"),
        (lambda m: np.where(m == 0, np.nan, m), "holds nan at voxel"),
    ],
)
def test_other_labels_are_listed_with_what_to_do(tmp_path, spoil, said):
    with pytest.raises(BadInput) as caught:
        read(tmp_path, spoil(labels()))
    assert said in str(caught.value) and "a_seg.nii.gz" in str(caught.value) and "\n" not in str(caught.value)


# ---- what a crop or a grid loses


def a_set(folder, places, size=(40, 40, 3), mm=1.0):
    """Subjects P0, P1, ... whose label fills the rows and columns of their (low, high), or nothing for None."""
    folder.mkdir()
    for number, place in enumerate(places):
        mask = np.zeros(size, np.uint8)
        if place is not None:
            mask[slice(*place), slice(*place)] = 1
        image = (np.random.default_rng(number).integers(0, 50, size) + 100 * mask).astype(np.int16)
        for array, end in ((image, ""), (mask, "_seg")):
            save(array, folder / f"P{number}{end}.nii.gz", np.diag([-mm, -mm, 5.0, 1]))
    return folder


def prepared(capsys, folder, out, *options):
    code = main(["prepare", "nifti", "--source", str(folder), "--out", str(out), *map(str, options)])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("lonely", "cause"),
    [
        ((0, 2), "the crop to 24 x 24 pixels cuts its foreground off"),
        ((38, 40), "the crop to 24 x 24 pixels cuts its foreground off"),
        (None, "its masks are empty"),
    ],
)
@pytest.mark.parametrize("keep", [False, True])
def test_a_subject_that_ends_with_no_slice_is_named_with_the_cause(tmp_path, capsys, lonely, cause, keep):
    folder = a_set(tmp_path / "own", [(10, 30)] * 4 + [lonely])
    options = ["--size", 24, "--spacing", 1] + ["--keep-empty"] * keep
    code, said = prepared(capsys, folder, tmp_path / "out", *options)
    assert code == 0
    data = read_slice_set(tmp_path / "out")
    assert ("P4" in set(data.table["subject"])) == keep and (f"own P4 has no slice in the set: {cause}" in said) != keep
    cropped = (
        f"3 slices whose whole foreground the crop to 24 x 24 pixels cut off were {'kept' if keep else 'dropped'}, of own P4"
    )
    empty = f"3 slices without a foreground pixel were {'kept' if keep else 'dropped'}"
    assert (cropped in said, empty in said) == (lonely is not None, lonely is None)  # never the opposite of the cause
    assert ("of own P4" in said and "loses 12 of 4812 labelled pixels" in said) == (lonely is not None)
    assert set(data.table["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize("mm", [0.2, 0.25, 0.4])
def test_a_foreground_that_is_too_small_for_the_grid_is_named(tmp_path, capsys, mm):
    folder = a_set(tmp_path / "own", [(10, 30)] * 4 + [(20, 21)], mm=mm)
    code, said = prepared(capsys, folder, tmp_path / "out", "--size", 16, "--spacing", 4 * mm)
    assert code == 0
    if "P4" in set(read_slice_set(tmp_path / "out").table["subject"]):
        pytest.fail("the lonely pixel lies under the centre of a new one: choose another")
    assert f"own P4 has no slice in the set: its foreground is too small for pixels of {4 * mm} mm" in said
    assert "3 slices whose foreground is too small" in said and "without a foreground" not in said


@pytest.mark.parametrize("places", [[None] * 3, [None], [None, None]])
def test_a_set_without_a_slice_is_refused_with_the_cause(tmp_path, capsys, places):
    code, said = prepared(capsys, a_set(tmp_path / "own", places), tmp_path / "out")
    assert code == 2 and not (tmp_path / "out").exists()
    assert "no slice would be in the set" in said and "its masks are empty; correct the masks, or give --keep-empty" in said


@pytest.mark.parametrize("value", [1e39, -4e38, 1e300])
@pytest.mark.parametrize("slope", [1, 2])
def test_a_value_beyond_32_bits_names_the_scan(tmp_path, capsys, value, slope):
    folder = a_set(tmp_path / "own", [(10, 30)] * 3)
    array = np.ones((40, 40, 3)) * slope
    array[5, 5, slope] = value
    save(array, folder / "P1.nii.gz")
    code, said = prepared(capsys, folder, tmp_path / "out", "--size", 48, "--spacing", 1)
    assert code == 2 and "P1.nii.gz holds" in said and "too much for 32 bits" in said and "Warning" not in said


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["3T/1.5T", "3T:1.5T", "plain"], ["montage-3T-1.5T.png", "montage-3T-1.5T-2.png", "montage-plain.png"]),
        (["a\\b", "site", "Site"], ["montage-a-b.png", "montage-site.png", "montage-Site-2.png"]),
        (["$x$", "cost: $", "x" * 300], ["montage-$x$.png", "montage-cost- $.png", f"montage-{'x' * 60}.png"]),
    ],
)
def test_a_picture_of_a_domain_with_any_name_is_written(tmp_path, names, files):
    table = pd.DataFrame({"dataset": "own", "domain": names, "subject": [r"P$\frac$", "P2", "P3"], "phase": "", "slice": 0})
    table = table.assign(spacing_mm=1.0, split="test")
    images = np.random.default_rng(0).random((3, 16, 16)).astype(np.float32)
    info = {"name": "own", "class_names": ["x"], "source_domain": names[0]}
    data = write_slice_set(tmp_path / "set", images, (images > 0.5).astype(np.uint8), table, info)
    assert [path.name for path in montages(data, tmp_path / "pictures")] == files
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == sorted(files)
