"""`python -m data_download prepare acdc` on tiny archives in ACDC's exact layout."""

import gzip
import json
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from advconf_lite.data.slices import read_slice_set
from data_download.__main__ import main
from data_download.sets import DATASETS

SHAPE = (20, 24, 4)  # width, height, slices


def a_scan(seed=0):
    """A bright LV inside a myocardium, an RV beside it, and nothing in the last slice."""
    x, y = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    mask = np.zeros(SHAPE, np.uint8)
    distance = np.hypot(x - 11, y - 12)[..., None].repeat(3, axis=2)
    mask[..., :3][distance < 5] = 2
    mask[..., :3][distance < 3] = 3
    mask[3:6, 10:15, :3] = 1
    image = np.array([100, 500, 200, 800])[mask] + np.random.default_rng(seed).integers(0, 50, SHAPE)
    return image.astype(np.int16), mask


def save(array, path, spacing=(1.5, 1.5, 10.0)):
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*spacing, 1.0])), path)


def a_patient(root, name, frames=(1, 12), info=True, spacing=(1.5, 1.5, 10.0)):
    folder = root / name
    folder.mkdir(parents=True)
    for number in frames:
        image, mask = a_scan(number)
        save(image, folder / f"{name}_frame{number:02d}.nii.gz", spacing)
        save(mask, folder / f"{name}_frame{number:02d}_gt.nii.gz", spacing)
    save(np.zeros((*SHAPE, 2), np.int16), folder / f"{name}_4d.nii.gz", (*spacing,))
    if info:
        text = f"ED: {frames[0]}\nES: {frames[1]}\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n"
        (folder / "Info.cfg").write_text(text)
    return folder


@pytest.fixture
def archive(tmp_path):
    for number in range(1, 5):
        a_patient(tmp_path / "acdc" / "training", f"patient{number:03d}")
    a_patient(tmp_path / "acdc" / "testing", "patient101")
    return tmp_path / "acdc"


def prepare(archive, out, *options):
    return main(["prepare", "acdc", "--source", str(archive), "--out", str(out), *map(str, options)])


def refused(capsys, archive, tmp_path, *options):
    """The sentence of a refusal, after checking that it is one and that nothing was written but scans that were done."""
    before = {path.name for path in tmp_path.iterdir()}
    assert prepare(archive, tmp_path / "out", *options) == 2
    after = {path.name for path in tmp_path.iterdir()}
    assert {name for name in after - before if not name.startswith(".out-preparing-")} == set() == before - after
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("data_download: ")]
    assert len(lines) == 1 and "Traceback" not in lines[0]
    return lines[0]


def first(archive, ending=".nii.gz"):
    return archive / "training" / "patient002" / f"patient002_frame01{ending}"


def test_prepared_set_is_what_the_archive_says(archive, tmp_path):
    assert prepare(archive, tmp_path / "out", "--spacing", 1.5, "--size", 32) == 0
    data = read_slice_set(tmp_path / "out")
    assert len(data) == 5 * 2 * 3  # five patients, two phases, three slices with a heart
    assert data.class_names == ["LV", "MYO", "RV"] and data.domains == ["ACDC"] == [data.source_domain]
    assert data.info["tolerance_mm"] == 3.0 and data.info["size"] == 32 and data.spacing_mm == 1.5
    assert sorted(data.table["slice"].unique()) == [0, 1, 2] and set(data.table["phase"]) == {"ED", "ES"}
    assert set(data.table["subject"]) == {f"patient{number:03d}" for number in (1, 2, 3, 4, 101)}
    row = data.table.query("subject == 'patient003' and phase == 'ES' and slice == 1").index[0]
    image, mask = a_scan(12)
    ours = np.array([0, 3, 2, 1])[mask]  # stored 1 RV, 2 MYO, 3 LV
    np.testing.assert_array_equal(data.masks[row, 4:28, 6:26], ours[:, :, 1].T)
    np.testing.assert_array_equal(data.images[row, 4:28, 6:26], image[:, :, 1].T)
    assert (data.images[row, :4] == image.min()).all() and (data.masks[row, :, :6] == 0).all()


def test_labels_keep_their_anatomy(archive, tmp_path):
    prepare(archive, tmp_path / "out", "--size", 48)
    data = read_slice_set(tmp_path / "out")
    mask, image = data.masks[0], data.images[0]
    lv, myo, rv = ((mask == label) for label in (1, 2, 3))
    assert image[lv].mean() > 700 > image[rv].mean() > 400 > image[myo].mean()
    inside = np.argwhere(lv).mean(axis=0)
    # LV is the cavity that the ring of the myocardium encloses.
    np.testing.assert_allclose(np.argwhere(myo).mean(axis=0), inside, atol=0.7)


def test_only_the_plane_is_resampled(archive, tmp_path):
    shutil.rmtree(archive / "testing")
    for number in range(1, 5):
        shutil.rmtree(archive / "training" / f"patient{number:03d}")
        a_patient(archive / "training", f"patient{number:03d}", spacing=(2.0, 3.0, 7.0))
    prepare(archive, tmp_path / "out", "--size", 64)
    data = read_slice_set(tmp_path / "out")
    assert len(data) == 4 * 2 * 3  # a resampled slice axis would have given other numbers
    rows, columns = (np.flatnonzero((data.masks[0] == 1).any(axis=axis)) for axis in (1, 0))
    assert (len(rows), len(columns)) == (15, 10)  # an LV of 5 x 5 pixels, each 2 mm wide and 3 mm high


def test_split_keeps_subjects_apart_and_depends_on_the_seed(archive, tmp_path):
    seen = set()
    for seed in range(6):
        prepare(archive, tmp_path / "out", "--size", 24, "--seed", seed)
        split = read_slice_set(tmp_path / "out").table.groupby("subject")["split"].unique()
        assert all(len(values) == 1 for values in split)
        assert sorted(values[0] for values in split) == ["test", "train", "train", "train", "val"]
        seen.add(tuple(values[0] for values in split))
    assert len(seen) > 1


def test_slice_split_leaks_and_says_so(archive, tmp_path, capsys):
    prepare(archive, tmp_path / "out", "--size", 24, "--split", "slice")
    assert "note: slices of one subject are in several splits" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="more than one split"):
        data = read_slice_set(tmp_path / "out")
    assert data.info["split"] == "slice"
    assert [list(data.table["split"]).count(name) for name in ("train", "val", "test")] == [18, 5, 7]


def test_empty_slices_are_counted_and_kept_on_request(archive, tmp_path, capsys):
    prepare(archive, tmp_path / "out", "--size", 24)
    assert "note: 10 slices without a foreground pixel were dropped" in capsys.readouterr().err
    prepare(archive, tmp_path / "out", "--size", 24, "--keep-empty")
    assert "note: 10 slices without a foreground pixel were kept" in capsys.readouterr().err
    assert len(read_slice_set(tmp_path / "out")) == 40


def test_without_info_cfg_the_frames_are_taken_in_order_with_a_note(archive, tmp_path, capsys):
    for folder in archive.glob("*/patient*"):
        (folder / "Info.cfg").unlink()
    assert prepare(archive, tmp_path / "out", "--size", 24) == 0
    assert "note: no Info.cfg: the first stored frame was taken as ED and the second as ES (5 times)" in (
        capsys.readouterr().err
    )
    data = read_slice_set(tmp_path / "out")
    assert list(data.table["phase"][:6]) == ["ED"] * 3 + ["ES"] * 3
    assert any("no Info.cfg" in note for note in data.info["notes"])


def test_info_cfg_decides_which_frame_is_which(archive, tmp_path):
    (archive / "training" / "patient001" / "Info.cfg").write_text("ED: 12\nES: 1\n")
    prepare(archive, tmp_path / "out", "--spacing", 1.5, "--size", 24)
    data = read_slice_set(tmp_path / "out")
    row = data.table.query("subject == 'patient001' and phase == 'ED'").index[0]
    np.testing.assert_array_equal(data.images[row, :, 2:22], a_scan(12)[0][:, :, 0].T)


def test_pixdim_is_believed_when_the_sform_disagrees_as_in_the_real_files(archive, tmp_path, capsys):
    for path in (first(archive), first(archive, "_gt.nii.gz")):
        file = nibabel.load(path)
        header = file.header.copy()
        array = np.asanyarray(file.dataobj)
        changed = nibabel.Nifti1Image(array, None, header)
        changed.header.set_sform(np.diag([1.0, 1.0, 1.0, 1]), code=2)
        changed.header["pixdim"][1:4] = (1.5, 1.5, 10.0)
        nibabel.save(changed, path)
    assert nibabel.load(first(archive)).affine[0, 0] == 1.0
    prepare(archive, tmp_path / "out", "--spacing", 1.5, "--size", 24)
    assert "sform says 1 x 1 x 1 mm, pixdim 1.5 x 1.5 x 10 mm: pixdim was taken" in capsys.readouterr().err
    data = read_slice_set(tmp_path / "out")
    row = data.table.query("subject == 'patient002' and phase == 'ED'").index[0]
    np.testing.assert_array_equal(data.images[row, :, 2:22], a_scan(1)[0][:, :, 0].T)


@pytest.mark.parametrize("inside", ["training", "database/training", "."])
def test_known_nestings(tmp_path, inside):
    for number in range(3):
        a_patient(tmp_path / "acdc" / inside, f"patient{number:03d}")
    assert prepare(tmp_path / "acdc", tmp_path / "out", "--size", 24) == 0
    assert len(read_slice_set(tmp_path / "out")) == 18


def test_the_same_input_gives_the_same_bytes_and_no_path_of_this_machine(archive, tmp_path):
    for name in ("one", "two"):
        prepare(archive, tmp_path / name, "--size", 24, "--note", "spacing is a placeholder")
    for name in ("images.npy", "masks.npy", "slices.csv", "dataset.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    text = (tmp_path / "one" / "dataset.json").read_text()
    assert str(tmp_path) not in text and json.loads(text)["note"] == "spacing is a placeholder"


# ---- faults


def test_unknown_label(archive, tmp_path, capsys):
    _, mask = a_scan()
    mask[0, 0, 0] = 4
    save(mask, first(archive, "_gt.nii.gz"))
    sentence = refused(capsys, archive, tmp_path)
    assert "patient002_frame01_gt.nii.gz holds the unknown label 4; expected are 0, 1, 2, 3" in sentence


def test_fractional_labels_are_refused_and_negative_ones_counted(archive, tmp_path, capsys):
    mask = a_scan()[1].astype(np.float32)
    mask[0, 0, 0] = 1.5
    save(mask, first(archive, "_gt.nii.gz"))
    assert "unknown label 1.5" in refused(capsys, archive, tmp_path)
    mask[0, 0, 0] = -1
    save(mask, first(archive, "_gt.nii.gz"))
    assert prepare(archive, tmp_path / "out") == 0
    note = next(text for text in read_slice_set(tmp_path / "out").info["notes"] if "negative" in text)
    assert ": 1 negative values" in note and first(archive, "_gt.nii.gz").name in note


def test_nan_in_an_image(archive, tmp_path, capsys):
    image = a_scan()[0].astype(np.float32)
    image[1, 2, 3] = np.nan
    save(image, first(archive))
    assert "patient002_frame01.nii.gz holds nan at voxel (1, 2, 3)" in refused(capsys, archive, tmp_path)


def test_shapes_disagree(archive, tmp_path, capsys):
    save(a_scan()[1][:, :-1], first(archive, "_gt.nii.gz"))
    sentence = refused(capsys, archive, tmp_path)
    assert "patient002_frame01_gt.nii.gz has shape (20, 23, 4), its image (20, 24, 4)" in sentence


def test_missing_mask(archive, tmp_path, capsys):
    first(archive, "_gt.nii.gz").unlink()
    assert "patient002_frame01_gt.nii.gz is missing" in refused(capsys, archive, tmp_path)


def test_missing_frame_that_info_cfg_names(archive, tmp_path, capsys):
    first(archive).unlink()
    assert "patient002_frame01.nii.gz is missing, which Info.cfg names as ED" in refused(capsys, archive, tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.99])
def test_truncated_gzip(archive, tmp_path, capsys, part):
    data = first(archive).read_bytes()
    first(archive).write_bytes(data[: int(len(data) * part)])
    assert "patient002_frame01.nii.gz cannot be read" in refused(capsys, archive, tmp_path)


def test_not_a_volume(archive, tmp_path, capsys):
    first(archive).write_bytes(gzip.compress(b"<html>404</html>"))
    assert "patient002_frame01.nii.gz cannot be read" in refused(capsys, archive, tmp_path)
    save(np.zeros((*SHAPE, 3), np.int16), first(archive))
    assert "has shape (20, 24, 4, 3)" in refused(capsys, archive, tmp_path)


def test_an_affine_of_nothing(archive, tmp_path, capsys):
    file = nibabel.load(first(archive))
    file.header.set_sform(np.zeros((4, 4)), code=1)
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(file.dataobj), None, file.header), first(archive))
    assert "patient002_frame01.nii.gz has an affine without voxel sizes" in refused(capsys, archive, tmp_path)


def test_info_cfg_without_frames(archive, tmp_path, capsys):
    (archive / "training" / "patient001" / "Info.cfg").write_text("Group: DCM\n")
    assert "Info.cfg has no lines 'ED: number'" in refused(capsys, archive, tmp_path)


def test_three_frames_without_info_cfg(archive, tmp_path, capsys):
    folder = archive / "training" / "patient001"
    (folder / "Info.cfg").unlink()
    shutil.copy(folder / "patient001_frame01.nii.gz", folder / "patient001_frame05.nii.gz")
    assert "patient001 has 3 frames and no Info.cfg" in refused(capsys, archive, tmp_path)


def test_a_patient_twice(archive, tmp_path, capsys):
    a_patient(archive / "testing", "patient002")
    assert "patient002 is both in" in refused(capsys, archive, tmp_path)


def test_wrong_folders_and_options(archive, tmp_path, capsys):
    assert "there is no folder" in refused(capsys, tmp_path / "nowhere", tmp_path)
    assert "holds no patientNNN folders" in refused(capsys, archive / "training" / "patient001", tmp_path)
    assert "-1 is not a positive number" in refused(capsys, archive, tmp_path, "--spacing", -1)
    assert "invalid choice: 'scan'" in refused(capsys, archive, tmp_path, "--split", "scan")
    assert "unrecognized arguments: --sice 3" in refused(capsys, archive, tmp_path, "--sice", 3)


def test_other_sets_are_not_overwritten(archive, tmp_path, capsys):
    prepare(archive, tmp_path / "out", "--size", 24)
    path = tmp_path / "out" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "how_made": "two years of contouring"}))
    assert "did not make" in refused(capsys, archive, tmp_path)
    assert "two years" in path.read_text()


def test_a_failed_second_run_leaves_the_first_result(archive, tmp_path, capsys):
    prepare(archive, tmp_path / "out", "--size", 24)
    before = (tmp_path / "out" / "images.npy").read_bytes()
    first(archive).unlink()
    refused(capsys, archive, tmp_path, "--size", 28)
    assert (tmp_path / "out" / "images.npy").read_bytes() == before


# ---- the command


def test_help_on_prepare_names_the_data_sets_and_a_missing_name_is_an_error(capsys):
    assert main(["prepare", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in DATASETS) and "prepare NAME --help" in text
    assert main(["prepare"]) == 2
    error = capsys.readouterr().err.strip()
    assert "name the data set" in error and len(error.splitlines()) == 1


def test_list_names_terms_and_the_next_command(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for part in ("acdc", "CC BY-NC-SA 4.0", "Bernard", "prepare acdc --source data/downloads/acdc --out data/acdc"):
        assert part in text


def test_unknown_names_list_those_that_exist(capsys):
    assert main(["prepare", "mnist", "--source", "x"]) == 2
    error = capsys.readouterr().err
    assert "'mnist' (choose from" in error and all(name in error for name in DATASETS) and error.count("\n") == 1
    assert main(["prepare"]) == 2
    assert f"choose from: {', '.join(DATASETS)}" in capsys.readouterr().err
    assert main(["fetsch"]) == 2
    assert "'fetsch'" in capsys.readouterr().err


def test_as_a_process_the_exit_code_is_2_and_stderr_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "data_download", "prepare", "acdc", "--source", "nowhere", "--out", "x"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "there is no folder nowhere" in done.stderr
