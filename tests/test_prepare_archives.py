"""`prepare` on small archives in the exact layouts: what real ones contain, resuming, and what is refused."""

import gzip
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import archives
import nibabel
import numpy as np
import pytest

from advconf_lite.data.slices import read_slice_set
from data_download.__main__ import main
from data_download.preparing.orientation import turned, turns

FEW = {"Symphony": 3, "HDxt": 2, "Achieva": 2}
FILES = ("images.npy", "masks.npy", "slices.csv", "dataset.json")


def prepare(name, source, out, *options):
    return main(["prepare", name, "--source", str(source), "--out", str(out), *map(str, options)])


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def sentence(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("data_download: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def hearts(tmp_path):
    archives.mnms2(tmp_path / "source", FEW, depth=(4, 3))
    return tmp_path / "source"


def table_of(source):
    return source / "MnM2" / "dataset_information.csv"


# ---- M&Ms-2


def test_mnms2_domains_splits_and_notes(hearts, tmp_path):
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 40) == 0
    data = read_slice_set(tmp_path / "out")
    assert data.source_domain == "Symphony" and set(data.target_domains) == {"HDxt", "Achieva"}
    assert set(data.table["split"][data.table["domain"] != "Symphony"]) == {"test"}
    assert set(data.table["split"][data.table["domain"] == "Symphony"]) == {"train", "val", "test"}
    notes = " ".join(data.info["notes"])
    for part in (
        "1000 blank rows",
        "3 negative values",
        "not orthogonal",
        "there is nothing of Trio, Avanto, EXCITE, Explorer",
    ):
        assert part in notes
    assert len(data) == 7 * 2 * 3


@pytest.mark.parametrize("nesting", [".", "MnM2", "MnM2/dataset", "zip"])
def test_every_nesting_and_the_zip_give_the_same_set(hearts, tmp_path, nesting):
    assert prepare("mnms2", hearts, tmp_path / "one", "--size", 24) == 0
    source = hearts / nesting
    if nesting == "MnM2/dataset":  # the table may lie inside too
        shutil.move(table_of(hearts), source / table_of(hearts).name)
    if nesting == "zip":
        source = tmp_path / "MnM2.zip"
        with zipfile.ZipFile(source, "w") as file:
            for path in sorted(hearts.rglob("*")):
                file.write(path, path.relative_to(hearts))
    assert prepare("mnms2", source, tmp_path / "two", "--size", 24) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("SymphonyTim", "Ingenia", "unknown scanner 'Ingenia' for subject"),
        ("\n2,", "\n1,", "names subject 001 twice"),
        ("\n2,", "\ntwo,", "names a subject 'two', which is no number"),
        ("SCANNER", "MACHINE", "has no column SCANNER"),
    ],
)
def test_a_bad_table_is_named(hearts, tmp_path, capsys, old, new, said):
    text = table_of(hearts).read_text()
    table_of(hearts).write_text(text.replace(old, new, 1))
    assert prepare("mnms2", hearts, tmp_path / "out") == 2
    line = sentence(capsys)
    assert said in line and "dataset_information.csv" in line


def test_codes_as_floats_and_scanners_in_any_case(hearts, tmp_path):
    assert prepare("mnms2", hearts, tmp_path / "one", "--size", 24) == 0
    text = table_of(hearts).read_text()
    table_of(hearts).write_text(re.sub(r"^(\d+),", r"\1.0,", text, flags=re.M).replace("Signa HDxt", "SIGNA hdXT v2"))
    assert prepare("mnms2", hearts, tmp_path / "two", "--size", 24) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_skip_bad_leaves_out_and_lists(hearts, tmp_path, capsys):
    broken = hearts / "MnM2" / "dataset" / "003" / "003_SA_ES.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-20])
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 2
    assert "003_SA_ES.nii.gz" in sentence(capsys)
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24, "--skip-bad") == 0
    data = read_slice_set(tmp_path / "out")
    assert "003" not in set(data.table["subject"]) and data.table["subject"].nunique() == 6
    assert len(data.info["left_out"]) == 1 and "003_SA_ES.nii.gz" in data.info["left_out"][0]
    assert "left out, 1 subjects:" in capsys.readouterr().err


def test_one_missing_mask_is_an_error_and_none_at_all_an_image_only_set(hearts, tmp_path, capsys):
    masks = sorted(hearts.rglob("*_SA_E?_gt.nii.gz"))
    masks[0].unlink()
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 2
    assert masks[0].name in sentence(capsys)
    for path in masks[1:]:
        path.unlink()
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 0
    data = read_slice_set(tmp_path / "out")
    assert data.masks is None and data.source_domain is None and len(data) == 7 * 2 * 4
    assert any("image-only" in note for note in data.info["notes"])


def test_a_mask_on_another_grid_is_refused(hearts, tmp_path, capsys):
    path = sorted(hearts.rglob("*_SA_ED_gt.nii.gz"))[0]
    file = nibabel.load(path)
    affine = file.affine.copy()
    affine[0, 3] += 5
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(file.dataobj), affine), path)
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 2
    assert f"{path.name} lies up to 5 mm away from its image" in sentence(capsys)


# ---- prostate


def test_zones_are_merged_and_capital_segmentation_is_found(tmp_path):
    volumes = archives.saml(tmp_path / "source", {"RUNMC": 3, "BMC": 2})
    assert prepare("pmri", tmp_path / "source", tmp_path / "out", "--size", 32) == 0
    data = read_slice_set(tmp_path / "out")
    assert dict(data.table.groupby("domain").size()) == archives.totals(volumes, "filled")
    assert set(np.unique(data.masks)) == {0, 1}


def test_the_published_geometry_changes_the_number_of_slices(tmp_path):
    volumes = archives.saml(tmp_path / "source", {"RUNMC": 3, "BIDMC": 2})
    assert prepare("pmri", tmp_path / "source", tmp_path / "out", "--size", 32, "--geometry", "published-code") == 0
    data = read_slice_set(tmp_path / "out")
    assert dict(data.table.groupby("domain").size()) == archives.totals(volumes, "published")
    assert "--geometry published-code" in data.info["how_made"] and "as-stored" in data.info["how_made"]


def test_promise12_sites_follow_from_the_case(tmp_path):
    pytest.importorskip("SimpleITK")
    archives.promise12(tmp_path / "source", [0, 13, 25, 38, 39, 40])
    assert prepare("promise12", tmp_path / "source", tmp_path / "out", "--size", 32) == 0
    data = read_slice_set(tmp_path / "out")
    sites = data.table.groupby("subject")["domain"].first()
    assert sites.to_dict() == {
        "Case00": "BIDMC", "Case13": "HK", "Case25": "UCL", "Case38": "RUNMC", "Case39": "RUNMC", "Case40": "RUNMC",
    }  # fmt: skip
    # LPS in the file, and the radiological view is LP: rows and columns stay
    mask = archives.promise12(tmp_path / "again", [0])[0].mask.with_suffix(".raw").read_bytes()
    stored = np.frombuffer(mask, np.int8).reshape(-1, 24, 24)
    first = data.table.query("subject == 'Case00'").index[0]
    ours = np.argwhere(np.asarray(data.masks[first]) > 0).mean(axis=0) - 15.5
    theirs = (np.argwhere(stored[data.table["slice"][first]] > 0).mean(axis=0) - 11.5) * 0.4 / 0.5
    np.testing.assert_allclose(ours, theirs, atol=0.6)


# ---- which way up


@pytest.mark.parametrize("organ", ["cardiac", "prostate"])
def test_turning_undoes_every_way_to_store_a_plane(organ):
    view = np.eye(4)  # a plane whose columns and rows already point as the organ's view wants
    if organ == "prostate":
        view[:3, 0], view[:3, 1], view[:3, 2] = (-1, 0.05, 0), (0.05, -1, 0.1), (0, 0.1, 1)
    else:
        view[:3, 0], view[:3, 1], view[:3, 2] = (-0.7, -0.6, 0.3), (0.1, -0.5, -0.8), (-0.6, 0.5, -0.6)
    image = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert turns(view, organ) == (False, False, False)
    for swap in (False, True):
        for x in (1, -1):
            for y in (1, -1):
                affine, stored = view.copy(), image
                if swap:
                    affine[:, [0, 1]], stored = affine[:, [1, 0]], stored.transpose(0, 2, 1)
                affine[:, 0] *= x
                affine[:, 1] *= y
                stored = stored[:, ::y, ::x]
                np.testing.assert_array_equal(turned(stored, turns(affine, organ)), image)


# ---- any folder


def test_a_folder_of_nifti_files_with_and_without_masks(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "own").mkdir()
    for number in range(4):
        image = rng.integers(0, 99, (12, 10, 3)).astype(np.int16)
        affine = np.diag([-1.0, -1.0, 5.0, 1])
        nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "own" / f"P{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image((image > 50).astype(np.uint8), affine), tmp_path / "own" / f"P{number}_seg.nii.gz")
    options = ("--size", 12, "--organ", "prostate", "--classes", "gland", "--domain", "here")
    assert prepare("nifti", tmp_path / "own", tmp_path / "out", *options) == 0
    data = read_slice_set(tmp_path / "out")
    assert len(data) == 12 and data.class_names == ["gland"] and data.domains == ["here"] == [data.source_domain]
    assert data.info["how_made"].endswith(" --organ prostate --classes gland --domain here")
    assert ((np.asarray(data.images[:]) > 50) == np.asarray(data.masks[:])).all()


# ---- the same bytes, whatever happens


def test_workers_and_interruptions_do_not_change_a_byte(hearts, tmp_path):
    assert prepare("mnms2", hearts, tmp_path / "one", "--size", 24, "--workers", 1) == 0
    assert prepare("mnms2", hearts, tmp_path / "two", "--size", 24, "--workers", 2) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_killed_and_started_again_it_ends_in_the_same_bytes(tmp_path):
    archives.mnms2(tmp_path / "source", {"Symphony": 30}, size=(200, 180), depth=(8, 6))
    options = ["prepare", "mnms2", "--source", str(tmp_path / "source"), "--size", "128", "--workers", "1", "--out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "data_download", *options, str(tmp_path / "out")], stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None and len([*tmp_path.glob(".out-*/*.scan")]) < 4:
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob(".out-preparing-*/*.scan")}
    assert done and not (tmp_path / "out").exists()
    assert main([*options, str(tmp_path / "out")]) == 0
    assert main([*options, str(tmp_path / "plain")]) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


@pytest.mark.slow
def test_ctrl_c_reaches_two_workers_and_ends_in_one_line(tmp_path):
    archives.mnms2(tmp_path / "source", {"Symphony": 40}, size=(200, 180), depth=(8, 6))
    process = subprocess.Popen(
        [sys.executable, "-m", "data_download", "prepare", "mnms2", "--source", str(tmp_path / "source"), "--workers", "2",
         "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it may be ignored where tests run
    )  # fmt: skip
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None and not list(tmp_path.glob(".out-preparing-*/*.scan")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, error = process.communicate()
    said = [
        line for line in error.replace("\r", "\n").splitlines() if line.strip() and not line.startswith("prepare mnms2:")
    ]
    assert process.returncode == 130 and said == ["stopped; the same command goes on from here"]


@pytest.mark.parametrize("limit", [3_000, 9_000, 60_000])  # within a header, a scan, the set
def test_what_the_disk_says_is_passed_on(hearts, tmp_path, limit):
    # numpy's own writer would say "2304 requested and 1500 written" of a full disk
    process = subprocess.run(
        [sys.executable, "-m", "data_download", "prepare", "mnms2", "--source", str(hearts), "--size", "48",
         "--workers", "1", "--out", str(tmp_path / "out")],
        capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert process.returncode == 2 and "cannot write" in process.stderr and "File too large" in process.stderr


def test_after_a_bad_file_the_finished_scans_are_kept_and_a_mended_one_is_read_anew(hearts, tmp_path, capsys, monkeypatch):
    from data_download.preparing import scans

    read = []

    def count(scan, job, prepare_scan=scans.prepare_scan):
        read.append(scan.image.name)
        return prepare_scan(scan, job)

    monkeypatch.setattr(scans, "prepare_scan", count)
    folder = hearts / "MnM2" / "dataset"
    broken, good = folder / "003" / "003_SA_ES.nii.gz", folder / "003" / "003_SA_ES.nii.gz.whole"
    shutil.copy(broken, good)
    broken.write_bytes(broken.read_bytes()[:-20])
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 2
    assert "the 5 scans that are done are kept" in capsys.readouterr().err and len(read) == 6
    assert len(list(tmp_path.glob(".out-preparing-*/*.scan"))) == 5
    shutil.move(good, broken)
    other = folder / "001" / "001_SA_ED.nii.gz"  # one of those that are done, replaced by the publisher meanwhile
    shutil.copy(folder / "001" / "001_SA_ES.nii.gz", other)
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 0
    assert read[6:8] == [other.name, broken.name] and len(read) == 6 + 14 - 4
    assert not list(tmp_path.glob(".out-*"))
    assert prepare("mnms2", hearts, tmp_path / "anew", "--size", 24) == 0 and len(read) == 16 + 14
    assert contents(tmp_path / "out") == contents(tmp_path / "anew")


def test_a_bad_first_scan_leaves_nothing_behind(hearts, tmp_path):
    path = hearts / "MnM2" / "dataset" / "001" / "001_SA_ED.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    before = sorted(path.name for path in tmp_path.iterdir())
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_was_done_with_other_options_is_not_taken(hearts, tmp_path):
    from data_download.preparing.inventory import Scan
    from data_download.preparing.scans import Job, work_through

    image = sorted(hearts.rglob("*_SA_ED.nii.gz"))[0]
    scans = [Scan("m", "d", "s", "ED", image, None)]
    job = Job({1: 1}, 1.0, 16, "cardiac", "in-plane", True, "")
    with pytest.raises(KeyboardInterrupt), work_through(scans, job, tmp_path / "out", 1, False, "x") as results:
        assert len(list(results)) == 1
        raise KeyboardInterrupt
    (kept,) = tmp_path.glob(".out-preparing-*")
    assert list(kept.glob("*.scan"))  # Ctrl-C loses nothing
    other = Job({1: 1}, 2.0, 16, "cardiac", "in-plane", True, "")
    with work_through(scans, other, tmp_path / "out", 1, False, "x") as results:
        assert next(results).load()[0].shape[1:] == (16, 16)
        assert not kept.exists()
    assert not list(tmp_path.glob(".out-*"))


def test_a_folder_with_something_else_is_refused_before_any_work(hearts, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("my only copy")
    assert prepare("mnms2", hearts, tmp_path / "out") == 2
    assert "something other than a slice set" in sentence(capsys)
    assert (tmp_path / "out" / "thesis.txt").exists()


def test_montages_are_pictures(hearts, tmp_path, capsys):
    from PIL import Image

    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24, "--montage", tmp_path / "pictures") == 0
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {f"montage-{name}.png" for name in FEW}
    for path in (tmp_path / "pictures").iterdir():
        colours = Image.open(path).convert("RGB")
        pixels = np.asarray(colours).astype(int)
        assert (abs(pixels[..., 0] - pixels[..., 2]) > 100).any()  # outlines are coloured


def test_a_damaged_end_of_a_gzip_is_noticed(hearts, tmp_path, capsys):
    path = sorted(hearts.rglob("*_SA_ED.nii.gz"))[0]
    data = bytearray(gzip.compress(gzip.decompress(path.read_bytes())))
    data[-6] ^= 0xFF  # its checksum
    path.write_bytes(data)
    assert prepare("mnms2", hearts, tmp_path / "out", "--size", 24) == 2
    assert f"{path.name} cannot be read" in sentence(capsys)


def test_dataset_json_says_how_it_was_made(hearts, tmp_path):
    prepare("mnms2", hearts, tmp_path / "out", "--size", 24, "--orientation", "as-stored", "--split", "slice", "--seed", 3)
    info = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert info["how_made"] == (
        "python -m data_download prepare mnms2 --spacing 1.0 --size 24 --split slice --seed 3 --orientation as-stored"
    )
    assert info["split"] == "slice" and str(tmp_path) not in json.dumps(info)
