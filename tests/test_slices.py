"""The one data format: what is written is read, and every fault is one sentence that names file and row."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from advconf_lite.data import slice_writer
from advconf_lite.data.resampling import centre_crop_or_pad, resample_in_plane
from advconf_lite.data.slice_checks import BLOCK
from advconf_lite.data.slice_writer import SliceSetWriter
from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.data.splits import split_by_slice, split_by_subject
from advconf_lite.support.errors import BadInput

INFO = {"name": "tiny", "class_names": ["LV", "MYO"], "source_domain": "A"}


def a_table(spacing_b=1.0):
    """Six slices of three subjects on scanner A, two of one subject on scanner B."""
    return pd.DataFrame(
        {
            "dataset": "tiny",
            "domain": ["A"] * 6 + ["B"] * 2,
            "subject": ["001", "001", "NA", "NA", "003", "003", "001", "001"],
            "phase": "ED",
            "slice": [0, 1] * 4,
            "spacing_mm": [1.0] * 6 + [spacing_b] * 2,
            "split": ["train"] * 2 + ["val"] * 2 + ["test"] * 4,
        }
    )


def pixels(height=12, width=10):
    rng = np.random.default_rng(0)
    images = rng.normal(100, 20, (8, height, width)).astype(np.float32)
    return images, rng.integers(0, 3, (8, height, width)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    images, masks = pixels()
    write_slice_set(tmp_path / "set", images, masks, a_table(), INFO)
    return tmp_path / "set"


def edit_json(folder, **changes):
    path = folder / "dataset.json"
    info = json.loads(path.read_text())
    info.update(changes)
    path.write_text(json.dumps({key: value for key, value in info.items() if value != "REMOVE"}))


def edit_table(folder, row, column, value):
    table = pd.read_csv(folder / "slices.csv", dtype=str, keep_default_na=False)
    table.loc[row, column] = value
    table.to_csv(folder / "slices.csv", index=False)


def edit_array(folder, name, index, value):
    array = np.load(folder / name)
    array[index] = value
    np.save(folder / name, array)


# ---- reading and writing


def test_what_is_written_is_what_is_read(folder):
    images, masks = pixels()
    data = read_slice_set(folder)
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.masks, masks)
    assert isinstance(data.images, np.memmap) and data.masks.dtype == np.uint8
    assert list(data.table["subject"]) == list(a_table()["subject"])  # "001" stays text and "NA" is a name
    assert (len(data), data.num_classes, data.class_names) == (8, 3, ["LV", "MYO"])
    assert (data.grid.size, data.spacing_mm, data.tolerance_mm, data.organ) == (16, 1.0, 3.0, None)  # by rule
    assert (data.source_domain, data.validation_domains, data.target_domains) == ("A", [], ["B"])


def test_numpy_reads_what_the_block_writer_wrote(tmp_path):
    images, masks = pixels()
    with SliceSetWriter(tmp_path / "blocks", dict(INFO)) as writer:
        for start, stop in ((0, 1), (1, 6), (6, 8)):
            writer.add(images[start:stop], masks[start:stop], a_table().iloc[start:stop])
    write_slice_set(tmp_path / "whole", images, masks, a_table(), INFO)
    for name in ("images.npy", "masks.npy", "slices.csv", "dataset.json"):
        assert (tmp_path / "blocks" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    plain = tmp_path / "plain.npy"
    np.save(plain, images)
    assert plain.read_bytes() == (tmp_path / "whole" / "images.npy").read_bytes()


def test_a_set_written_by_plain_numpy_is_read(tmp_path):
    images, masks = pixels()
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "masks.npy", masks)
    a_table().to_csv(tmp_path / "slices.csv", index=False)
    (tmp_path / "dataset.json").write_text(json.dumps(INFO))
    assert read_slice_set(tmp_path).target_domains == ["B"]


def test_image_only_set(tmp_path):
    images, _ = pixels()
    table = a_table().assign(split="test")
    data = write_slice_set(tmp_path / "set", images, None, table, {**INFO, "source_domain": None})
    assert data.masks is None and not (tmp_path / "set" / "masks.npy").exists()
    assert data.target_domains == ["A", "B"]
    x, y = data.select("B").tensors(8)
    assert x.shape == (2, 1, 8, 8) and y is None


def test_masks_of_other_whole_number_types_are_accepted(tmp_path):
    images, masks = pixels()
    for number, dtype in enumerate((np.int64, np.float32, bool)):
        data = write_slice_set(tmp_path / str(number), images, (masks > 0).astype(dtype), a_table(), INFO)
        np.testing.assert_array_equal(data.masks, masks > 0)


# ---- views


def test_select_gives_the_right_pixels_and_copies_none(folder):
    images, masks = pixels()
    view = read_slice_set(folder).select("A", split="test")
    assert len(view) == 2 and list(view.table.index) == [0, 1]
    np.testing.assert_array_equal(view.images[0], images[4])
    np.testing.assert_array_equal(view.images[1, 3:5], images[5, 3:5])
    np.testing.assert_array_equal(np.asarray(view.masks), masks[4:6])
    np.testing.assert_array_equal(view.select("A").take([1, 0]).images[0], images[5])
    assert len(read_slice_set(folder).select(["A", "B"], split="test")) == 4
    assert len(read_slice_set(folder).select("B", split="train")) == 0


def test_tensors_of_nothing(folder):
    x, y = read_slice_set(folder).select("B", split="train").tensors(16)
    assert x.shape == (0, 1, 16, 16) and y.shape == (0, 16, 16)


def test_unknown_domain_and_split_are_named(folder):
    with pytest.raises(BadInput, match=r"no domain 'C'; choose from: A, B"):
        read_slice_set(folder).select("C")
    with pytest.raises(BadInput, match=r"no split 'dev'; choose from: train, val, test"):
        read_slice_set(folder).select(split="dev")


# ---- tensors


def test_z_score_per_image(folder):
    x, y = read_slice_set(folder).tensors(8)
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    torch.testing.assert_close(x.mean(dim=(1, 2, 3)), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(dim=(1, 2, 3), correction=0), torch.ones(8), atol=1e-5, rtol=0)


def test_z_score_per_domain_uses_the_whole_domain_whatever_is_selected(folder):
    images, _ = pixels()
    data = read_slice_set(folder)
    centre = images[:, 2:10, 1:9].astype(np.float64)  # (8, 8, 8)
    expected = (centre[4:6] - centre[:6].mean()) / centre[:6].std()
    x, _ = data.select("A", split="test").tensors(8, normalise="domain")
    np.testing.assert_allclose(x[:, 0], expected, atol=1e-5)
    both, _ = data.tensors(8, normalise="domain")
    np.testing.assert_allclose(both[6:, 0], (centre[6:] - centre[6:].mean()) / centre[6:].std(), atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1234.567, -3.0])
@pytest.mark.parametrize("normalise", ["image", "domain"])
def test_constant_image_becomes_zeros(tmp_path, level, normalise):
    images, masks = pixels()
    images[:6] = level
    x, _ = write_slice_set(tmp_path / "set", images, masks, a_table(), INFO).tensors(8, normalise=normalise)
    assert (x[:6] == 0).all() and torch.isfinite(x).all() and x[6:].std() > 0.5


def test_each_slice_is_resampled_from_its_own_spacing(tmp_path):
    images, masks = pixels(16, 16)
    data = write_slice_set(tmp_path / "set", images, masks, a_table(spacing_b=2.0), INFO)
    _, y = data.tensors(16, spacing_mm=1.0)
    np.testing.assert_array_equal(y[:6], masks[:6])
    twice = masks[6:].repeat(2, axis=1).repeat(2, axis=2)  # 32 x 32: every pixel became four
    np.testing.assert_array_equal(y[6:], twice[:, 8:24, 8:24])


def test_nonsense_normalisation(folder):
    with pytest.raises(BadInput, match="choose from: image, domain"):
        read_slice_set(folder).tensors(8, normalise="minmax")


# ---- geometry


def test_enlarging_equals_plain_bilinear_and_shrinking_equals_the_antialiased_one():
    images, _ = pixels(12, 10)
    x = torch.from_numpy(images)[:, None]
    larger = F.interpolate(x, size=(24, 20), mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(resample_in_plane(images, 2.0, 1.0), larger, atol=1e-3)
    smaller = F.interpolate(x, size=(6, 5), mode="bilinear", align_corners=False, antialias=True)[:, 0]
    np.testing.assert_array_equal(resample_in_plane(images, 1.0, 2.0), smaller)


def test_shrinking_smooths_noise_and_keeps_the_mean():
    noise = np.random.default_rng(0).normal(0, 1, (2, 128, 128)).astype(np.float32)
    small = resample_in_plane(noise, 1.0, 4.0)
    assert small.shape == (2, 32, 32) and small.std() < 0.4  # picking pixels would leave a deviation of 1
    np.testing.assert_allclose(small.mean(), noise.mean(), atol=0.02)


def test_rows_and_columns_may_have_different_spacing_and_the_number_of_slices_stays():
    assert resample_in_plane(np.zeros((7, 10, 20), np.uint8), (2.0, 0.5), 1.0, "nearest").shape == (7, 20, 10)


def test_a_mask_stays_on_its_image_when_both_are_resampled():
    ball = ((np.indices((40, 40)) - 19.5) ** 2).sum(0) < 100
    image = resample_in_plane(ball[None].astype(np.float32), 1.0, 0.7)[0]
    mask = resample_in_plane(ball[None].astype(np.uint8), 1.0, 0.7, "nearest")[0]
    for picture in (image, mask):  # the centre was at 19.5 of 0..39, and is at 28 of 0..56
        np.testing.assert_allclose(np.average(np.arange(57), weights=picture.sum(axis=0)), 28, atol=1e-4)
        np.testing.assert_allclose(np.average(np.arange(57), weights=picture.sum(axis=1)), 28, atol=1e-4)


def test_nearest_invents_no_label_and_keeps_the_type():
    masks = np.random.default_rng(0).choice([0, 2, 5], (3, 30, 31)).astype(np.uint8)
    small = resample_in_plane(masks, 1.0, 1.3, "nearest")
    assert small.dtype == np.uint8 and set(np.unique(small)) <= {0, 2, 5}


def test_same_spacing_changes_nothing():
    images, _ = pixels()
    assert resample_in_plane(images, 1.25, 1.25) is images


def test_centre_crop_or_pad_by_hand():
    line = np.arange(1, 6)[None, None, :] * np.ones((1, 5, 1), int)  # every row is 1 2 3 4 5
    assert centre_crop_or_pad(line, 3)[0, 0].tolist() == [2, 3, 4]
    assert centre_crop_or_pad(line, (5, 2))[0, 0].tolist() == [2, 3]
    assert centre_crop_or_pad(line, (5, 8), fill=9)[0, 0].tolist() == [9, 1, 2, 3, 4, 5, 9, 9]
    mixed = centre_crop_or_pad(np.ones((2, 3, 9)), 5)
    assert mixed.shape == (2, 5, 5) and mixed.sum() == 2 * 3 * 5


def test_cropping_undoes_padding():
    images, _ = pixels(9, 6)
    np.testing.assert_array_equal(centre_crop_or_pad(centre_crop_or_pad(images, 17), (9, 6)), images)


# ---- splits


def test_split_by_subject_shares_and_order():
    subjects = [f"{number:03d}" for number in range(20)]
    split = split_by_subject(subjects)
    assert [list(split.values()).count(name) for name in ("train", "val", "test")] == [12, 3, 5]
    assert split == split_by_subject(reversed(subjects * 3))
    assert split != split_by_subject(subjects, seed=1)
    assert set(split) == set(subjects)


def test_each_split_gets_somebody():
    assert sorted(split_by_subject(["a", "b", "c"]).values()) == ["test", "train", "val"]
    with pytest.raises(BadInput, match="2 subjects cannot be split into train, val, test"):
        split_by_subject(["a", "b"])


@pytest.mark.parametrize("number", [3, 4, 7, 30, 101])
def test_shares_are_off_by_less_than_one_or_raised_to_one(number):
    counts = list(split_by_subject(map(str, range(number))).values())
    for name, part in {"train": 0.6, "val": 0.15, "test": 0.25}.items():
        assert abs(counts.count(name) - number * part) < 1 or counts.count(name) == 1


def test_split_by_slice_puts_one_subject_into_several_splits():
    splits = split_by_slice(100)
    assert [splits.count(name) for name in ("train", "val", "test")] == [60, 15, 25]
    assert len(set(splits[:10])) > 1  # ten slices of one patient


# ---- faults in what is read: (what to break, what the sentence must say)

FAULTS = {
    "no folder": (lambda f: f.rename(f.parent / "other"), r"there is no folder .*set"),
    "images.npy missing": (lambda f: (f / "images.npy").unlink(), "images.npy is missing"),
    "slices.csv missing": (lambda f: (f / "slices.csv").unlink(), "slices.csv is missing"),
    "dataset.json missing": (lambda f: (f / "dataset.json").unlink(), "dataset.json is missing"),
    "not npy": (lambda f: (f / "images.npy").write_bytes(b"hello"), r"images.npy cannot be read as a NumPy"),
    "empty npy": (lambda f: (f / "masks.npy").write_bytes(b""), r"masks.npy cannot be read as a NumPy"),
    "truncated npy": (lambda f: os.truncate(f / "images.npy", 1000), r"images.npy cannot be read as a NumPy"),
    "npz": (lambda f: np.savez(open(f / "images.npy", "wb"), a=np.ones(3)), r"images.npy cannot be read"),
    "float64": (lambda f: np.save(f / "images.npy", np.ones((8, 12, 10))), r"images.npy has dtype float64"),
    "4-D": (lambda f: np.save(f / "images.npy", np.ones((8, 12, 10, 1), "f4")), r"shape \(8, 12, 10, 1\)"),
    "mask": (
        lambda f: np.save(f / "masks.npy", np.ones((8, 12, 9), "u1")),
        r"masks.npy has shape \(8, 12, 9\)",
    ),
    "fewer": (lambda f: np.save(f / "images.npy", np.ones((7, 12, 10), "f4")), r"images.npy \(7, 12, 10\)"),
    "no rows": (lambda f: (f / "slices.csv").write_text(""), r"slices.csv cannot be read as a CSV"),
    "binary csv": (lambda f: (f / "slices.csv").write_bytes(b"\xff\xfe\x81"), r"slices.csv cannot be read"),
    "column": (lambda f: a_table().drop(columns="phase").to_csv(f / "slices.csv"), "has no column phase"),
    "row count": (lambda f: a_table()[:5].to_csv(f / "slices.csv"), r"slices.csv has 5 rows .* 8 slices"),
    "split name": (lambda f: edit_table(f, 3, "split", "dev"), "slices.csv: split in row 3 is 'dev'"),
    "slice number": (lambda f: edit_table(f, 2, "slice", "1.5"), "slices.csv: slice in row 2 is '1.5'"),
    "spacing": (lambda f: edit_table(f, 6, "spacing_mm", "0"), "slices.csv: spacing_mm in row 6 is '0'"),
    "no spacing": (lambda f: edit_table(f, 1, "spacing_mm", ""), "slices.csv: spacing_mm in row 1 is ''"),
    "duplicate": (lambda f: edit_table(f, 5, "slice", "0"), r"row 5 \(domain A, subject 003.*twice"),
    "leak": (lambda f: edit_table(f, 1, "split", "val"), "subject 001 of domain A is in more than one"),
    "bad json": (lambda f: (f / "dataset.json").write_text("{"), "dataset.json cannot be read as JSON"),
    "json list": (lambda f: (f / "dataset.json").write_text("[1]"), "dataset.json holds list"),
    "no name": (lambda f: edit_json(f, name="REMOVE"), "dataset.json has no 'name'"),
    "classes": (lambda f: edit_json(f, class_names="LV"), "class_names is 'LV'"),
    "class twice": (lambda f: edit_json(f, class_names=["LV", "LV"]), "names a class twice"),
    "size": (lambda f: edit_json(f, size=[16, 0]), r"size is \[16, 0\]; give pixels a side, or \[rows, columns\]"),
    "half a pixel": (lambda f: edit_json(f, size=16.5), "size is 16.5; give pixels"),
    "three sides": (lambda f: edit_json(f, size=[16, 16, 16]), r"size is \[16, 16, 16\]; give pixels"),
    "tolerance": (lambda f: edit_json(f, tolerance_mm="3"), "tolerance_mm is '3'; give the tolerance of the surface Dice"),
    "organ": (lambda f: edit_json(f, organ=["lung"]), r"organ is \['lung'\]; give a word"),
    "source": (lambda f: edit_json(f, source_domain="Z"), "names a domain 'Z'"),
    "target": (lambda f: edit_json(f, target_domains=["B", "Y"]), "names a domain 'Y'"),
    "mm": (lambda f: edit_json(f, spacing_mm=-1), "spacing_mm is -1"),
    "label": (
        lambda f: edit_array(f, "masks.npy", (6, 1, 1), 7),
        r"unknown label 7 in row 6 \(domain B, subject 001, phase ED, slice 0\); labels are 0 to 2",
    ),
    "NaN": (lambda f: edit_array(f, "images.npy", (3, 4, 5), np.nan), r"holds nan in row 3 .*\(4, 5\)"),
    "infinity": (lambda f: edit_array(f, "images.npy", (7, 0, 0), np.inf), r"images.npy holds inf in row 7"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_that_names_the_place(folder, fault):
    break_it, sentence = FAULTS[fault]
    break_it(folder)
    with pytest.raises(BadInput, match=sentence) as caught:
        read_slice_set(folder)
    text = str(caught.value)
    assert "\n" not in text and str(folder) in text and ("; " in text or " for " in text)


def test_a_fault_behind_the_first_block_is_found(tmp_path):
    number = 2 * BLOCK + 3
    images = np.zeros((number, 4, 4), np.float32)
    images[-1, 2, 3] = np.nan
    table = pd.DataFrame({"slice": range(number)}).assign(
        dataset="d", domain="A", subject="1", phase="ED", spacing_mm=1.0, split="train"
    )
    with pytest.raises(BadInput, match=rf"holds nan in row {number - 1} .*\(2, 3\)"):
        write_slice_set(tmp_path / "set", images, None, table, INFO)
    assert list(tmp_path.iterdir()) == []


def test_slice_level_split_warns_and_says_how_many_subjects_leak(folder):
    edit_table(folder, 1, "split", "val")
    edit_json(folder, split="slice")
    with pytest.warns(UserWarning, match=r"subject 001 of domain A .* \(1 subjects are\)"):
        read_slice_set(folder)


def test_the_same_subject_name_at_two_sites_is_two_people(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_slice_set(folder)  # 001 is train at A and test at B


# ---- writing: whole or not at all


def test_refusals_of_the_writer_leave_what_was_there(folder):
    images, masks = pixels()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for wrong in (
        lambda: write_slice_set(folder, images[:5], masks, a_table(), INFO),
        lambda: write_slice_set(folder, images, masks[:, :5], a_table(), INFO),
        lambda: write_slice_set(folder, images, masks + 9, a_table(), INFO),
        lambda: write_slice_set(folder, images, masks - 1.5, a_table(), INFO),
        lambda: write_slice_set(folder, images, masks, a_table().drop(columns="domain"), INFO),
        lambda: write_slice_set(folder, images, masks, a_table(), {"name": "x"}),
        lambda: write_slice_set(folder, images[:0], masks[:0], a_table()[:0], INFO),
        lambda: write_slice_set(folder, images * np.float32(np.nan), masks, a_table(), INFO),
    ):
        with pytest.raises(BadInput, match=str(folder)):
            wrong()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_with_something_else_is_not_replaced(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.tex").write_text("ten years of work")
    images, masks = pixels()
    with pytest.raises(BadInput, match="holds something other than a slice set .thesis.tex."):
        write_slice_set(tmp_path / "set", images, masks, a_table(), INFO)
    assert (tmp_path / "set" / "thesis.tex").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        write_slice_set(tmp_path / "file", images, masks, a_table(), INFO)


def test_a_slice_set_is_replaced_by_a_new_one(folder):
    images, masks = pixels()
    data = write_slice_set(folder, images + 1, None, a_table(), {**INFO, "name": "second"})
    assert data.info["name"] == "second" and data.masks is None
    assert list(folder.parent.iterdir()) == [folder]


def test_a_set_whose_writer_died_between_the_two_renames_comes_back(folder):
    os.replace(folder, folder.parent / f".{folder.name}.replaced")
    assert len(read_slice_set(folder)) == 8


def test_a_full_disk_is_one_sentence(folder, monkeypatch):
    images, masks = pixels()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(slice_writer, "_flush", full)
    with pytest.raises(BadInput, match="No space left on device; free some space"):
        write_slice_set(folder, images + 1, masks, a_table(), INFO)
    np.testing.assert_array_equal(read_slice_set(folder).images, images)
    assert list(folder.parent.iterdir()) == [folder]


def test_what_a_killed_writer_left_is_cleared_away_but_not_a_living_writers_work(tmp_path):
    images, masks = pixels()
    old, young = tmp_path / ".set-abc.part", tmp_path / ".set-def.part"
    for part in (old, young):
        part.mkdir()
        (part / "images.npy").write_bytes(b"half")
    for path in (old / "images.npy", old):
        os.utime(path, (0, 0))
    write_slice_set(tmp_path / "set", images, masks, a_table(), INFO)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".set-def.part", "set"]


@pytest.mark.slow
def test_a_killed_writer_leaves_the_old_set_or_the_new_one(folder):
    program = textwrap.dedent("""
        import sys, numpy as np, pandas as pd
        from advconf_lite.data.slices import write_slice_set
        rows = pd.DataFrame({"slice": range(600)}).assign(
            dataset="d", domain="A", subject="1", phase="ED", spacing_mm=1.0, split="train")
        print("ready", flush=True)
        for level in range(1, 10000):
            images = np.full((600, 64, 64), level, np.float32)
            write_slice_set(sys.argv[1], images, images * 0, rows,
                            {"name": str(level), "class_names": ["c"], "source_domain": "A"})
    """)
    rng = np.random.default_rng(0)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(float(rng.uniform(0.02, 0.6)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        data = read_slice_set(folder)
        if data.info["name"] != "tiny":
            assert len(data) == 600 and (np.asarray(data.images) == float(data.info["name"])).all()
