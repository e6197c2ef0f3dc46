"""Volumes in every format and packing, by what they hold and not by their name; and what is said of those that are none."""

import bz2
import gzip
import lzma
import os

import nibabel
import numpy as np
import pytest

from advconf_lite.support.errors import BadInput
from data_download.preparing.volumes import read_grid, read_volume

SimpleITK = pytest.importorskip("SimpleITK")

SHAPE = (12, 10, 3)
SIZES = (0.75, 0.5, 4.0)
ARRAY = np.random.default_rng(0).integers(-50, 99, SHAPE).astype(np.int16)
DIRECTION = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])


def itk(path, compress=False, array=ARRAY, spacing=SIZES, direction=DIRECTION):
    image = SimpleITK.GetImageFromArray(array.T, isVector=False)
    image.SetSpacing(spacing)
    image.SetOrigin([1.0, 2, 3, 0][: len(spacing)])
    image.SetDirection(np.ravel(direction))
    SimpleITK.WriteImage(image, str(path), compress)
    return path


def nifti_bytes():
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = DIRECTION * SIZES, (1, 2, 3)
    affine[:2] *= -1
    return nibabel.Nifti1Image(ARRAY, affine).to_bytes()


def refused(path, what="image"):
    with pytest.raises(BadInput) as caught:
        read_volume(path, what)
    sentence = str(caught.value)
    assert sentence.startswith(f"{what} {path}") and "\n" not in sentence and sentence.count("; ") >= 1
    return sentence


def edit(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))
    return path


# ---- the same volume, whatever the file


PACKED = {
    "a.nii": nifti_bytes,
    "b.nii": lambda: gzip.compress(nifti_bytes()),
    "c.nii.gz": nifti_bytes,
    "d.NII.GZ": lambda: gzip.compress(gzip.compress(nifti_bytes())),
    "e.nii.gz": lambda: bz2.compress(nifti_bytes()),
    "f.nii": lambda: lzma.compress(nifti_bytes()),
    "g.nii.gz": lambda: gzip.compress(nifti_bytes()[:1000]) + gzip.compress(nifti_bytes()[1000:]) + bytes(64),
    "h.Nii.Gz": lambda: bz2.compress(gzip.compress(nifti_bytes())),
}


@pytest.mark.parametrize(
    "name", [*PACKED, "a.mha", "b.MHA", "c.mhd", "d.MHD", "e.nrrd", "f.Nrrd", "g.mha+", "h.mhd+", "i.nrrd+"]
)
def test_a_volume_is_read_alike_from_every_format_and_packing(tmp_path, name):
    path = tmp_path / name.rstrip("+")
    if name in PACKED:
        path.write_bytes(PACKED[name]())
    else:
        written = itk(path.with_suffix(path.suffix.lower()), compress=name.endswith("+"))
        written.rename(path)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.slices, ARRAY.T)
    affine = np.diag([-1, -1, 1, 1]) @ np.block([[DIRECTION * SIZES, np.array([[1.0], [2], [3]])], [np.zeros(3), 1]])
    np.testing.assert_allclose(volume.header.affine, affine, atol=1e-6)
    assert volume.header.oriented and volume.notes == () and volume.spacing_mm == pytest.approx((0.5, 0.75))
    assert read_grid(path) == ((10, 12), pytest.approx((0.5, 0.75)))


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".mhd"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_fourth_axis_of_one_time_point_is_left_out_and_of_two_refused(tmp_path, ending, times):
    direction = np.eye(4)
    direction[:3, :3] = DIRECTION
    array = np.repeat(ARRAY[..., None], times, axis=3)
    path = itk(tmp_path / f"a{ending}", array=array, spacing=(*SIZES, 30.0), direction=direction)
    if times == 2:
        assert "has shape (12, 10, 3, 2)" in refused(path)
    else:
        volume = read_volume(path)
        assert volume.spacing_mm == pytest.approx((0.5, 0.75)) == read_grid(path)[1] and volume.notes == ()
        if volume.header.oriented:
            np.testing.assert_allclose(volume.header.affine[:3, :3], np.diag([-1, -1, 1]) @ DIRECTION * SIZES, atol=1e-6)
        assert volume.header.oriented != (ending == ".nrrd")  # for four axes ITK writes no name of the patient's directions


@pytest.mark.parametrize(
    ("name", "old", "new", "oriented", "scale", "remark"),
    [
        ("a.mha", b"TransformMatrix", b"Comment", False, 1, ""),
        ("a.nrrd", b"space: left-posterior-superior", b"space dimension: 3", False, 1, ""),
        ("a.nrrd", b"kinds: domain", b'space units: "um" "um" "um"\nkinds: domain', True, 1e-3, "in um"),
        ("a.nrrd", b"kinds: domain", b'space units: "mm" "mm" "mm"\nkinds: domain', True, 1, ""),
        ("a.nrrd", b"kinds: domain", b'space units: "ell" "ell" "ell"\nkinds: domain', True, 1, "'ell'"),
        ("a.mha", b"Offset", b"DistanceUnits = cm\nOffset", True, 10, "in cm"),
        ("a.mha", b"Offset", b"DistanceUnits = mm\nOffset", True, 1, ""),
    ],
)
def test_what_the_text_of_a_header_says_of_units_and_directions(tmp_path, name, old, new, oriented, scale, remark):
    sizes = np.array([1.5, 1.0, 4.0]) / scale
    path = edit(itk(tmp_path / name, spacing=sizes), old, new)
    volume = read_volume(path)
    assert volume.header.oriented == oriented and volume.spacing_mm == pytest.approx((1.0, 1.5))
    assert remark in " ".join(volume.notes) and bool(remark) == bool(volume.notes)


def test_nrrd_with_spacings_and_no_directions(tmp_path):
    text = "NRRD0004\ntype: short\ndimension: 3\nsizes: 12 10 3\nspacings: 0.75 0.5 4\nendian: little\nencoding: raw\n\n"
    path = tmp_path / "a.nrrd"
    path.write_bytes(text.encode() + ARRAY.tobytes(order="F"))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.slices, ARRAY.T)
    assert volume.spacing_mm == (0.5, 0.75) and not volume.header.oriented


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.mha", b"ElementSpacing", b"Comment"),
        ("a.mhd", b"ElementSpacing", b"Comment"),
        ("a.nrrd", b"space: left-posterior-superior", b"#"),
    ],
)
def test_a_header_without_a_spacing_is_refused_as_nothing_else_says_it(tmp_path, name, old, new):
    path = edit(itk(tmp_path / name), old, new)
    if name == "a.nrrd":
        lines = [line for line in path.read_bytes().split(b"\n") if not line.startswith((b"space ", b"#"))]
        path.write_bytes(b"\n".join(lines))
    assert "says no voxel sizes; write them into its header" in refused(path)


# ---- what is no volume


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.nii.gz\n", "datalad get"),
        (bytes(128) + b"DICM" + bytes(600), "dcm2niix"),
        (b"PK\x03\x04" + bytes(600), "unpack it"),
        (bytes(2000), "does not begin as"),
        (gzip.compress(nifti_bytes())[:200], "copy or download it again"),
        (nifti_bytes()[:500], "copy or download it again"),
        (b"NRRD0004\ntype: short\n", "copy or download it again"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "b.nii.gz", "c.nrrd"])
def test_what_is_no_volume_is_called_what_it_is(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    assert said in refused(path)
    with pytest.raises(BadInput, match=name):
        path.write_bytes(content[:300])
        read_grid(path)
        raise BadInput(f"{name}: a header alone may be whole")


def folder(path):
    path.mkdir()
    (path / "P1.nii").write_bytes(nifti_bytes())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (folder, "is a folder; take the volume that it holds out of it"),
        (lambda path: path.symlink_to(".git/annex/objects/x"), "is a link to .git/annex/objects/x, which is not there"),
        (lambda path: path.symlink_to(path), "is a link to"),
        (os.mkfifo, "is no file"),
        (lambda path: None, "is missing; add it, or complete the download"),
    ],
)
@pytest.mark.parametrize("what", ["image", "mask"])
@pytest.mark.parametrize("name", ["a.nii.gz", "b.mhd", "c.nrrd"])
def test_what_is_not_there_as_a_file_is_called_what_it_is(tmp_path, make, said, what, name):
    make(tmp_path / name)
    assert said in refused(tmp_path / name, what)
    with pytest.raises(BadInput, match=said[:10]):
        read_grid(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "b.nii.gz", "c.mha", "d.nrrd", "e.mhd"])
def test_a_file_that_may_not_be_read_needs_no_download(tmp_path, name, monkeypatch):
    path = tmp_path / name
    path.write_bytes(b"x")
    monkeypatch.setattr("builtins.open", denied)  # a test may be root, who may read everything
    assert "may not be read; give yourself the permission to" in refused(path)


def denied(path, *_, **__):
    raise PermissionError(13, "Permission denied", str(path))


# ---- MetaImage and the file beside it


def missing(path):
    path.with_suffix(".raw").unlink()


def other_case(path):
    path.with_suffix(".raw").rename(path.with_name("A.Raw"))


def from_windows(path):
    edit(path, b"ElementDataFile = a.raw", b"ElementDataFile = C:\\scans\\a.raw")


def elsewhere(path):
    edit(path, b"ElementDataFile = a.raw", b"ElementDataFile = /mnt/scanner/b.raw")


def cut(path):
    raw = path.with_suffix(".raw")
    raw.write_bytes(raw.read_bytes()[:-1])


def a_folder_instead(path):
    path.with_suffix(".raw").unlink()
    path.with_suffix(".raw").mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing, "has its voxels in a.raw, which is missing; put it beside a.mhd"),
        (other_case, "A.Raw lies beside it: rename it to a.raw"),
        (
            from_windows,
            "C:\\scans\\a.raw, a path that does not exist here; a.raw lies beside it: write 'Element",
        ),
        (elsewhere, "has its voxels in /mnt/scanner/b.raw, which is missing"),
        (cut, "needs 720 bytes of voxels and a.raw holds 719: it is cut"),
        (a_folder_instead, "which is a folder or a link to nothing"),
    ],
)
@pytest.mark.parametrize("what", ["image", "mask"])
def test_the_data_file_of_a_metaimage_is_named_with_what_is_wrong(tmp_path, capfd, spoil, said, what):
    path = itk(tmp_path / "a.mhd")
    spoil(path)
    assert said in refused(path, what)
    assert capfd.readouterr().err == ""  # ITK's libraries write there past Python


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd"])
def test_cut_and_damaged_compressed_voxels_are_never_accepted(tmp_path, capfd, name):
    path = itk(tmp_path / name, compress=True)
    data = path.with_suffix(".zraw") if name == "a.mhd" else path
    whole = data.read_bytes()
    start = {"a.mhd": 0, "a.mha": whole.find(b"LOCAL") + 6, "a.nrrd": whole.find(b"\n\n") + 2}[name]
    for length in range(start, len(whole) - 8, 37):
        data.write_bytes(whole[:length])
        refused(path)
    for place in range(start + 10, len(whole), 11):
        data.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            np.testing.assert_array_equal(read_volume(path).slices, ARRAY.T)
        except BadInput:
            pass
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.mha", "b.mhd", "c.nrrd", "d.nii", "e.nii.gz"])
def test_a_name_that_is_no_utf_8_ends_no_process(tmp_path, name):
    path = tmp_path / os.fsdecode(b"M\xfcller" + name[1:].encode())
    try:
        path.write_bytes(nifti_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    if name[0] in "de":
        assert read_volume(path).spacing_mm == pytest.approx((0.5, 0.75))
    else:
        os.replace(itk(tmp_path / name), path)
        for read in (read_volume, read_grid):
            with pytest.raises(BadInput, match="is no UTF-8, and ITK cannot open it; rename it"):
                read(path)


@pytest.mark.parametrize("name", ["a.mha", "b.mhd", "c.nrrd", "d.mha+", "e.nrrd+"])
def test_changed_bytes_in_the_text_of_a_header_end_in_one_sentence_or_change_nothing_much(tmp_path, capfd, name):
    path, rng = itk(tmp_path / name.rstrip("+"), compress=name.endswith("+")), np.random.default_rng(0)
    whole = path.read_bytes()
    end = whole.find(b"\n\n") if "nrrd" in name else whole.find(b"ElementDataFile")
    refusals = 0
    for _ in range(40):
        changed = bytearray(whole)
        changed[rng.integers(end)] = rng.integers(32, 127)
        path.write_bytes(changed)
        try:
            volume = read_volume(path)
            assert volume.slices.size == ARRAY.size and read_grid(path)[0] == volume.slices.shape[1:]
        except BadInput as error:
            refusals += 1
            assert path.name in str(error) and "\n" not in str(error)
    assert refusals and capfd.readouterr().err == ""
