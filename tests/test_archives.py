"""The synthetic archives are what datasets look like, and what `prepare` makes of them passes `verify`."""

import json
import shutil
from dataclasses import replace

import archives
import nibabel
import numpy as np
import pandas as pd
import pytest

from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.settings import Settings
from data_download.__main__ import main

FEW = {"Symphony": 4, "Trio": 1, "Avanto": 2, "HDxt": 2, "EXCITE": 1, "Explorer": 1, "Achieva": 3}


def stored(path):
    return np.asanyarray(nibabel.load(path).dataobj)


# ---- the archives


def test_mnms2_has_the_layout_of_the_real_archive(tmp_path):
    volumes = archives.mnms2(tmp_path, FEW, padding=1000)
    text = (tmp_path / "MnM2" / "dataset_information.csv").read_text().splitlines()
    assert text[0] == "SUBJECT_CODE,DISEASE,VENDOR,SCANNER,FIELD" and text.count(",,,,") == 1000
    table = pd.read_csv(tmp_path / "MnM2" / "dataset_information.csv").dropna(how="all")
    assert list(table["SUBJECT_CODE"]) == list(range(1, 15)) and table["SCANNER"].nunique() == 7
    assert set(table["VENDOR"]) == {"SIEMENS", "GE MEDICAL SYSTEMS", "Philips Medical Systems"}
    names = {path.name for path in (tmp_path / "MnM2" / "dataset" / "001").iterdir()}
    ends = ("CINE", "ED", "ED_gt", "ES", "ES_gt")
    assert names == {f"001_{axis}_{end}.nii.gz" for axis in ("SA", "LA") for end in ends}
    assert archives.totals(volumes, "subjects") == FEW and len(volumes) == 28
    for volume in volumes:
        image, mask = nibabel.load(volume.image), stored(volume.mask)
        assert "".join(nibabel.aff2axcodes(image.affine)) == volume.codes
        assert image.shape == mask.shape == (30, 26, volume.slices)
        assert np.allclose(image.header.get_zooms(), (volume.spacing_mm, volume.spacing_mm, volume.slice_mm), rtol=1e-3)
        assert int((mask > 0).any(axis=(0, 1)).sum()) == volume.filled
        assert int((mask < 0).sum()) == volume.negatives
    assert {volume.codes for volume in volumes} == {"LPS", "PIR", "PIL", "IRA"}
    skew = {v.subject: orthonormality(nibabel.load(v.image).affine) for v in volumes}
    assert {name for name, size in skew.items() if size > 1e-3} == {v.subject for v in volumes if v.sheared}
    assert sum(v.sheared for v in volumes) == 2 and sum(v.negatives > 0 for v in volumes) == 4


def orthonormality(affine):
    """Largest entry of R^T R - I."""
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return np.abs(columns.T @ columns - np.eye(3)).max()


def test_saml_has_the_layout_of_the_real_archive(tmp_path):
    volumes = archives.saml(tmp_path, {"RUNMC": 2, "BMC": 2, "HK": 1})
    site = tmp_path / "Processed_data_nii"
    assert sorted(path.name for path in (site / "BMC").iterdir())[:2] == ["Case00.nii.gz", "Case00_Segmentation.nii.gz"]
    assert (site / "RUNMC" / "Case01_segmentation.nii.gz").is_file()
    labels = {volume.domain: set(np.unique(stored(volume.mask))) for volume in volumes}
    assert labels == {"RUNMC": {0, 1, 2}, "BMC": {0, 1, 2}, "HK": {0, 1}}


def test_slice_totals_of_the_whole_archives_are_the_papers(tmp_path):
    volumes = archives.mnms2_plan(tmp_path)
    assert len(volumes) == 720 and sum(archives.totals(volumes, "filled").values()) == 6112
    assert sum(archives.totals(volumes, "slices").values()) == 8128
    volumes = archives.saml_plan(tmp_path)
    assert len(volumes) == 116 and archives.totals(volumes, "published") == archives.SAML_PUBLISHED
    assert archives.totals(volumes, "filled") == {name: row[1] for name, row in archives.SAML.items()}
    for volume in volumes:
        assert archives.SAML[volume.domain][2] <= volume.spacing_mm <= archives.SAML[volume.domain][3]


# ---- prepared


def prepared(name, source, out, *options):
    assert main(["prepare", name, "--source", str(source), "--out", str(out), *map(str, options)]) == 0
    return read_slice_set(out)


def is_upright(image, mask, spot_from=1200):
    """RV to the left of the LV, and the bright spot below it, as rows grow downwards."""
    lv, rv = (np.argwhere(mask == label).mean(axis=0) for label in (1, 3))
    spot = np.argwhere(image > spot_from).mean(axis=0)
    return rv[1] < lv[1] and spot[0] > lv[0]


def test_hearts_of_every_orientation_come_out_the_same_way_up(tmp_path):
    volumes = archives.mnms2(tmp_path / "source", FEW)
    data = prepared("mnms2", tmp_path / "source", tmp_path / "out", "--size", 48)
    filled = archives.totals(volumes, "filled")
    assert dict(data.table.groupby("domain").size()) == filled
    assert all(is_upright(data.images[row], data.masks[row]) for row in range(len(data)))
    raw = prepared("mnms2", tmp_path / "source", tmp_path / "raw", "--size", 48, "--orientation", "as-stored")
    assert not all(is_upright(raw.images[row], raw.masks[row]) for row in range(len(raw)))


@pytest.mark.slow
def test_mnms2_in_full_passes_and_fails_without_one_case(tmp_path, capsys):
    archives.mnms2(tmp_path / "source", padding=1_000_000)
    prepared("mnms2", tmp_path / "source", tmp_path / "out", "--size", 32)
    assert main(["verify", str(tmp_path / "out")]) == 0, capsys.readouterr().out
    drop_subject(tmp_path / "out", tmp_path / "less", "HDxt")
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "less")]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert "HDxt (subjects)" in last and "HDxt (slices with a label)" in last and "Symphony" not in last


@pytest.mark.slow
@pytest.mark.parametrize("geometry", ["in-plane", "published-code"])
def test_saml_in_full_passes_in_both_geometries_and_fails_without_one_case(geometry, tmp_path, capsys):
    volumes = archives.saml(tmp_path / "source")
    flags = ["--geometry", geometry] * (geometry == "published-code")
    prepared("pmri", tmp_path / "source", tmp_path / "out", "--size", 32, *flags)
    assert main(["verify", str(tmp_path / "out")]) == 0, capsys.readouterr().out
    gone = next(volume for volume in volumes if volume.domain == "BMC")
    gone.image.unlink(), gone.mask.unlink()
    shutil.rmtree(tmp_path / "out")
    prepared("pmri", tmp_path / "source", tmp_path / "out", "--size", 32, *flags)
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("BMC (subjects), BMC (slices with a label)")


@pytest.mark.slow
def test_promise12_in_full_passes(tmp_path, capsys):
    archives.promise12(tmp_path / "source")
    prepared("promise12", tmp_path / "source", tmp_path / "out", "--size", 32)
    assert main(["verify", str(tmp_path / "out")]) == 0, capsys.readouterr().out


def test_acdc_passes_but_for_the_patients_that_are_not_there(tmp_path, capsys):
    archives.acdc(tmp_path / "source", [1, 2, 3, 101])
    data = prepared("acdc", tmp_path / "source", tmp_path / "out", "--size", 32)
    assert len(data) == 4 * 2 * 7 and json.loads((tmp_path / "out" / "dataset.json").read_text())["sha256"]
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("differ: ACDC (subjects)")


def drop_subject(folder, to, domain):
    """The set without the first subject of a domain."""
    data = read_slice_set(folder)
    first = data.table.loc[data.table["domain"] == domain, "subject"].iloc[0]
    keep = np.flatnonzero((data.table["domain"] != domain) | (data.table["subject"] != first))
    write_slice_set(to, data.images[keep], data.masks[keep], data.table.iloc[keep], data.info)


# ---- the paper's profile


def two_steps():
    """The paper profile with two steps of each stage, two images a step: U-Net, warm-up, Algorithm 1."""
    settings = replace(Settings.paper(), warmup_batches=2, batch_size=2)
    return replace(
        PROFILES["paper"], settings=settings, segmenter_steps=2, segmenter_batch=2, head_steps=4, steps_per_epoch=2,
        checkpoint_steps=2,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "quality"), [("mnms2", "surface_dice"), ("pmri", "dice")])
def test_the_paper_profile_takes_two_steps_of_each_stage(name, quality, tmp_path):
    """The paper's network, settings and image size on an archive with few slices: a reproducer's way, walked before."""
    if name == "mnms2":
        number, size = {"Symphony": 3, "HDxt": 1, "Achieva": 1}, 256
        archives.mnms2(tmp_path / "source", number, size=(200, 180), depth=(2, 1))
    else:
        number, size = {"RUNMC": 3, "BMC": 1, "BIDMC": 1}, 384
        archives.saml(tmp_path / "source", number, size=384, depth=(2, 1))
    data = prepared(name, tmp_path / "source", tmp_path / "data")
    assert data.images.shape[1:] == (size, size) and data.spacing_mm == (1.0 if name == "mnms2" else 0.5)
    methods = ("plain", "adversarial", "agreement-2")
    run = Run(tmp_path / "run", str(tmp_path / "data"), two_steps(), quality, methods, progress=False)
    assert run.experiment.size == size and run.experiment.spacing_mm == data.spacing_mm
    segmenter = run.segmenter()
    assert tuple(segmenter.feature_shape(size)) == (64, size // 4, size // 4)
    heads, scores = run.predict_heads(), run.predict_agreement()
    assert set(heads["domain"]) == set(scores["domain"]) == set(number)
    assert np.isfinite(heads["predicted_score"]).all() and scores["predicted_score"].between(0, 1).all()
    history = run.history()
    assert history.query("stage == 'segmenter'")["step"].max() == 2
    for method in ("plain", "adversarial"):
        assert list(history.loc[history["method"] == method, "step"]) == [1, 2, 3, 4]
    assert list(history.query("method == 'adversarial'")["alpha"].notna()) == [False, False, True, True]
    assert set(run.metrics()["method"]) == {*methods, "constant"}
