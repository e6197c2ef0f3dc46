"""`python -m data_download verify`: what is right passes, and every fault is a line that names its domain."""

import json
import shutil
from functools import cache
from pathlib import Path

import archives
import numpy as np
import pandas as pd
import pytest

from advconf_lite.data.slices import write_slice_set
from advconf_lite.data.splits import split_by_subject
from advconf_lite.support.files import sha256
from data_download.__main__ import main

SIDE = 6  # pixels: only counts matter here
HEART = ["LV", "MYO", "RV"]
FLAGS = "--spacing 1.0 --size 256 --split subject --seed 0"


def verified(folder, capsys):
    """Exit code, the report's lines, and (check, domain) of those that differ."""
    capsys.readouterr()
    code = main(["verify", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    return code, lines, {(row[0], row[1]) for row in cells if len(row) == 5 and row[-1] == "DIFFERS"}


def expect(folder, capsys, *differences):
    """Exactly these (check, domain) differ, and the last line names them."""
    code, lines, found = verified(folder, capsys)
    assert found == set(differences), "\n".join(lines)
    assert code == bool(differences)
    assert all(f"{domain} ({check})" in lines[-1] for check, domain in differences)
    return lines


def write(folder, volumes, classes, how_made, whole=False, masks=True, drop=None):
    """A slice set as `prepare` would make it from these volumes, in small."""
    rows = [
        (v.domain, v.subject, v.phase, k, v.first <= k < v.first + v.filled)
        for v in volumes
        for k in range(v.slices)
        if whole or v.first <= k < v.first + v.filled
    ]
    table = pd.DataFrame(rows, columns=["domain", "subject", "phase", "slice", "filled"])
    if drop is not None:
        table = table[~drop(table)].reset_index(drop=True)
    source = (
        volumes[0].domain
        if how_made is None
        else max(archives.totals(volumes, "subjects").items(), key=lambda pair: pair[1])[0]
    )
    split = split_by_subject(table.loc[table["domain"] == source, "subject"])
    table = table.assign(dataset="x", spacing_mm=1.0, split=table["subject"].map(split))
    table.loc[table["domain"] != source, "split"] = "test"
    if not masks:
        table["split"], source = "test", None
    images = np.random.default_rng(0).normal(100, 20, (len(table), SIDE, SIDE)).astype(np.float32)
    labels = np.zeros(images.shape, np.uint8)
    for label in range(1, len(classes) + 1):
        labels[:, 2, label] = label * table["filled"]
    info = {"name": "x", "class_names": classes, "source_domain": source, "size": SIDE}
    if how_made is not None:
        info["how_made"] = f"python -m data_download prepare {how_made}"
    write_slice_set(folder, images, labels if masks else None, table.drop(columns="filled"), info)
    return folder


@cache
def plan(name):
    root = Path("nowhere")
    return {"mnms2": archives.mnms2_plan, "pmri": archives.saml_plan}[name](root)


def tamper(folder, record=True, rows=None, **pixels):
    """Change a set behind its back: `rows` edits the table, images or masks the arrays; `record` new checksums."""
    for name, change in pixels.items():
        array = np.load(folder / f"{name}.npy")
        change(array)
        np.save(folder / f"{name}.npy", array)
    if rows is not None:
        table = pd.read_csv(folder / "slices.csv", dtype=str)
        rows(table)
        table.to_csv(folder / "slices.csv", index=False)
    if record:
        files = [path for path in folder.iterdir() if path.name != "dataset.json"]
        edit(folder, sha256={path.name: sha256(path) for path in files})


def edit(folder, **changes):
    path = folder / "dataset.json"
    info = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


@pytest.fixture(scope="module")
def hearts(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sets") / "mnms2", plan("mnms2"), HEART, f"mnms2 {FLAGS}")


@pytest.fixture
def own(tmp_path):
    """Six subjects of site A and two of site B, 6 slices each."""
    volumes = [
        archives.Volume(domain, f"p{number}", "ED", Path(), Path(), 1.0, 8.0, 6, 0, 6)
        for domain, count in (("A", 6), ("B", 2))
        for number in range(count)
    ]
    return write(tmp_path / "own", volumes, ["gland", "lesion"], None)


# ---- counts


def test_the_papers_counts_pass(hearts, capsys):
    lines = expect(hearts, capsys)
    assert "M&Ms-2, 6112 slices of 360 subjects" in lines[0]
    for name, (subjects, slices) in {"Symphony": ("172", "2998"), "Explorer": ("1", "18")}.items():
        assert any(line.split()[:4] == ["subjects", name, subjects, subjects] for line in lines)
        assert any(line.split()[-5:] == ["label", name, slices, slices, "ok"] for line in lines)
    rows = [line for line in lines if line.endswith(" ok")]
    assert len({len(line) for line in rows}) == 1  # aligned


@pytest.mark.parametrize("domain", ["Symphony", "Trio", "Achieva"])
def test_a_removed_subject_names_its_domain(domain, tmp_path, capsys):
    def gone(table):
        return (table["domain"] == domain) & (table["subject"] == table.loc[table["domain"] == domain, "subject"].iloc[0])

    folder = write(tmp_path / "set", plan("mnms2"), HEART, f"mnms2 {FLAGS}", drop=gone)
    expect(folder, capsys, ("subjects", domain), ("slices with a label", domain))


def test_a_removed_domain_phase_and_slice(tmp_path, capsys):
    def gone(table):
        first_avanto = table["subject"] == table.loc[table["domain"] == "Avanto", "subject"].iloc[0]
        return (table["domain"] == "Explorer") | (first_avanto & (table["phase"] == "ES")) | (table.index == 0)

    folder = write(tmp_path / "set", plan("mnms2"), HEART, f"mnms2 {FLAGS}", drop=gone)
    first = plan("mnms2")[0].domain
    expect(
        folder, capsys, ("subjects", "Explorer"), ("slices with a label", "Explorer"),
        ("slices with a label", "Avanto"), ("subjects with ED and ES", "Avanto"), ("slices with a label", first),
    )  # fmt: skip


def test_a_domain_that_the_data_set_does_not_have(tmp_path, capsys):
    extra = archives.Volume("Vida", "361", "ED", Path(), Path(), 1.0, 8.0, 6, 0, 6)
    both = [extra, archives.replace(extra, phase="ES")]
    folder = write(tmp_path / "set", [*plan("mnms2"), *both], HEART, f"mnms2 {FLAGS}")
    expect(folder, capsys, ("subjects", "Vida"), ("slices with a label", "Vida"))


def test_empty_slices_kept_are_counted_against_the_published_codes_notes(tmp_path, capsys):
    folder = write(tmp_path / "set", plan("mnms2"), HEART, f"mnms2 {FLAGS} --keep-empty", whole=True)
    lines = expect(folder, capsys)
    assert any(line.split()[:4] == ["slices", "Symphony", "4024", "4024"] for line in lines)
    images = write(tmp_path / "images", plan("mnms2"), HEART, f"mnms2 {FLAGS}", whole=True, masks=False)
    lines = expect(images, capsys)
    assert any(line.split()[:4] == ["slices", "Achieva", "1796", "1796"] for line in lines)
    assert any("labels are not checked" in line for line in lines)


def test_prostate_counts_depend_on_the_geometry(tmp_path, capsys):
    lines = expect(write(tmp_path / "true", plan("pmri"), ["prostate"], "pmri --size 384"), capsys)
    assert any(line.split()[-5:] == ["label", "RUNMC", "411-421", "419", "ok"] for line in lines)
    slipped = [archives.replace(v, first=0, slices=v.published, filled=v.published) for v in plan("pmri")]
    for flags in ("--geometry published-code", "--geometry=published-code --size 384"):
        lines = expect(write(tmp_path / "slipped", slipped, ["prostate"], f"pmri {flags}"), capsys)
        assert any(line.split()[-5:] == ["label", "BMC", "324", "324", "ok"] for line in lines)
    sites = [("slices with a label", site) for site in ("BMC", "I2CVB", "UCL", "BIDMC", "HK")]
    expect(write(tmp_path / "mixed", slipped, ["prostate"], "pmri --size 384"), capsys, *sites)
    one_less = write(
        tmp_path / "less", plan("pmri"), ["prostate"], "pmri --size 384",
        drop=lambda table: (table["domain"] == "HK") & (table["subject"] == "Case03"),
    )  # fmt: skip
    expect(one_less, capsys, ("subjects", "HK"), ("slices with a label", "HK"))


# ---- own data


def test_own_data_has_general_checks_only(own, capsys):
    lines = expect(own, capsys)
    assert lines[0] == f"{own}: x, 48 slices of 8 subjects" and lines[1].startswith(
        "own data or a phantom: there are no published"
    )
    assert any(line.split() == ["subjects", "A", "-", "6"] for line in lines)


def test_an_image_only_set(tmp_path, capsys):
    volumes = [archives.Volume("A", f"p{i}", "ED", Path(), Path(), 1.0, 8.0, 3, 0, 3) for i in range(3)]
    lines = expect(write(tmp_path / "set", volumes, ["gland"], None, masks=False), capsys)
    assert any("image-only" in line for line in lines) and not any(line.startswith("labels") for line in lines)


def test_a_set_written_by_plain_numpy_has_no_checksums(own, capsys):
    edit(own, sha256=None)
    lines = expect(own, capsys)
    assert any(line.split() == ["sha256", "all", "files", "-", "not", "recorded"] for line in lines)


# ---- faults


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "slices.csv"])
def test_a_flipped_bit(own, name, capsys):
    data = bytearray((own / name).read_bytes())
    data[-2 if name == "slices.csv" else -SIDE * SIDE] ^= 1  # "test" becomes "tesu"; a pixel changes a little
    (own / name).write_bytes(data)
    code, lines, found = verified(own, capsys)
    assert code == 1 and ("sha256", name) in found
    assert {domain for _, domain in found} <= {name, "B"}


def test_a_file_that_was_not_written_with_the_set(own, capsys):
    recorded = json.loads((own / "dataset.json").read_text())["sha256"]
    edit(own, sha256={key: value for key, value in recorded.items() if key != "masks.npy"})
    expect(own, capsys, ("sha256", "masks.npy"))
    edit(own, sha256=recorded)
    (own / "masks.npy").unlink()
    expect(own, capsys, ("sha256", "masks.npy"))


def set_at(index, value):
    def change(array):
        array[index] = value

    return change


def relabel(column, domain, value, where=0):
    def change(table):
        rows = np.flatnonzero(table["domain"] == domain)
        table.loc[rows[where], column] = value

    return change


def copy_first_of_a_to_b(array):
    array[40] = array[0]


FAULTS = {
    "NaN": ({"images": set_at((0, 1, 1), np.nan)}, [("slices with NaN or infinity", "A")]),
    "infinity": ({"images": set_at((-1, 1, 1), -np.inf)}, [("slices with NaN or infinity", "B")]),
    "nothing but NaN": ({"images": set_at(40, np.nan)}, [("slices with NaN or infinity", "B")]),
    "one grey value": ({"images": set_at(40, 7.0)}, [("slices of one grey value", "B")]),
    "a scale factor gone wild": ({"images": set_at((0, 0, 0), 1e30)}, [("intensities", "A")]),
    "unknown label": ({"masks": set_at((0, 0, 0), 3)}, [("labels", "A")]),
    "a label missing in one domain": (
        {"masks": lambda m: np.copyto(m[36:], 0, where=m[36:] == 2)},
        [("labels", "B")],
    ),
    "no label in one domain": ({"masks": set_at(slice(36, None), 0)}, [("labels", "B")]),
    "a subject in two splits": ({"rows": relabel("split", "A", "val")}, [("subjects in several splits", "A")]),
    "an unknown split": (
        {"rows": relabel("split", "B", "tset", slice(0, 6))},
        [("rows with an unknown split", "B")],
    ),
    "a slice twice": ({"rows": relabel("slice", "B", "0", 1)}, [("slices listed twice", "B")]),
    "one image under two subjects": (
        {"images": copy_first_of_a_to_b},
        [("slices that another subject has too", "A"), ("slices that another subject has too", "B")],
    ),
    "no validation subject": (
        {"rows": lambda table: table.replace({"split": {"val": "train"}}, inplace=True)},
        [("splits of the source", "A")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_a_line_that_names_its_domain(fault, own, capsys):
    changes, differences = FAULTS[fault]
    tamper(own, **changes)
    expect(own, capsys, *differences)


def test_faults_in_several_domains_are_several_lines(own, capsys):
    tamper(own, images=set_at((slice(None), 0, 0), np.nan))
    lines = expect(own, capsys, ("slices with NaN or infinity", "A"), ("slices with NaN or infinity", "B"))
    assert any(line.split()[:7] == ["slices", "with", "NaN", "or", "infinity", "A", "0"] for line in lines)
    assert lines[-1].startswith("2 of ")


def test_a_split_by_slice_that_was_asked_for_is_no_fault(own, capsys):
    tamper(own, rows=relabel("split", "A", "val"))
    edit(own, split="slice")
    lines = expect(own, capsys)
    assert any("any (split by slice)" in line and line.split()[-1] == "1" for line in lines)


def test_a_target_domain_without_slices(own, capsys):
    edit(own, target_domains=["B", "C"])
    expect(own, capsys, ("domain of dataset.json", "C"))


@pytest.mark.parametrize("change", [lambda share: 1 - share, lambda share: 0 * share], ids=["inverted", "lost"])
def test_masks_that_lost_their_organ(change, hearts, tmp_path, capsys):
    folder = tmp_path / "set"
    shutil.copytree(hearts, folder)
    achieva = np.flatnonzero(pd.read_csv(folder / "slices.csv")["domain"] == "Achieva")

    def edit_masks(masks):
        masks[achieva] = np.where(change((masks[achieva] > 0) * 1), 1 + np.arange(SIDE) % 3, 0)

    tamper(folder, masks=edit_masks)
    _, lines, found = verified(folder, capsys)
    assert ("mean share of labels", "Achieva") in found
    assert {domain for _, domain in found} == {"Achieva"}


# ---- bad input


def test_what_is_no_slice_set_ends_in_one_sentence(own, tmp_path, capsys):
    def refused(*arguments):
        assert main(["verify", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and error.startswith("data_download: ")
        return error

    assert "there is no folder" in refused(tmp_path / "nowhere")
    assert "images.npy is missing" in refused(tmp_path)
    assert "required: DIR" in refused()
    (own / "images.npy").write_bytes((own / "images.npy").read_bytes()[:-1])
    assert "images.npy cannot be read" in refused(own)
    shutil.copy(own / "masks.npy", own / "images.npy")
    assert "images.npy has dtype uint8" in refused(own)
    (own / "images.npy").write_bytes(b"<html>")
    assert "images.npy cannot be read" in refused(own)


def test_every_written_set_has_its_checksums(own):
    info = json.loads((own / "dataset.json").read_text())
    assert info["sha256"] == {name: sha256(own / name) for name in ("images.npy", "masks.npy", "slices.csv")}
