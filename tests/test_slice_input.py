"""What people write slice sets from, and what they write into dataset.json: right, or one sentence."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.data.splits import split_by_fold, split_by_slice, split_by_subject
from advconf_lite.support.errors import BadInput
from data_download.__main__ import main

N, SIZE = 8, 24
INFO = {"name": "own", "class_names": ["gland", "lesion"], "source_domain": "A"}


def a_table(**columns):
    table = pd.DataFrame({
        "dataset": "own", "domain": ["A"] * 6 + ["B"] * 2, "subject": [f"p{i // 2}" for i in range(N)], "phase": "",
        "slice": [0, 1] * 4, "spacing_mm": 1.0, "split": ["train"] * 2 + ["val"] * 2 + ["test"] * 4,
    })  # fmt: skip
    return table.assign(**columns)


def pixels():
    rng = np.random.default_rng(0)
    masks = np.zeros((N, SIZE, SIZE), np.uint8)
    masks[:, 8:16, 8:16], masks[:, 10:12, 10:12] = 1, 2
    return rng.normal(100, 20, masks.shape).astype(np.float32), masks


def written(folder, images=None, masks=None, table=None, **info):
    own = pixels()
    images, masks = own[0] if images is None else images, own[1] if masks is None else masks
    return write_slice_set(folder, images, masks, a_table() if table is None else table, {**INFO, **info})


def refused(folder, words, **given):
    with pytest.raises(BadInput, match=words) as caught:
        written(folder, **given)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value) and not list(folder.parent.iterdir())


# ---- arrays

IMAGES, MASKS = pixels()
TAKEN = {
    "list of arrays": (list(IMAGES), list(MASKS)),
    "nested lists": (IMAGES.tolist(), MASKS.tolist()),
    "tensors": (torch.from_numpy(IMAGES), torch.from_numpy(MASKS)),
    "tensors with a graph": (torch.from_numpy(IMAGES).requires_grad_(), torch.from_numpy(MASKS).long()),
    "masks as uint16": (IMAGES, MASKS.astype(np.uint16)),
    "masks as uint64": (IMAGES, MASKS.astype(np.uint64)),
    "masks as whole floats": (IMAGES, MASKS.astype(np.float64)),
    "big-endian, Fortran order": (np.asfortranarray(IMAGES.astype(">f4")), np.asfortranarray(MASKS)),
    "read-only and strided": (np.repeat(IMAGES, 2, 0)[::2], np.repeat(MASKS, 2, 2)[..., ::2]),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_arrays_of_any_kind_are_taken(kind, tmp_path):
    slices = written(tmp_path / "set", *TAKEN[kind])
    np.testing.assert_array_equal(slices.images[:], IMAGES)
    np.testing.assert_array_equal(slices.masks[:], MASKS)


def test_bfloat16_images_are_taken(tmp_path):
    images = torch.from_numpy(IMAGES).bfloat16()
    np.testing.assert_array_equal(written(tmp_path / "set", images).images[:], images.float().numpy())


NOT_TAKEN = {
    "other sizes": (dict(images=[np.zeros((20 + i, SIZE)) for i in range(N)]), r"8 sizes \(20 x 24, 21 x 24,.*centre_crop"),
    "masks of other sizes": (dict(masks=[np.zeros((SIZE, 20 + i), int) for i in range(N)]), "masks have 8 sizes"),
    "(N, 1, H, W)": (dict(images=IMAGES[:, None]), r"images have shape \(8, 1, 24, 24\).*images\[:, 0\]"),
    "(N, H, W, 1)": (dict(images=IMAGES[..., None]), r"here images\[\.\.\., 0\]"),
    "colour": (dict(images=np.repeat(IMAGES[..., None], 3, 3)), "one channel of each slice, here images"),
    "masks (N, 1, H, W)": (dict(masks=MASKS[:, None]), r"here masks\[:, 0\]"),
    "one-hot": (dict(masks=np.stack([MASKS == k for k in range(3)], 1)), r"here masks.argmax\(1\)"),
    "one-hot last": (dict(masks=np.stack([MASKS == k for k in range(3)], 3)), r"here masks.argmax\(3\)"),
    "soft": (dict(masks=MASKS * 0.5), "a mask holds 0.5"),
    "NaN in a mask": (dict(masks=np.where(MASKS == 2, np.nan, MASKS)), "a mask holds nan"),
    "negative": (dict(masks=MASKS.astype(int) - 1), "a mask holds -1"),
    "complex": (dict(images=IMAGES.astype(complex)), "complex128 values; give an array of numbers"),
    "text": (dict(images=IMAGES.astype(str)), "values; give an array of numbers"),
    "nothing": (dict(images=np.array(None)), "give an array of numbers"),
    "one slice": (dict(images=IMAGES[0]), r"shape \(24, 24\)"),
    "fewer": (dict(images=IMAGES[:5]), "do not belong together"),
    "NaN": (dict(images=np.where(MASKS == 2, np.nan, IMAGES)), "holds nan"),
    "too large for float32": (dict(images=IMAGES.astype(float) * 1e300), "holds inf"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", NOT_TAKEN)
def test_other_arrays_are_refused_with_the_way_out(kind, tmp_path):
    given, words = NOT_TAKEN[kind]
    refused(tmp_path / "set", words, **given)


# ---- the table


@pytest.mark.parametrize("dtype", [int, float, "Int64", "category", object])
def test_names_that_are_numbers_are_text(dtype, tmp_path):
    numbers = pd.Series([1, 1, 2, 2, 3, 3, 4, 4]).astype(dtype)
    slices = written(tmp_path / "set", table=a_table(subject=numbers, domain=[7] * 6 + [8] * 2), source_domain="7")
    assert list(slices.table["subject"]) == list("11223344") and slices.target_domains == ["8"]


def test_a_table_of_other_kinds(tmp_path):
    for number, table in enumerate(
        (a_table().to_dict("records"), a_table().to_dict("list"), a_table().set_index("slice", drop=False))
    ):
        assert len(written(tmp_path / str(number), table=table)) == N


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (a_table().drop(columns=["phase", "split"]), "no column phase, split"),
        (a_table(subject=[None] * 2 + ["a"] * 6), "subject in row 0 is (None|nan); say whose"),
        (a_table(subject=[1.0, 1.0, np.nan, 2, 3, 3, 4, 4]), "subject in row 2 is nan"),
        (a_table(domain=["A"] * 6 + ["", "B"]), "domain in row 6 is ''"),
        (pd.concat([a_table(), a_table()[["subject"]]], axis=1), "the column subject twice"),
        (a_table(slice=0), "occurs twice"),
        (a_table(spacing_mm="3 mm"), "spacing_mm in row 0 is '3 mm'"),
        (a_table(spacing_mm=-1.0), "spacing_mm in row 0 is '-1.0'"),
        (a_table(spacing_mm=np.inf), "spacing_mm in row 0 is 'inf'"),
        (a_table(slice=0.5), "slice in row 0 is '0.5'"),
        (a_table(split="dev"), "split in row 0 is 'dev'"),
        (7, "the table is none"),
        ("slices.csv", "the table is none"),
    ],
)  # fmt: skip
def test_other_tables_are_refused(table, words, tmp_path):
    refused(tmp_path / "set", words, table=table)


# ---- dataset.json

FAULTS = [
    ({"tolerance_mm": -3}, "tolerance_mm is -3"),
    ({"tolerance_mm": float("nan")}, "tolerance_mm is nan"),
    ({"tolerance_mm": True}, "tolerance_mm is True"),
    ({"spacing_mm": "1.5 mm"}, "spacing_mm is '1.5 mm'"),
    ({"spacing_mm": [1.0, 1.0]}, r"spacing_mm is \[1.0, 1.0\]"),
    ({"size": "48"}, "size is '48'"),
    ({"size": 10**6}, "give at most 8192 pixels"),
    ({"size": [24, True]}, r"size is \[24, True\]"),
    ({"tolerence_mm": 3.0}, "'tolerence_mm', which nothing reads; rename it to 'tolerance_mm'"),
    ({"spacing": 1.0}, "'spacing', which nothing reads; rename it to 'spacing_mm'"),
    ({"Size": 24}, "rename it to 'size'"),
    ({"name": 7}, "name is 7"),
    ({"name": " "}, "name is ' '"),
    ({"class_names": "gland"}, "class_names is 'gland'"),
    ({"class_names": ["gland", 2]}, "list the foreground classes"),
    ({"class_names": [f"c{i}" for i in range(300)]}, "300 names"),
    ({"source_domain": 7}, "source_domain is 7; give the name of a domain as text"),
    ({"source_domain": "Z"}, "names a domain 'Z'"),
    ({"target_domains": "B"}, "target_domains is 'B'; give a list"),
    ({"target_domains": ["A", "B"]}, "names the domain 'A' twice"),
    ({"validation_domains": [1]}, r"validation_domains is \[1\]"),
    ({"organ": 3}, "organ is 3"),
    ({"split": "patient"}, "split is 'patient'; give subject or slice"),
    ({"version": "9.0", "how_made": "python -m data_download prepare nifti"}, "written by version 9.0 of advconf_lite"),
]


@pytest.mark.parametrize(("change", "words"), FAULTS)
def test_a_fault_in_dataset_json_is_refused_alike_everywhere(change, words, tmp_path, capsys):
    """By the reader, the writer, `verify` and `run`, with one sentence."""
    folder = tmp_path / "in" / "set"
    written(folder)
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadInput, match=words) as caught:
        read_slice_set(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    code = main(["verify", str(folder)])
    assert code == (1 if change.get("source_domain") == "Z" else 2)  # the reader's sentence, or a line of the report
    from advconf_lite.experiment.parts import first_look
    from advconf_lite.experiment.profiles import find_profile

    if code == 2:
        with pytest.raises(BadInput, match=words):
            first_look(str(folder), find_profile("smoke"))
        with pytest.raises(BadInput, match=words):
            written(tmp_path / "new", **change)


@pytest.mark.parametrize(
    "info",
    [
        {"spacing_mm": np.float32(1.0), "size": np.int64(24), "class_names": np.array(["gland", "lesion"])},
        {"size": (24, 24), "class_names": ("gland", "lesion"), "target_domains": np.array(["B"])},
        {"size": np.array([24, 24]), "tolerance_mm": np.array(2.0), "my_scanner": {"field": np.float64(1.5)}},
        {"version": "2031-07", "note": "ours", "organ": "liver"},
    ],
)
def test_values_of_numpy_and_keys_of_ones_own_are_kept(info, tmp_path):
    slices = written(tmp_path / "set", **info)
    assert slices.grid.size in (24, 32) and slices.num_classes == 3
    kept = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert set(info) <= set(kept)


def test_what_json_cannot_hold_and_what_it_says_twice(tmp_path):
    refused(tmp_path / "set", "holds a set", note={1, 2})
    slices = written(tmp_path / "other")
    path = slices.folder / "dataset.json"
    path.write_text(path.read_text().replace('"name": "own"', '"name": "own", "size": 24, "size": 48'))
    with pytest.raises(BadInput, match="says 'size' twice"):
        read_slice_set(slices.folder)


# ---- millimetres


@pytest.mark.parametrize(
    ("own_mm", "info", "words"),
    [
        (0.02, {"spacing_mm": 1.5}, "24 x 24 pixels of 0.02 mm, which at 1.5 mm would be 1 x 1: next to nothing"),
        (0.0015, {"spacing_mm": 1.5}, "next to nothing"),
        (0.02, {"tolerance_mm": 3.0}, "images are 0.48 mm wide, so that every outline would be right"),
        (0.0015, {"tolerance_mm": 3.0}, "tolerance_mm is 3"),
        (20.0, {"spacing_mm": 0.02}, "enormous"),
        (1500.0, {"spacing_mm": 1.5}, "enormous"),
        (1.0, {"spacing_mm": 3.0}, "fewer than 4 labelled pixels of 16 or more"),
        (2.0, {"size": 8, "spacing_mm": 1.0}, "cut off .*; write size 16"),
    ],
)
def test_millimetres_that_would_lose_the_labels_are_refused(own_mm, info, words, tmp_path):
    masks = np.zeros((N, SIZE, SIZE), np.uint8)
    masks[:, 9:13, 9:13] = 1
    if "fewer" not in words:
        masks = MASKS
    refused(tmp_path / "set", words, masks=masks, table=a_table(spacing_mm=own_mm), **info)


@pytest.mark.parametrize("own_mm", [0.001, 0.02, 0.3, 20.0, 200.0])
def test_strange_pixels_on_their_own_grid_lose_nothing_and_are_told(own_mm, tmp_path, capsys):
    slices = written(tmp_path / "set", table=a_table(spacing_mm=own_mm))
    assert slices.spacing_mm == own_mm and slices.tolerance_mm == pytest.approx(3 * own_mm)
    _, masks = slices.tensors(slices.grid.size, slices.spacing_mm)
    assert int((masks > 0).sum()) == int((MASKS > 0).sum())
    strange = not 0.05 <= own_mm <= 50
    assert main(["verify", str(slices.folder)]) == int(strange)
    from advconf_lite.experiment.parts import remarks_on_grid

    assert any("unusual" in remark for remark in remarks_on_grid(slices)) == strange


def test_nobody_is_scored_at_a_scale_where_nothing_is_left(tmp_path):
    """As `predict` would, with a head of a run at another pixel size."""
    slices = written(tmp_path / "set", table=a_table(spacing_mm=0.02))
    for size, mm, words in ((16, 1.5, "next to nothing"), (0, 0.02, "size is 0"), ("16", 0.02, "size is '16'"),
                            (16, -1, "spacing_mm is -1"), ((16, 2.5), 0.02, "size is 2.5")):  # fmt: skip
        with pytest.raises(BadInput, match=words):
            slices.tensors(size, mm)


# ---- splits


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: split_by_subject("abc"),
        lambda: split_by_subject(["a", None, "c"]),
        lambda: split_by_subject([1.0, float("nan"), 2.0]),
        lambda: split_by_subject(["a", "b", "c"], {"train": -1, "val": 1, "test": 1}),
        lambda: split_by_subject(["a", "b", "c"], {"train": float("nan"), "val": 1, "test": 1}),
        lambda: split_by_subject(["a", "b", "c"], {"train": 0, "val": 0, "test": 0}),
        lambda: split_by_subject(["a", "b", "c"], [0.5, 0.5]),
        lambda: split_by_fold(["a", "b", "c"], 1.5, 3),
        lambda: split_by_fold(["a", "b", "c"], 1, 1),
        lambda: split_by_slice(-4),
        lambda: split_by_slice("10"),
    ],
)
def test_splits_of_nonsense_are_refused(wrong):
    with pytest.raises(BadInput) as caught:
        wrong()
    assert "\n" not in str(caught.value)
