"""What headers say of voxels, and what is believed: sizes, units, directions, the slice axis; on headers made by hand."""

import json

import nibabel
import numpy as np
import pytest

from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.support.errors import BadInput
from data_download.__main__ import main
from data_download.preparing.masks import read_mask
from data_download.preparing.orientation import turned, turns
from data_download.preparing.volumes import read_grid, read_volume

SimpleITK = pytest.importorskip("SimpleITK")

SHAPE = (12, 10, 3)
STRAIGHT = np.diag([-1.0, -1.0, 1.0, 1.0])  # towards the left, the back and the head


def turned_by(degrees):
    """Directions turned about the first axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    affine = np.eye(4)
    affine[1:3, 1:3] = [[c, -s], [s, c]]
    return affine @ STRAIGHT


def nifti(path, array=None, sform=None, qform=None, pixdim=(1, 1, 5), units=0, kind=nibabel.Nifti1Image):
    """A file that says exactly this: affines or None for their code 0, and pixdim whatever they say."""
    if array is None:
        array = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    image = kind(array, np.eye(4))
    header = image.header.copy()  # to_bytes writes into the image's own
    if qform is not None:
        header.set_qform(qform, 1)
    header["qform_code"] = 0 if qform is None else 1
    header["sform_code"] = 0 if sform is None else 2
    for row, values in zip("xyz", np.eye(4) if sform is None else sform):
        header[f"srow_{row}"] = values
    header["pixdim"][1:4], header["xyzt_units"] = pixdim, units
    data = bytearray(image.to_bytes())
    data[: header.sizeof_hdr] = header.binaryblock
    if kind is nibabel.Nifti1Image:
        data[108:112], data[344:348] = np.float32(352).tobytes(), b"n+1\0"
    else:
        data[168:176] = np.int64(544).tobytes()
    path.write_bytes(bytes(data))
    return path


def scaled(affine, *sizes):
    return affine @ np.diag([*sizes, 1.0])


def said(volume):
    return " ".join(volume.notes)


# ---- millimetres


@pytest.mark.parametrize(
    ("how", "sizes", "remark"),
    [
        ({"sform": STRAIGHT, "pixdim": (0.7, 0.9, 4)}, (0.7, 0.9, 4), "sform says 1 x 1 x 1 mm, pixdim 0.7 x 0.9 x 4 mm"),
        ({"sform": turned_by(25), "pixdim": (1.37, 1.37, 10)}, (1.37, 1.37, 10), "pixdim was taken"),
        ({"sform": scaled(STRAIGHT, 2, 2, 8), "pixdim": (1.5, 1.5, 8)}, (1.5, 1.5, 8), "sform says 2 x 2 x 8 mm"),
        ({"sform": scaled(STRAIGHT, 1, 1, 4), "pixdim": (1, 1, 8)}, (1, 1, 8), "pixdim 1 x 1 x 8 mm"),
        ({"sform": STRAIGHT, "pixdim": (1.2, 1.2, 6), "kind": nibabel.Nifti2Image}, (1.2, 1.2, 6), "pixdim was taken"),
        ({"sform": scaled(STRAIGHT, 2, 2, 8), "pixdim": (2.0000001, 2, 8)}, (2, 2, 8), ""),
        ({"sform": scaled(STRAIGHT, 2, 3, 8), "pixdim": (0, -3, np.nan)}, (2, 3, 8), "pixdim is no size"),
        ({"sform": STRAIGHT, "pixdim": (1.5, 1.5, 0)}, (1.5, 1.5, 1), "pixdim is no size"),
        ({"qform": scaled(turned_by(10), 0.8, 0.8, 3), "pixdim": (0.8, 0.8, 3)}, (0.8, 0.8, 3), ""),
        (
            {"sform": np.zeros((4, 4)), "qform": scaled(STRAIGHT, 1, 2, 7), "pixdim": (1, 2, 7)},
            (1, 2, 7),
            "no grid of voxels",
        ),
    ],
)
def test_sizes_are_pixdims_and_a_remark_names_both(tmp_path, how, sizes, remark):
    path = nifti(tmp_path / "a.nii", **how)
    volume = read_volume(path, axis=2)
    np.testing.assert_allclose(volume.header.sizes, sizes, rtol=1e-6)
    assert volume.spacing_mm == pytest.approx(sizes[1::-1]) and remark in said(volume) and bool(remark) == bool(volume.notes)
    (rows, columns), spacing = read_grid(path, 2)
    assert (rows, columns) == volume.slices.shape[1:] and spacing == pytest.approx(volume.spacing_mm)
    ways = volume.header.affine[:3, :3] / volume.header.sizes
    coded = how.get("sform") if np.any(how.get("sform", 0)) else how["qform"]
    np.testing.assert_allclose(ways, coded[:3, :3] / np.linalg.norm(coded[:3, :3], axis=0), atol=1e-6)


@pytest.mark.parametrize("coded", ["sform", "qform", "neither"])
@pytest.mark.parametrize(
    ("code", "of_a_mm", "name"), [(1, 1e-3, "metre"), (3, 1e3, "micron"), (2, 1, ""), (0, 1, ""), (10, 1, "")]
)
def test_units_of_the_header_are_applied(tmp_path, coded, code, of_a_mm, name):
    affine = {} if coded == "neither" else {coded: scaled(STRAIGHT, *(of_a_mm * np.array([0.5, 0.75, 4])))}
    path = nifti(tmp_path / "a.nii", pixdim=of_a_mm * np.array([0.5, 0.75, 4]), units=code, **affine)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.header.sizes, (0.5, 0.75, 4), rtol=1e-6)
    assert (name in said(volume) and "turned into millimetres" in said(volume)) if name else volume.notes == ()
    assert read_grid(path)[1] == pytest.approx((0.75, 0.5))


@pytest.mark.parametrize("sizes", [(0.001, 0.001, 0.005), (1000, 1000, 5000), (0.04, 0.04, 1), (60, 1, 80)])
def test_sizes_that_no_scanner_has_are_refused(tmp_path, sizes):
    path = nifti(tmp_path / "a.nii", sform=scaled(STRAIGHT, *sizes), pixdim=sizes)
    for read in (read_volume, read_grid):
        with pytest.raises(BadInput, match=r"a\.nii says that its pixels are .* correct the voxel sizes, or their unit"):
            read(path)


@pytest.mark.parametrize(
    ("sizes", "options", "remark"),
    [
        ((20, 20, 40), ("--spacing", "0.02", "--size", "64"), "would have 10000 x 12000 pixels of 0.02 mm"),
        ((45, 45, 90), ("--spacing", "0.05"), "would have 9000 x 10800 pixels"),
        ((1, 1, 5), ("--size", "20000"), "--size 20000 is too much"),
    ],
)
def test_a_plane_that_would_fill_the_memory_is_refused(tmp_path, capsys, sizes, options, remark):
    (tmp_path / "own").mkdir()
    nifti(tmp_path / "own" / "P1.nii", sform=scaled(STRAIGHT, *sizes), pixdim=sizes)
    words = ["prepare", "nifti", "--source", str(tmp_path / "own"), "--out", str(tmp_path / "out"), *options]
    assert main(words) == 2
    assert remark in capsys.readouterr().err and sorted(path.name for path in tmp_path.iterdir()) == ["own"]


# ---- which way up


@pytest.mark.parametrize("organ", ["prostate", "cardiac"])
@pytest.mark.parametrize("pixdim", [(1, 1, 5), (0.5, 0.5, 3), (2, 1, 1)])
def test_without_a_code_planes_stay_as_stored_whatever_the_organ(tmp_path, capsys, organ, pixdim):
    (tmp_path / "own").mkdir()
    array = np.zeros(SHAPE, np.int16)
    array[:3, :2] = 99
    nifti(tmp_path / "own" / "P1.nii", array, pixdim=pixdim)
    words = ["prepare", "nifti", "--source", str(tmp_path / "own"), "--out", str(tmp_path / "out"), "--organ", organ]
    assert main([*words, "--spacing", "1", "--size", "32", "--slice-axis", "2"]) == 0
    assert "a header does not say which way is up, so its slices stay as stored" in capsys.readouterr().err
    image = np.asarray(read_slice_set(tmp_path / "out").images[0])
    rows, columns = np.nonzero(image > 50)
    assert rows.max() < 16 and columns.max() < 16  # still above and to the left


@pytest.mark.parametrize(
    ("sform", "qform", "differ"),
    [
        (STRAIGHT, np.eye(4), True),  # turned by half a circle
        (STRAIGHT, np.diag([1.0, -1, 1, 1]), True),  # mirrored
        (STRAIGHT, turned_by(5), True),
        (turned_by(30), turned_by(30), False),
        (turned_by(30), turned_by(30.3), False),  # rounding
    ],
)
def test_an_sform_and_a_qform_that_point_different_ways_are_noticed(tmp_path, sform, qform, differ):
    path = nifti(tmp_path / "a.nii", sform=scaled(sform, 1, 1, 5), qform=scaled(qform, 1, 1, 5))
    volume = read_volume(path)
    assert ("sform and qform point different ways, and the sform was taken" in said(volume)) == differ
    np.testing.assert_allclose(volume.header.affine, scaled(sform, 1, 1, 5), atol=1e-5)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_prostates_planes_are_turned_to_their_radiological_view(plane):
    wanted = {"axial": "LP", "coronal": "LI", "sagittal": "PI"}[plane]
    letters = {"L": (-1, 0, 0), "R": (1, 0, 0), "P": (0, -1, 0), "A": (0, 1, 0), "I": (0, 0, -1), "S": (0, 0, 1)}
    image = np.arange(24).reshape(2, 3, 4)
    for tilt in (-0.1, 0.1):  # no scan is straight, and which way it leans must not matter
        view = np.eye(4)
        view[:3, 0], view[:3, 1] = letters[wanted[0]], letters[wanted[1]]
        view[:3, 2] = np.cross(view[:3, 0], view[:3, 1])
        view[:3, :3] += tilt
        for swap in (False, True):
            for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                affine, stored = (view[:, [1, 0, 2, 3]], image.transpose(0, 2, 1)) if swap else (view.copy(), image)
                affine[:, 0] *= x
                affine[:, 1] *= y
                found = turned(stored[:, ::y, ::x], turns(affine, "prostate"))
                np.testing.assert_array_equal(found, image)


# ---- the slice axis


@pytest.mark.parametrize(
    ("shape", "sizes", "axis", "remark"),
    [
        ((4, 20, 16), (6, 0.8, 0.8), 0, "largest spacing"),
        ((20, 4, 16), (1, 3, 1), 1, "largest spacing"),
        ((20, 16, 4), (0.7, 0.7, 1), 2, ""),
        ((20, 16, 4), (2, 3, 7), 2, ""),
        ((16, 20, 1), (1, 1, 1), 2, ""),
        ((1, 20, 16), (1, 1, 1), 0, "one voxel"),
        ((16, 1, 20), (1, 1, 2), 1, "one voxel"),
        ((16, 20, 18), (1, 1, 1), 2, "no axis has clearly"),
        ((16, 20, 18), (1.1, 1, 1), 2, "no axis has clearly"),
    ],
)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_slices_are_counted_along_the_axis_of_the_largest_spacing(tmp_path, shape, sizes, axis, remark, ending):
    array = np.random.default_rng(1).integers(0, 9, shape).astype(np.int16)
    path, mask = (tmp_path / f"{name}{ending}" for name in ("a", "a_seg"))
    for place, values in ((path, array), (mask, (array > 4).astype(np.uint8))):
        if ending.startswith(".nii"):
            nibabel.save(nibabel.Nifti1Image(values, np.diag([*sizes, 1.0])), place)
        else:
            image = SimpleITK.GetImageFromArray(values.T)
            image.SetSpacing([float(size) for size in sizes])
            SimpleITK.WriteImage(image, str(place))
    volume = read_volume(path)
    across = [other for other in range(3) if other != axis]
    np.testing.assert_array_equal(volume.slices, np.moveaxis(array, axis, 2).T)
    assert volume.axis == axis and volume.spacing_mm == pytest.approx((sizes[across[1]], sizes[across[0]]))
    assert remark in said(volume) and bool(remark) == bool(volume.notes)
    assert read_grid(path) == (volume.slices.shape[1:], pytest.approx(volume.spacing_mm))
    np.testing.assert_array_equal(read_mask(mask, volume, {1: 1}, []), volume.slices > 4)
    for other in range(3):  # the user knows better
        chosen = read_volume(path, axis=other)
        np.testing.assert_array_equal(chosen.slices, np.moveaxis(array, other, 2).T)
        np.testing.assert_array_equal(read_mask(mask, chosen, {1: 1}, []), chosen.slices > 4)
        assert not any("axis" in note for note in chosen.notes)


def test_the_axis_that_was_chosen_is_in_dataset_json(tmp_path):
    (tmp_path / "own").mkdir()
    for number in range(3):
        array = np.random.default_rng(number).integers(1, 99, (16, 12, 20)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "own" / f"P{number}.nii")
    words = ["prepare", "nifti", "--source", str(tmp_path / "own"), "--out"]
    assert main([*words, str(tmp_path / "one"), "--slice-axis", "1"]) == 0 == main([*words, str(tmp_path / "auto")])
    one, auto = (read_slice_set(tmp_path / name) for name in ("one", "auto"))
    assert len(one) == 3 * 12 and " --slice-axis 1" in one.info["how_made"]
    assert len(auto) == 3 * 20 and "--slice-axis" not in auto.info["how_made"]


# ---- a mask that lies on its image


@pytest.mark.parametrize(
    ("of_image", "of_mask"),
    [
        # saved by nibabel with the affine of an image like ACDC's, and no other header
        ({"sform": STRAIGHT, "pixdim": (1.5, 1.5, 8)}, {"sform": STRAIGHT, "pixdim": (1, 1, 1)}),
        # saved by a program that believes the qform
        (
            {"sform": scaled(STRAIGHT, 1, 1, 5), "qform": scaled(turned_by(20), 1, 1, 5)},
            {"sform": scaled(turned_by(20), 1, 1, 5)},
        ),
        ({"sform": scaled(STRAIGHT, 1, 1, 5)}, {}),  # without a word on where it lies
        ({}, {"sform": scaled(STRAIGHT, 1, 1, 5)}),
    ],
)
def test_a_mask_that_says_it_otherwise_is_taken_with_a_remark(tmp_path, of_image, of_mask):
    labels = np.random.default_rng(2).integers(0, 2, SHAPE).astype(np.uint8)
    volume, notes = read_volume(nifti(tmp_path / "a.nii", **of_image)), []
    mask = read_mask(nifti(tmp_path / "a_seg.nii", labels, **of_mask), volume, {1: 1}, notes)
    np.testing.assert_array_equal(mask, labels.T)
    assert notes


@pytest.mark.parametrize(
    "of_mask",
    [
        {"sform": scaled(STRAIGHT, 1, 1, 4), "pixdim": (1, 1, 4)},
        {"sform": scaled(np.diag([1.0, -1, 1, 1]), 1, 1, 5)},
        {"pixdim": (2, 2, 5)},
        {"sform": scaled(turned_by(15), 1, 1, 5)},
    ],
)
def test_a_mask_that_lies_elsewhere_is_refused_with_what_helps(tmp_path, of_mask):
    volume = read_volume(nifti(tmp_path / "a.nii", sform=scaled(STRAIGHT, 1, 1, 5)))
    path = nifti(tmp_path / "a_seg.nii", np.zeros(SHAPE, np.uint8), **of_mask)
    with pytest.raises(
        BadInput, match="copy the image's header to it if it was drawn on this image, else resample"
    ) as caught:
        read_mask(path, volume, {1: 1}, [])
    assert "a_seg.nii" in str(caught.value) and "\n" not in str(caught.value)


# ---- what is around an image


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(-1000, 1500, np.int16), (-2.5, 3.0, np.float32), (40, 255, np.uint8), (0, 99, np.int32)]
)
def test_an_image_is_padded_with_its_own_darkest_value(tmp_path, low, high, dtype):
    (tmp_path / "own").mkdir()
    array = np.random.default_rng(0).uniform(low, high, SHAPE).astype(dtype)
    array[0, 0, 0] = low
    nifti(tmp_path / "own" / "P1.nii", array, sform=scaled(STRAIGHT, 1, 1, 5))
    assert main(["prepare", "nifti", "--source", str(tmp_path / "own"), "--out", str(tmp_path / "out"), "--size", "32"]) == 0
    data = read_slice_set(tmp_path / "out")
    images = np.asarray(data.images[:])
    assert (images[:, :10] == low).all() and (images[:, :, -10:] == low).all() and images.max() > low + 0.8 * (high - low)
    # and so is one that is fed to a network on a larger grid: nothing in it is darker than the image
    table = data.table.assign(split="test")
    small = write_slice_set(tmp_path / "small", images[:, 11:21, 10:22], None, table, {**data.info, "size": [32, 32]})
    x = small.tensors(32)[0][0, 0]
    assert float(x[0, 0]) == float(x.min())


# ---- sets that were made before


@pytest.mark.parametrize("of", ["the header's", "a mask header's"])
def test_verify_says_that_a_set_of_the_sforms_millimetres_must_be_prepared_again(tmp_path, capsys, of):
    note = f"{of} zooms disagree with its affine, which was believed (300 times)"
    (tmp_path / "own").mkdir()
    nifti(tmp_path / "own" / "P1.nii", sform=scaled(STRAIGHT, 1, 1, 5))
    assert main(["prepare", "nifti", "--source", str(tmp_path / "own"), "--out", str(tmp_path / "out")]) == 0
    assert main(["verify", str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "notes": [note]}))
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "out")]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("size of pixels")]
    assert "the sform's: prepare it again" in line and line.endswith("DIFFERS")
