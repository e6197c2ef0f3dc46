"""Published sets as people have them: other endings and cases, hidden files, links, parts side by side, folders that may not
be listed. What is there is used, or named with a reason."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from advconf_lite.support.errors import BadInput
from data_download.preparing.files import VOLUMES, is_hidden, listed
from data_download.preparing.inventory import Inventory
from data_download.sets import DATASETS


def touched(root, *names):
    """A tree of empty files: what is looked for is found by its name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")


def acdc(root):
    for patient in ("training/patient001", "training/patient002", "testing/patient101"):
        name = f"{patient}/{patient[-10:]}"
        frames = [f"{name}_frame{number}{end}.nii.gz" for number in ("01", "12") for end in ("", "_gt")]
        touched(root, *frames, f"{name}_4d.nii.gz", f"{patient}/Info.cfg", f"{patient}/MANDATORY_CITATION.md")
        (root / patient / "Info.cfg").write_text("ED: 1\nES: 12\n")


def mnms2(root):
    for subject in ("001", "002", "003"):
        names = [f"{axis}_{end}" for axis in ("SA", "LA") for end in ("CINE", "ED", "ED_gt", "ES", "ES_gt")]
        touched(root, *[f"MnM2/dataset/{subject}/{subject}_{name}.nii.gz" for name in names])
    (root / "MnM2/dataset_information.csv").write_text("SUBJECT_CODE,SCANNER\n1,SymphonyTim\n2,Avanto\n3,Signa HDxt\n")


def pmri(root):
    for site, end in (("RUNMC", "_segmentation"), ("BMC", "_Segmentation")):
        for case in ("Case00", "Case01"):
            touched(root, *[f"Processed_data_nii/{site}/{case}{which}.nii.gz" for which in ("", end)])


def promise12(root):
    for case in ("Case00", "Case13", "Case38"):
        touched(root, *[f"training_data/{case}{end}" for end in (".mhd", ".raw", "_segmentation.mhd", "_segmentation.raw")])


BUILD = {"acdc": acdc, "mnms2": mnms2, "pmri": pmri, "promise12": promise12}
SETS = pytest.mark.parametrize("name", BUILD)


@pytest.fixture
def source(name, tmp_path):
    BUILD[name](tmp_path / "source")
    return tmp_path / "source"


def found(name, folder, skip_bad=False):
    inventory = Inventory(skip_bad)
    DATASETS[name].find(folder, inventory)
    return inventory


def pairs(inventory):
    return {(scan.domain, scan.subject, scan.phase): (scan.image, scan.mask) for scan in inventory.scans}


def volumes(folder):
    return [path for path in sorted(folder.rglob("*")) if path.name.lower().endswith(VOLUMES)]


@SETS
def test_everything_is_used_or_named_with_a_reason(name, source):
    (source / "notes.md").write_text("x")
    inventory = found(name, source)
    used = {path for scan in inventory.scans for path in (scan.image, scan.mask)}
    named = {path for paths in inventory.ignored.values() for path in paths}
    config = {"Info.cfg", "dataset_information.csv"}
    left = {path for path in source.rglob("*") if path.is_file() and path.suffix != ".raw" and path.name not in config}
    assert left == used | named and not used & named and all(path.is_file() for path in used)


@SETS
@pytest.mark.parametrize("rename", [str.upper, str.lower, str.title], ids=["upper", "lower", "title"])
def test_names_and_endings_in_any_case(name, source, rename):
    before = pairs(found(name, source))
    for path in sorted(source.rglob("*"), reverse=True):
        if name != "promise12" or path.suffix != ".raw":
            path.rename(path.with_name(rename(path.name)))
    after = pairs(found(name, source))
    assert after.keys() == before.keys()
    assert all(image.is_file() and mask.is_file() for image, mask in after.values())


@SETS
@pytest.mark.parametrize("ending", [".nii", ".mha", ".NRRD"])
def test_masks_and_images_may_have_different_endings(name, source, ending):
    before = pairs(found(name, source))
    masks = [mask for _, mask in before.values()]
    for path in masks:
        base = path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".mhd")
        path.rename(path.with_name(base + ending))
    after = pairs(found(name, source))
    assert after.keys() == before.keys()
    assert all(image == before[key][0] and mask.name.endswith(ending) for key, (image, mask) in after.items())


@SETS
def test_hidden_files_are_as_if_they_were_not_there(name, source):
    before = pairs(found(name, source))
    shutil.copytree(source, source.parent / "copy")
    for path in list(source.rglob("*")):
        if path.is_file():
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (source / ".DS_Store").write_bytes(b"\0")
    shutil.move(source.parent / "copy", source / "__MACOSX")
    inventory = found(name, source)
    assert pairs(inventory) == before
    assert not any(is_hidden(path) for paths in inventory.ignored.values() for path in paths)


@SETS
@pytest.mark.parametrize("which", ["image", "mask"])
def test_a_link_to_nothing_is_named_and_its_subject_may_be_left_out(name, source, which):
    inventory = found(name, source)
    scan = inventory.scans[0]
    path = getattr(scan, which)
    path.unlink()
    path.symlink_to("../.git/annex/objects/x")
    with pytest.raises(BadInput, match="is a link to nothing .*datalad get") as caught:
        found(name, source)
    assert path.name in str(caught.value)
    less = found(name, source, skip_bad=True)
    assert len(less.left_out) == 1 and scan.person not in {other.person for other in less.scans} and less.scans


@SETS
def test_linked_folders_are_followed_and_circles_are_not(name, source):
    (source.parent / "linked").mkdir()
    for path in source.iterdir():
        (source.parent / "linked" / path.name).symlink_to(path, target_is_directory=path.is_dir())
    (source.parent / "linked" / "round").symlink_to(source.parent / "linked")
    assert pairs(found(name, source.parent / "linked")).keys() == pairs(found(name, source)).keys()


@SETS
def test_the_same_scan_in_two_formats_is_refused(name, source):
    image = found(name, source).scans[0].image
    shutil.copy(image, image.with_name(image.name.split(".")[0] + ".nrrd"))
    with pytest.raises(BadInput, match="are both .*; remove one of them"):
        found(name, source)


# ---- parts side by side


@pytest.mark.parametrize("part", ["test_data", "livechallenge_test_data", "Test_Data"])
@pytest.mark.parametrize("inside", ["", "PROMISE12"])
def test_promise12s_test_cases_are_ignored_beside_the_training_cases(tmp_path, part, inside):
    promise12(tmp_path / "built")
    top = tmp_path / "p" / inside
    shutil.move(folder_of_volumes(tmp_path / "built"), top / "training_data")
    (top / part).mkdir()
    for path in (top / "training_data").glob("Case*[0-9].*"):
        shutil.copy(path, top / part / path.name.replace("Case38", "Case30"))
    inventory = found("promise12", tmp_path / "p")
    assert len(inventory.scans) == 3
    (reason,) = inventory.ignored
    assert "test cases" in reason and all(part in path.parts for path in inventory.ignored[reason])
    with pytest.raises(BadInput, match="holds no training cases CaseNN.mhd; give the folder training_data"):
        found("promise12", top / part)


def folder_of_volumes(built):
    return volumes(built)[0].parent


# ---- folders that may not be listed


@pytest.fixture
def shut(monkeypatch):
    """Folders whose names are in this set may not be listed, whoever runs the tests."""
    names = set()

    def iterdir(path, original=Path.iterdir):
        if path.name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    return names


@pytest.mark.parametrize(("name", "patient"), [("acdc", "patient002"), ("mnms2", "001"), ("mnms2", "002")])
def test_a_patients_folder_that_may_not_be_listed_is_left_out_on_request(name, patient, source, shut):
    shut.add(patient)
    with pytest.raises(BadInput, match=f"{patient} cannot be listed .*--skip-bad"):
        found(name, source)
    inventory = found(name, source, skip_bad=True)
    assert len(inventory.left_out) == 1 and {scan.subject for scan in inventory.scans} and patient not in {
        scan.subject for scan in inventory.scans
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "folder"), [("acdc", "training"), ("pmri", "RUNMC"), ("mnms2", "dataset"), ("promise12", "training_data")]
)
def test_any_other_folder_that_may_not_be_listed_is_one_sentence(name, folder, source, shut):
    shut.add(folder)
    with pytest.raises(BadInput, match="cannot be listed .*; give yourself the permission to read it"):
        found(name, source, skip_bad=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may enter any folder")
def test_a_folder_that_may_be_listed_and_not_entered(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").touch()
    (tmp_path / "x").chmod(0o400)
    with pytest.raises(BadInput, match="cannot be listed"):
        listed(tmp_path / "x")
    (tmp_path / "x").chmod(0o700)


def test_info_cfg_that_may_not_be_read_concerns_its_patient(tmp_path):
    acdc(tmp_path)
    config = next(tmp_path.rglob("patient002/Info.cfg"))
    config.unlink()
    config.mkdir()
    inventory = found("acdc", tmp_path, skip_bad=True)
    assert len(inventory.left_out) == 1 and "Info.cfg cannot be read" in inventory.left_out[0]


def test_masks_unpacked_by_the_browser_are_found(tmp_path):
    acdc(tmp_path)
    for path in list(tmp_path.rglob("*_gt.nii.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert all(scan.mask.suffix == ".nii" and scan.mask.is_file() for scan in found("acdc", tmp_path).scans)
