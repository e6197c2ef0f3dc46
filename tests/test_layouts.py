"""Own images in every layout that people have: which mask is whose, whose scan it is, and what is not used and why."""

import contextlib
import io
import json
import os
import re
import shlex
from pathlib import Path

import fuzz_layouts
import nibabel
import numpy as np
import pytest

from advconf_lite.data.slices import read_slice_set, write_slice_set
from data_download.__main__ import main
from data_download.own.labels import classes_and_labels
from data_download.own.people import alike, people

SIDE = 8


def save(path: Path, number: int, mask: bool = False) -> Path:
    """The image or the mask of one number: they can be told from those of all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = fuzz_layouts.volumes(number)[mask]
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 1, 5, 1])), path)
    return path


def tree(root: Path, pairs: dict[str, str | None]) -> dict[int, tuple[str, str | None]]:
    """Write images and their masks under these names; number -> names."""
    for number, (image, mask) in enumerate(pairs.items(), 1):
        save(root / image, number)
        if mask:
            save(root / mask, number, mask=True)
    return dict(enumerate(pairs.items(), 1))


def prepare(source: Path, out: Path, *options) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of prepare nifti on a grid of 8 x 8 pixels."""
    said, err = io.StringIO(), io.StringIO()
    words = [
        "prepare",
        "nifti",
        "--source",
        str(source),
        "--out",
        str(out),
        "--spacing",
        "1",
        "--size",
        str(SIDE),
        "--keep-empty",
    ]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(err):
        code = main(list(map(str, [*words, *options])))
    assert "Traceback" not in err.getvalue()
    return code, said.getvalue(), err.getvalue()


def contents(out: Path) -> dict[int, tuple[str, str, str]]:
    """Number -> (domain, subject, phase) of a set, whose masks must be those of their images."""
    data, found = read_slice_set(out), {}
    for row, entry in data.table.iterrows():
        number = int(data.images[row, 0, 0])
        image, mask = fuzz_layouts.volumes(number)
        np.testing.assert_array_equal(data.images[row], image[..., entry["slice"]].T)
        if data.masks is not None:
            np.testing.assert_array_equal(data.masks[row], mask[..., entry["slice"]].T)
        found[number] = (entry["domain"], entry["subject"], entry["phase"])
    return found


def names(number: int = 4) -> list[str]:
    return [f"K{n}" for n in range(1, number + 1)]


# ---- layouts

LAYOUTS = {
    "ending": ("{0}.nii.gz", "{0}_msk.nii.gz"),
    "ending in capitals": ("{0}.nii", "{0}_SEG.nii"),
    "prefix": ("{0}.nii.gz", "groundtruth-{0}.nii.gz"),
    "both named": ("{0}_img.nii.gz", "{0}_lbl.nii.gz"),
    "camel case": ("{0}Image.nii.gz", "{0}Mask.nii.gz"),
    "Slicer": ("{0}.nii.gz", "{0}.seg.nii.gz"),
    "MRBrainS": ("{0}/T1.nii.gz", "{0}/LabelsForTesting.nii.gz"),
    "rater": ("{0}.nii.gz", "{0}_lesion_seg_rater1.nii.gz"),
    "other format": ("{0}.nii", "{0}_gt.nii.gz"),
    "siblings": ("Images/{0}.nii.gz", "Labels/{0}.nii.gz"),
    "siblings with endings": ("img/{0}.nii.gz", "annotations/{0}_annotation.nii.gz"),
    "siblings far down": ("study/v2/scans/{0}.nii.gz", "study/v2/ground_truth/{0}.nii.gz"),
    "siblings of unlike depth": ("images/{0}/{0}.nii.gz", "masks/{0}_mask.nii.gz"),
    "another word": ("images/ct{0}.nii.gz", "masks/annot{0}.nii.gz"),
    "split folders": ("train/images/{0}.nii.gz", "train/labels/{0}.nii.gz"),
    "words in split folders": ("images_train/{0}.nii.gz", "masks_train/{0}.nii.gz"),
    "contrast in a folder": ("t2_images/{0}.nii.gz", "labels/{0}.nii.gz"),
    "unnamed images": ("MR/{0}.nii.gz", "segmentations/{0}.nii.gz"),
    "nnU-Net": ("imagesTr/{0}_0000.nii.gz", "labelsTr/{0}.nii.gz"),
    "nnU-Net below": ("nnUNet_raw/Dataset005_K/imagesTr/{0}_0000.nii.gz", "nnUNet_raw/Dataset005_K/labelsTr/{0}.nii.gz"),
    "Decathlon": ("Task05/imagesTr/{0}.nii.gz", "Task05/labelsTr/{0}.nii.gz"),
    "patient": ("{0}/imaging.nii.gz", "{0}/segmentation.nii.gz"),
    "patient, contrast": ("{0}/t2w.nii.gz", "{0}/mask.nii.gz"),
    "patient, named twice": ("{0}/{0}_flair.nii.gz", "{0}/{0}_seg.nii.gz"),
    "patient, folders inside": ("{0}/image/1.nii.gz", "{0}/label/1.nii.gz"),
    "patient in a part": ("train/{0}/volume.nii.gz", "train/{0}/truth.nii.gz"),
    "BIDS": ("sub-{0}/anat/sub-{0}_T2w.nii.gz", "derivatives/labels/sub-{0}/anat/sub-{0}_T2w_seg-manual.nii.gz"),
    "BIDS, entities": (
        "sub-{0}/ses-1/anat/sub-{0}_ses-1_acq-ax_T2w.nii.gz",
        "derivatives/hand/sub-{0}/ses-1/anat/sub-{0}_ses-1_acq-ax_space-orig_desc-hand_label-gland_mask.nii.gz",
    ),
    "BIDS, no contrast": ("rawdata/sub-{0}/anat/sub-{0}_T1w.nii.gz", "derivatives/x/sub-{0}/anat/sub-{0}_dseg.nii.gz"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("top", ["", "label_study/"])
def test_every_image_gets_its_mask_and_its_patient(tmp_path, layout, top):
    image, mask = LAYOUTS[layout]
    numbers = [f"{n:03d}" if layout == "another word" else name for n, name in enumerate(names(), 1)]
    tree(tmp_path / "own", {top + image.format(name): top + mask.format(name) for name in numbers})
    (tmp_path / "own" / "README.md").write_text("hello")
    code, said, err = prepare(tmp_path / "own", tmp_path / "out")
    assert code == 0, said + err
    found = contents(tmp_path / "out")
    assert sorted(found) == [1, 2, 3, 4] and len({subject for _, subject, _ in found.values()}) == 4, found
    assert all(number in subject for number, (_, subject, _) in zip(numbers, (found[n] for n in sorted(found))))
    assert re.search(r"own +4 +4 +4  ", said) and "1 - texts and tables: README.md" in said


FAR = "notes/a/b"
JUNK = {
    "scan.dcm": "DICOM",
    "K9.mgz": "mri_convert",
    "K9.img": "pair of files",
    "K9.nii.bz2": "unpack it",
    "K9.png": "no millimetres",
    f"{FAR}/K9.npy": "write a slice set with numpy",
    "K9.nii.gz.dvc": "dvc pull",
    "K9.mnc": "convert to .nii.gz",
    "K9.xyz": "no format that is read here",
    "K9.nhdr": "save as .nrrd",
    "list.csv": "texts and tables",
}


@pytest.mark.parametrize("layout", ["siblings", "patient", "nnU-Net"])
def test_what_is_not_used_is_counted_by_reason_and_named(tmp_path, layout):
    image, mask = LAYOUTS[layout]
    tree(tmp_path / "own", {image.format(name): mask.format(name) for name in names()})
    for name in JUNK:
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_bytes(b"x")
    (tmp_path / "own" / "IM0001").write_bytes(bytes(128) + b"DICM")
    for hidden in (".DS_Store", "._K1.nii.gz", "Thumbs.db"):
        (tmp_path / "own" / hidden).write_bytes(b"x")
    code, said, _ = prepare(tmp_path / "own", tmp_path / "out", "--dry-run")
    assert code == 0 and not (tmp_path / "out").exists() and list(tmp_path.iterdir()) == [tmp_path / "own"]
    lines = re.split(r" (?=\d+ - )", " ".join(said.split()))
    for name, reason in {**JUNK, "IM0001": "DICOM"}.items():
        assert any(reason in line and name in line for line in lines), (name, lines)
    assert f"not used: {len(JUNK) + 1} files" in said and "DS_Store" not in said and "Thumbs" not in said
    assert max(map(len, said.replace(str(tmp_path), "").splitlines())) <= 80


def test_the_table_comes_with_every_data_set_and_a_dry_run_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "pmri"
    for site in ("RUNMC", "UCL"):
        for case in range(3):
            save(folder / site / f"Case{case:02d}.nii.gz", case + 1)
            save(folder / site / f"Case{case:02d}_segmentation.nii.gz", case + 1, mask=True)
    capsys.readouterr()
    before = sorted(tmp_path.rglob("*"))
    assert main(["prepare", "pmri", "--source", str(folder), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"RUNMC +3 +3 +3 ", said) and "UCL/Case00.nii.gz" in said and "RUNMC is the source" in said
    assert sorted(tmp_path.rglob("*")) == before


# ---- any other way: patterns and tables


@pytest.mark.parametrize(
    ("images", "masks", "image", "mask"),
    [
        ("*/mr/*.nii.gz", "*/hand/*.nii.gz", "{0}/mr/vol.nii.gz", "{0}/hand/vol.nii.gz"),
        ("**/{subject}_a.nii.gz", "outlines/{subject}.nii.gz", "x/y/{0}_a.nii.gz", "outlines/{0}.nii.gz"),
        ("in/{subject}/{session}.nii.gz", "in/{subject}/{session}-drawn.nii.gz", "in/{0}/b.nii.gz", "in/{0}/b-drawn.nii.gz"),
        ("{domain}/{subject}.{nii,nii.gz}", "{domain}/drawn/{subject}.nii.gz", "here/{0}.nii.gz", "here/drawn/{0}.nii.gz"),
        ("K*.nii.gz", "K*_x.nii.gz", "{0}.nii.gz", "{0}_x.nii.gz"),
        ("a?b/[a-z]*_{subject}.NII.gz", "d/?_{subject}.nii.gz", "axb/q_{0}.nii.gz", "d/9_{0}.nii.gz"),
    ],
)
def test_patterns_say_what_belongs_together(tmp_path, images, masks, image, mask):
    tree(tmp_path / "own", {image.format(name): mask.format(name) for name in names()})
    save(tmp_path / "own" / "odd.nii.gz", 9)
    code, said, err = prepare(tmp_path / "own", tmp_path / "out", "--images", images, "--masks", masks)
    assert code == 0, err
    found = contents(tmp_path / "out")
    assert [found[n][1] for n in sorted(found)] == names()
    assert "neither --images nor --masks matches them: odd.nii.gz" in " ".join(said.split())
    assert {domain for domain, _, _ in found.values()} == {"here" if "{domain}" in images else "own"}
    how = read_slice_set(tmp_path / "out").info["how_made"]
    assert "--images" in how and "--masks" in how


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--images", "*.mha"), "matches none of the 8 images and masks below --source, such as K1.nii.gz"),
        (("--images", "*_t2*", "--masks", "*"), "matches none"),
        (("--images", "*_seg.nii.gz", "--masks", "*.nii.gz"), "_seg.nii.gz, and no other file; make them differ"),
        (("--images", "K?.nii.gz", "--masks", "K*_*.nii.gz"), "not the same number of wildcards"),
        (("--images", "K1.nii.gz", "K2.nii.gz"), "put quotes around it"),
        (("--subject", "("), "is no regular expression"),
        (("--subject", "patient"), "--subject 'patient' finds nothing in 'K1'"),
        (("--domains-from", "folder"), "lies in no folder that could name its domain"),
        (("--domain", "a", "--domains-from", "folder"), "leave one of them out"),
        (("--source-domain", "b"), "there is no domain 'b'; there are: own"),
        (("--channel", "1"), "no image has the channel 1"),
        (("--table", "nowhere.csv"), "there is no table nowhere.csv"),
        (("--labels", "LV=1"), "is not STORED=OURS"),
        (("--labels", "5=LV", "--classes", "MYO"), "which --classes lacks (MYO)"),
    ],
)
def test_options_that_make_no_sense_are_answered_by_a_sentence(tmp_path, options, sentence):
    tree(tmp_path / "own", {f"{name}.nii.gz": f"{name}_seg.nii.gz" for name in names()})
    code, _, err = prepare(tmp_path / "own", tmp_path / "out", *options)
    assert code == 2 and sentence in err.splitlines()[-1], err
    assert not (tmp_path / "out").exists()


TABLES = {
    "two columns": "image,mask\n{0}\n",
    "no line of names": "{0}\n",
    "semicolons and a mark": "\ufeffImage;Mask\n{0}\n",
    "tabs": "image\tmask\n{0}\n",
    "blanks and quotes": '"image", "mask"\n\n{0}\n\n',
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_table_says_what_belongs_together(tmp_path, kind, encoding):
    if encoding == "cp1252" and "\ufeff" in TABLES[kind]:
        pytest.skip("no such mark in cp1252")
    separator = ";" if "semicolons" in kind else "\t" if kind == "tabs" else ","
    own = tmp_path / "own"
    tree(own, {f"a/m\u00fcller {name}.nii.gz": f"drawn/by hand {name}.nii.gz" for name in names()})
    save(own / "other.nii.gz", 9)
    rows = [f"a/m\u00fcller {name}.nii.gz{separator}drawn\\by hand {name}.nii.gz" for name in names()]
    table = tmp_path / "list.csv"
    table.write_bytes(TABLES[kind].format("\n".join(rows)).encode(encoding))
    code, said, err = prepare(own, tmp_path / "out", "--table", table)
    assert code == 0, err
    assert sorted(contents(tmp_path / "out")) == [1, 2, 3, 4] and "list.csv does not name them: other.nii.gz" in said


def test_a_tables_columns_name_subject_phase_and_domain(tmp_path):
    own = tmp_path / "own"
    tree(own, {f"{n}.nii.gz": f"x{n}.nii.gz" for n in range(1, 9)})
    north = [("north", *who) for who in (("anna", "1"), ("anna", "2"), ("bert", ""), ("carl", ""), ("dora", ""))]
    who = [*north, ("south", "anna", ""), ("south", "emil", "1"), ("south", "emil", "2")]
    lines = ["Image,Mask,Patient_ID,Session,Site"]
    lines += [f"{n}.nii.gz,x{n}.nii.gz,{s},{p},{d}" for n, (d, s, p) in enumerate(who, 1)]
    (own / "list.csv").write_text("\n".join(lines))
    code, said, err = prepare(own, tmp_path / "out", "--table", own / "list.csv", "--source-domain", "north")
    assert code == 0, err
    assert contents(tmp_path / "out") == dict(enumerate(who, 1))
    assert "north is the source: trained on, and split; south: for testing only" in said
    assert read_slice_set(tmp_path / "out").info["how_made"].endswith("--source-domain north")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; it needs a line of names"),
        ("picture,drawing\na,b\n", "has the columns picture, drawing; it needs"),
        ("image,mask\n", "names no image"),
        ("image,mask\nK1.nii.gz,gone.nii.gz\n", "line 2 of"),
        ("image,mask\nK1.nii.gz,K1_seg.nii.gz\nK1.nii.gz,K2_seg.nii.gz\n", "names K1.nii.gz in line 2 and again in line 3"),
        ("image,mask\nnotes.txt,K2_seg.nii.gz\n", "is none of .nii.gz"),
    ],
)
def test_a_table_that_cannot_be_used_is_answered_by_a_sentence(tmp_path, text, sentence):
    tree(tmp_path / "own", {f"{name}.nii.gz": f"{name}_seg.nii.gz" for name in names()})
    (tmp_path / "own" / "notes.txt").write_text("x")
    (tmp_path / "own" / "list.csv").write_text(text)
    code, _, err = prepare(tmp_path / "own", tmp_path / "out", "--table", tmp_path / "own" / "list.csv")
    assert code == 2 and sentence in err.splitlines()[-1], err


@pytest.mark.parametrize("kind", ["table", "patterns", "folders"])
def test_the_set_says_how_it_was_made_and_is_made_so_again(tmp_path, kind):
    own = tmp_path / "own"
    for number, (site, name) in enumerate([(site, name) for site in ("Oslo", "Rome") for name in names(4)], 1):
        save(own / site / f"{name}_1.nii.gz", number)
        mask = fuzz_layouts.volumes(number)[1] * 4
        nibabel.save(nibabel.Nifti1Image(mask, np.diag([1.0, 1, 5, 1])), own / site / f"{name}_1_seg.nii.gz")
    (own / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "edema": 1, "core": 4}}))
    rows = [f"{site}/{name}_1.nii.gz,{site}/{name}_1_seg.nii.gz,{site}" for site in ("Rome", "Oslo") for name in names(4)]
    (own / "list.csv").write_text("\n".join(["image,mask,domain", *rows]))
    options = {
        "table": ("--table", own / "list.csv", "--labels", "4=x"),
        "patterns": ("--images", "{domain}/*_1.nii.gz", "--masks", "{domain}/*_1_seg.nii.gz", "--source-domain", "Rome"),
        "folders": ("--domains-from", "folder", "--subject", "K."),
    }
    assert prepare(own, tmp_path / "one", *options[kind])[0] == 0
    how = shlex.split(read_slice_set(tmp_path / "one").info["how_made"])[5:]
    again = how[how.index("--keep-empty") + 1 :]  # the others are those of `prepare` above
    assert prepare(own, tmp_path / "two", *again)[0] == 0
    one, two = (read_slice_set(tmp_path / name) for name in ("one", "two"))
    assert one.info == two.info and one.table.equals(two.table) and set(one.domains) == {"Oslo", "Rome"}
    assert (one.masks[:] == two.masks[:]).all() and one.masks[:].max() == (1 if kind == "table" else 2)


# ---- one patient, one subject


@pytest.mark.parametrize(
    ("given", "patients"),
    [
        ("S7_ses-2 S7_ses-3 S8_ses-2", 2),
        ("S7-session1 S7-session12 S8", 2),
        ("kim_frame03 kim_frame11 lee_frame03", 2),
        ("a1_visit1_run-2 a1_visit2_run-1 a2", 2),
        ("x9_20190102 x9_2020-03-04 x8_20190102", 2),
        ("p4_pre p4_post p5_pre p5_post", 2),
        ("u01_t1 u01_t2 u02_t1", 2),
        ("c11_ED c11_ES c12_ED c12_ES", 2),
        ("sub-a_ses-x_T1w sub-a_ses-y_T1w sub-b_ses-x_T1w", 2),
        ("m1 m1_followup m2 m2_baseline", 2),
        ("r01a r01b r02a r02b r03a", 3),
        ("n5 n5\u00a0(1)".replace("\u00a0", " ") + "", 1),
        ("k1_L k1_R k2_L", 2),
        ("prostate_001 prostate_002 prostate_003", 3),  # numbers of patients
        ("site1_1 site1_2 site1_3 site2_1 site2_2", 5),
        ("heart_scan_1 heart_scan_2 heart_scan_3", 3),
        ("20200101 20200102 20200103", 3),
    ],
)
def test_sessions_frames_and_runs_are_one_patient(given, patients):
    listed = ["n5", "n5 (1)"] if "(1)" in given else given.split()
    found = people(listed)
    assert len({patient or name for name, (patient, _) in found.items()}) == patients
    assert len({(patient or name, rest) for name, (patient, rest) in found.items()}) == len(listed)  # phases tell them apart


@pytest.mark.parametrize(
    "form", ["{0}_ses-{1}", "{0}/visit{1}", "{0}/2021-0{1}-03/scan", "{0}_frame0{1}", "{0}/{0}_run-{1}_T2w"]
)
def test_no_patient_is_on_two_sides(tmp_path, form, capsys):
    stems = [form.format(name, visit) for name in names(6) for visit in (1, 2)]
    tree(tmp_path / "own", {f"{stem}.nii.gz": f"{stem}_mask.nii.gz" for stem in stems})
    assert prepare(tmp_path / "own", tmp_path / "out")[0] == 0
    data = read_slice_set(tmp_path / "out")
    assert set(data.table["subject"]) == set(names(6)) and set(data.table["split"]) == {"train", "val", "test"}
    assert data.table.groupby("subject")["phase"].nunique().eq(2).all()
    assert main(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    "form", ["V{0}/image", "2020010{0}/image", "scan_{0}/t1", "V{0}", "2020010{0}", "{0}/{0}", "study{0}/ses-1/scan"]
)
def test_a_name_that_may_be_a_session_is_a_patient_where_nothing_else_is(tmp_path, form):
    stems = [form.format(number) for number in range(1, 5)]
    tree(tmp_path / "own", {f"{stem}.nii.gz": f"{stem}_mask.nii.gz" for stem in stems})
    assert prepare(tmp_path / "own", tmp_path / "out")[0] == 0
    assert len({subject for _, subject, _ in contents(tmp_path / "out").values()}) == 4


def test_subject_overrides_what_names_say(tmp_path):
    stems = ["xx-anna-1", "xy-anna-2", "zz-bert-1", "zz-carl-7", "zz-dora-7"]
    tree(tmp_path / "own", {f"{stem}.nii.gz": f"{stem}_mask.nii.gz" for stem in stems})
    for regex in (r"^..-(\w+)-", "anna|bert|carl|dora"):
        assert prepare(tmp_path / "own", tmp_path / "out", "--subject", regex)[0] == 0
        found = contents(tmp_path / "out")
        assert [found[n][1] for n in sorted(found)] == ["anna", "anna", "bert", "carl", "dora"]
        assert len(set(found.values())) == 5


@pytest.mark.parametrize(
    "pair", [("q1_ses-1", "q1_ses-2"), ("q1_frame01", "q1_frame12"), ("q1", "q1_followup"), ("q1_v1", "q1_v2")]
)
def test_verify_reports_names_of_one_patient_in_two_splits(slice_set, capsys, pair):
    data = read_slice_set(slice_set)
    table = data.table.copy()
    table["subject"] = table["subject"].replace({"p0": pair[0], "p7": pair[1]})
    write_slice_set(slice_set, data.images[:].copy(), data.masks[:].copy(), table, data.info)
    assert main(["verify", str(slice_set)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith("DIFFERS")]
    assert line.startswith("names like one patient's") and f"1: {pair[0]}, {pair[1]}" in line
    made = {**data.info, "how_made": "python -m data_download prepare nifti --subject (.*) --classes gland"}
    write_slice_set(slice_set, data.images[:].copy(), data.masks[:].copy(), table, made)
    assert main(["verify", str(slice_set)]) == 0  # somebody said whose they are


def test_verify_finds_numbered_patients_good():
    assert not alike([f"patient{n:03d}" for n in range(100)]) and not alike([f"site1_{n:04d}" for n in range(30)])
    assert alike(["c1_0000", "c1_0001", "c2_0000", "c2_0001"]) == [["c1_0000", "c1_0001"], ["c2_0000", "c2_0001"]]


# ---- domains


@pytest.mark.parametrize(
    ("image", "mask", "option"),
    [
        ("{1}/images/{0}.nii.gz", "{1}/masks/{0}.nii.gz", "folder"),
        ("images/{1}/{0}.nii.gz", "masks/{1}/{0}.nii.gz", "folder"),
        ("all/{1}/{0}/img.nii.gz", "all/{1}/{0}/seg.nii.gz", "folder"),
        ("images_{1}/{0}.nii.gz", "masks_{1}/{0}.nii.gz", "folder"),
        ("{1}/sub-{0}/anat/sub-{0}_T2w.nii.gz", "{1}/derivatives/m/sub-{0}/anat/sub-{0}_T2w_dseg.nii.gz", "folder"),
        ("{0}_{1}.nii.gz", "{0}_{1}_seg.nii.gz", "_([A-Za-z]+)$"),
        ("{0}/{1}-scan.nii.gz", "{0}/{1}-seg.nii.gz", "GE|Philips"),
    ],
)
def test_domains_are_found_in_folders_and_names(tmp_path, image, mask, option):
    counts = {"GE": 3, "Philips": 5}
    pairs = {image.format(n, d): mask.format(n, d) for d, count in counts.items() for n in names(count)}
    tree(tmp_path / "own", pairs)
    code, said, err = prepare(tmp_path / "own", tmp_path / "out", "--domains-from", option)
    assert code == 0, err
    data = read_slice_set(tmp_path / "out")
    found = contents(tmp_path / "out")
    assert [domain for domain, _, _ in map(found.get, sorted(found))] == ["GE"] * 3 + ["Philips"] * 5
    assert data.info["source_domain"] == "Philips" and data.info["target_domains"] == ["GE"]  # that of most subjects
    assert set(data.table.query("domain == 'GE'")["split"]) == {"test"}
    assert "Philips is the source" in said
    subjects = data.table.groupby("domain")["subject"].nunique()
    assert (subjects["GE"], subjects["Philips"]) == (3, 5)


def test_folders_that_may_be_domains_are_named_and_those_of_patients_are_none(tmp_path):
    pairs = {f"{site}/{name}.nii.gz": f"{site}/{name}_seg.nii.gz" for site in ("Oslo", "Rome") for name in names(3)}
    tree(tmp_path / "own", pairs)
    said = prepare(tmp_path / "own", tmp_path / "out", "--dry-run")[1]
    assert "Oslo, Rome are one domain here; --domains-from folder makes one of each" in " ".join(said.split())
    tree(tmp_path / "other", {f"{name}/image.nii.gz": f"{name}/seg.nii.gz" for name in names(3)})
    code, said, err = prepare(tmp_path / "other", tmp_path / "out", "--domains-from", "folder")
    assert code == 2 and "would make a domain of every patient (K1, K2, K3)" in err and "one domain here" not in said


# ---- what is refused, and what helps


def test_a_mask_that_was_taken_for_an_image_stops_the_command(tmp_path):
    kinds = (
        ("a", np.uint8, "K1_organ.nii.gz"),
        ("b", np.float32, "zone/K2.nii"),
        ("c", np.int16, "x.nrrd"),
        ("d", np.float64, "K2x.mha"),
    )
    for kind, dtype, name in kinds:
        own = tmp_path / kind
        tree(own, {f"{name}.nii.gz": None for name in names()})
        mask = fuzz_layouts.volumes(1)[1].astype(dtype) * 7
        (own / name).parent.mkdir(exist_ok=True)
        fuzz_layouts.save(mask, own / name)
        for options in ((), ("--dry-run",), ("--skip-bad",)):
            code, _, err = prepare(own, tmp_path / "out", *options)
            assert code == 2 and f"{own / name} was taken for an image and looks like a mask" in err, err
            assert "only the whole numbers 0, 7" in err and "--images-anyway" in err and not (tmp_path / "out").exists()
        assert prepare(own, tmp_path / f"out-{kind}", "--images-anyway")[0] == 0
        assert "--images-anyway" in read_slice_set(tmp_path / f"out-{kind}").info["how_made"]


@pytest.mark.parametrize("layout", ["ending", "siblings", "patient", "nnU-Net", "BIDS"])
def test_one_mask_that_is_missing_is_named_as_the_others_are(tmp_path, layout):
    image, mask = LAYOUTS[layout]
    tree(tmp_path / "own", {image.format(name): mask.format(name) for name in names(5)})
    (tmp_path / "own" / mask.format("K4")).unlink()
    code, said, err = prepare(tmp_path / "own", tmp_path / "out")
    assert (
        code == 2 and f"{image.format('K4')} has no mask, and 4 others have one" in err and f"add {mask.format('K4')}" in err
    )
    assert "something is wrong with the files of 1 subjects" in said
    code, said, _ = prepare(tmp_path / "own", tmp_path / "out", "--skip-bad")
    assert code == 0 and sorted(contents(tmp_path / "out")) == [1, 2, 3, 5] and "left out by --skip-bad: 1 subjects" in said


@pytest.mark.parametrize("part", ["imagesTs", "test", "unlabelled"])
def test_a_part_without_any_mask_is_set_aside_with_a_line(tmp_path, part):
    tree(tmp_path / "own", {f"imagesTr/{name}_0000.nii.gz": f"labelsTr/{name}.nii.gz" for name in names()})
    save(tmp_path / "own" / part / "new_0000.nii.gz", 9)
    code, said, err = prepare(tmp_path / "own", tmp_path / "out")
    assert code == 0, err
    assert f"1 - {part} holds no mask at all: prepare it as a set of its own, with --source" in " ".join(said.split())
    assert sorted(contents(tmp_path / "out")) == [1, 2, 3, 4]


SEVERAL = {
    "BraTS": (["{0}/{0}_t1", "{0}/{0}_t2", "{0}/{0}_flair"], "{0}/{0}_seg", "**/*_flair.nii.gz"),
    "one seg for two": (["{0}/adc", "{0}/t2w"], "{0}/seg", "*/t2w.nii.gz"),
    "BIDS": (
        ["sub-{0}/anat/sub-{0}_T1w", "sub-{0}/anat/sub-{0}_T2w"],
        "derivatives/x/sub-{0}/anat/sub-{0}_dseg",
        "**/*_T2w*",
    ),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_a_mask_of_several_images_is_not_guessed_and_images_chooses(tmp_path, kind):
    images, mask, chosen = SEVERAL[kind]
    for number, name in enumerate(names(), 1):
        for image in images:
            save(tmp_path / "own" / f"{image.format(name)}.nii.gz", number if image == images[-1] else 50)
        save(tmp_path / "own" / f"{mask.format(name)}.nii.gz", number, mask=True)
    code, _, err = prepare(tmp_path / "own", tmp_path / "out")
    assert code == 2 and f"could be the mask of {len(images)} images, such as" in err and "--images" in err
    code, said, err = prepare(tmp_path / "own", tmp_path / "out", "--images", chosen)
    assert code == 0, err
    assert sorted(contents(tmp_path / "out")) == [1, 2, 3, 4] and "--images does not match them" in said


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("sub-{0}/anat/sub-{0}_T1w.nii.gz", "no image called t1w has a mask, others do"),
        ("derivatives/prep/sub-{0}/anat/sub-{0}_desc-preproc_T2w.nii.gz", "images in derivatives/, made from others"),
        ("sub-{0}/anat/sub-{0}_4d.nii.gz", "films (4d), which have no mask"),
    ],
)
def test_images_that_need_no_mask_are_set_aside_with_a_line(tmp_path, more, reason):
    image, mask = "sub-{0}/anat/sub-{0}_T2w.nii.gz", "derivatives/m/sub-{0}/anat/sub-{0}_space-T2w_label-x_mask.nii.gz"
    tree(tmp_path / "own", {image.format(name): mask.format(name) for name in names()})
    for name in names():
        save(tmp_path / "own" / more.format(name), 50)
    code, said, err = prepare(tmp_path / "own", tmp_path / "out")
    assert code == 0, err
    assert f"4 - {reason}" in " ".join(said.split()) and sorted(contents(tmp_path / "out")) == [1, 2, 3, 4]


def both_endings(own):
    return save(own / "K3.nii", 9)


def two_masks(own):
    return save(own / "K3_outline.nii.gz", 9, mask=True)


def no_image(own):
    (own / "K3.nii.gz").unlink()
    return own / "K3_seg.nii.gz"


def mask_is_a_link_to_nothing(own):
    (own / "K3_seg.nii.gz").unlink()
    (own / "K3_seg.nii.gz").symlink_to("../.git/annex/objects/K3")
    return own / "K3_seg.nii.gz"


def image_is_a_link_to_nothing(own):
    (own / "K3.nii.gz").unlink()
    (own / "K3.nii.gz").symlink_to("/nowhere/K3")
    return own / "K3.nii.gz"


def pointer(own):
    (own / "K3_seg.nii.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    return own / "K3_seg.nii.gz"


def folder_with_a_files_name(own):
    (own / "K3.nii.gz").unlink()
    return save(own / "K3.nii.gz" / "K3.nii", 9)


FAULTS = {
    both_endings: "are images of one name; remove one of them",
    two_masks: "are masks of one image; remove one of them",
    no_image: "is a mask without an image; add the image",
    mask_is_a_link_to_nothing: "is a link to nothing; fetch its content first (git-annex: datalad get; DVC: dvc pull",
    image_is_a_link_to_nothing: "is a link to nothing",
    pointer: "is the pointer to a file that is elsewhere; fetch its content first",
    folder_with_a_files_name: "lies in a folder that is called as a file is, K3.nii.gz; rename the folder",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_named_with_what_helps_and_its_subject_can_be_left_out(tmp_path, fault):
    own = tmp_path / "own"
    tree(own, {f"{name}.nii.gz": f"{name}_seg.nii.gz" for name in names(5)})
    path = fault(own)
    code, said, err = prepare(own, tmp_path / "out")
    assert code == 2 and FAULTS[fault] in err and str(path) in err, err
    assert "something is wrong with the files of 1 subjects: K3" in said
    assert prepare(own, tmp_path / "out", "--skip-bad")[0] == 0
    assert sorted(contents(tmp_path / "out")) == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ((), "holds no images (.nii.gz"),
        (("a.dcm", "b.dcm"), "it holds 2 such as a.dcm (DICOM: convert the series with dcm2niix"),
        (("a.mgz",), "mri_convert"),
        (("a.png", "b.png"), "write a slice set with numpy"),
    ],
)
def test_a_folder_without_images_says_what_it_holds(tmp_path, files, sentence):
    (tmp_path / "own").mkdir()
    for name in files:
        (tmp_path / "own" / name).write_bytes(b"x")
    code, _, err = prepare(tmp_path / "own", tmp_path / "out")
    assert code == 2 and sentence in err


def test_images_beside_a_folder_of_masks_and_masks_alone(tmp_path):
    tree(tmp_path / "own", {f"images/{name}.nii.gz": f"masks/{name}.nii.gz" for name in names()})
    code, said, _ = prepare(tmp_path / "own" / "images", tmp_path / "out")
    assert code == 0 and f"beside it is masks: --source {tmp_path / 'own'} would use both" in " ".join(said.split())
    code, _, err = prepare(tmp_path / "own" / "masks", tmp_path / "out2")
    assert code == 2 and "looks like a mask" in err


# ---- labels


@pytest.mark.parametrize(
    ("classes", "given", "stored", "names_", "labels"),
    [
        (None, None, {}, ["foreground"], {1: 1}),
        (None, ["255=1"], {}, ["foreground"], {255: 1}),
        (None, ["205=LV", "420=MYO", "600=RV"], {}, ["LV", "MYO", "RV"], {205: 1, 420: 2, 600: 3}),
        (["a", "b"], ["7=0"], {}, ["a", "b"], {1: 1, 2: 2, 7: 0}),
        (["a"], ["1=a", "2=a"], {}, ["a"], {1: 1, 2: 1}),
        (["a", "b"], ["4=b"], {}, ["a", "b"], {1: 1, 4: 2}),
        (None, None, {1: "edema", 4: "core"}, ["edema", "core"], {1: 1, 4: 2}),
        (None, ["9=0"], {1: "edema", 4: "core"}, ["edema", "core"], {1: 1, 4: 2, 9: 0}),
        (None, ["2=1", "3=2"], {}, ["class1", "class2"], {2: 1, 3: 2}),
    ],
)
def test_what_labels_mean(classes, given, stored, names_, labels):
    assert classes_and_labels(classes, given, stored) == (names_, labels)


@pytest.mark.parametrize("factor", [255, 7, 420])
def test_labels_are_mapped_and_the_command_is_kept(tmp_path, factor):
    own = tmp_path / "own"
    for number, name in enumerate(names(), 1):
        save(own / f"{name}.nii.gz", number)
        mask = fuzz_layouts.volumes(number)[1].astype(np.int16) * factor
        nibabel.save(nibabel.Nifti1Image(mask, np.diag([1.0, 1, 5, 1])), own / f"{name}_seg.nii.gz")
    code, _, err = prepare(own, tmp_path / "out")
    assert code == 2 and str(factor) in err and "--labels" in err
    assert prepare(own, tmp_path / "out", "--labels", f"{factor}=gland")[0] == 0
    assert sorted(contents(tmp_path / "out")) == [1, 2, 3, 4]
    info = read_slice_set(tmp_path / "out").info
    assert info["class_names"] == ["gland"] and f"--labels {factor}=gland --classes gland --domain own" in info["how_made"]
    assert prepare(own, tmp_path / "none", "--labels", f"{factor}=0")[0] == 0
    assert not read_slice_set(tmp_path / "none").masks[:].any()


@pytest.mark.parametrize(
    "labels", [{"background": 0, "x": 1}, {"0": "background", "1": "x"}, {"background": 0, "x": 1, "ignore": 2}]
)
def test_names_of_labels_come_from_nnunets_file(tmp_path, labels):
    tree(tmp_path / "own", {f"imagesTr/{name}_0000.nii.gz": f"labelsTr/{name}.nii.gz" for name in names()})
    (tmp_path / "own" / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert prepare(tmp_path / "own", tmp_path / "out")[0] == 0
    info = read_slice_set(tmp_path / "out").info
    assert info["class_names"] == ["x"] and info["how_made"].endswith("--classes x --domain own")
    assert prepare(tmp_path / "own", tmp_path / "out", "--classes", "mine")[0] == 0
    assert read_slice_set(tmp_path / "out").class_names == ["mine"]


@pytest.mark.parametrize("channel", [None, 0, 1])
def test_one_channel_is_taken_and_the_others_are_named(tmp_path, channel):
    own = tmp_path / "own"
    for number, name in enumerate(names(), 1):
        for which in (0, 1, 2):
            save(own / "imagesTr" / f"{name}_{which:04d}.nii.gz", number + 100 * (which != (channel or 0)))
        save(own / "labelsTr" / f"{name}.nii.gz", number, mask=True)
    code, said, err = prepare(own, tmp_path / "out", *([] if channel is None else ["--channel", channel]))
    assert code == 0, err
    assert sorted(contents(tmp_path / "out")) == [1, 2, 3, 4] and "not used: 8 files" in said
    assert "a slice set holds one channel: --channel 2 takes this one" in " ".join(said.split())


# ---- folders drawn at random


def test_folders_at_random_are_prepared_as_they_are_or_refused(tmp_path):
    counts, wrong = fuzz_layouts.campaign(100, seed=7, folder=tmp_path)
    assert not wrong, "\n".join(wrong)
    prepared = {layout for layout, outcome in counts if outcome == "prepared" and counts[layout, outcome]}
    assert len(prepared) == 6 and sum(counts.values()) == 100


def test_links_to_folders_and_files_are_followed(tmp_path):
    tree(tmp_path / "disk", {f"{name}.nii.gz": f"{name}_seg.nii.gz" for name in names()})
    (tmp_path / "whole").symlink_to(tmp_path / "disk")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "site").symlink_to(tmp_path / "disk")
    (tmp_path / "files").mkdir()
    for path in (tmp_path / "disk").iterdir():
        os.symlink(path, tmp_path / "files" / path.name)
    for kind in ("whole", "inside", "files"):
        assert prepare(tmp_path / kind, tmp_path / f"out-{kind}")[0] == 0
        assert sorted(contents(tmp_path / f"out-{kind}")) == [1, 2, 3, 4]
