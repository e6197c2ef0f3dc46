"""Random folders of own images: `python tests/fuzz_layouts.py --number 1000 --seed 0`.

Each tree has a layout, names, sessions, domains and formats drawn at random, some with a fault, and junk between them.
The generator knows which mask belongs to which image and whose both are. A prepared set must have exactly these pairs, or
the command must refuse: never a traceback, a file that is neither used nor named, or a patient on two sides.
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK

from advconf_lite.data.slices import read_slice_set
from data_download.__main__ import main as command

SHAPE = (8, 8, 2)
OUTCOMES = ("prepared", "refused", "dry run", "wrong")
PATIENTS = ("P{}", "patient{:03d}", "case_{:05d}", "S{:02d}", "Müller {}", "ab-{}", "heart_{:04d}", "{}", "BraTS20_{:03d}")
SESSIONS = (
    "_ses-{}",
    "_session{}",
    "_frame{:02d}",
    "_visit{}",
    "_tp{}",
    "_run-{}",
    "_2020-0{}-01",
    "_202001{:02d}",
    "-ses{}",
)
MASKS = ("{}_seg", "{}_gt", "{}_segmentation", "{}_mask", "{}_label", "{}_labels", "{}_dseg", "{}-label", "{}-seg", "seg_{}",
         "mask-{}", "{}_GT", "{}_Segmentation", "{}.seg", "{}_roi", "label_{}")  # fmt: skip
FOLDERS = (("images", "masks"), ("image", "mask"), ("imgs", "labels"), ("Img", "Label"), ("scans", "segmentations"),
           ("volumes", "seg"), ("images", "annotations"), ("train_images", "train_masks"), ("img", "gt"))  # fmt: skip
ENDINGS = (".nii.gz",) * 5 + (".nii", ".NII.GZ", ".mha", ".nrrd", ".mhd", ".Nii.gz")
FAULTS = (None,) * 6 + ("no mask", "no image", "dangling mask", "two masks", "both endings", "lookalike", "folder", "cut",
                        "unlabelled part", "dangling image")  # fmt: skip


@dataclass
class Tree:
    """What was written below `root`.

    Attributes:
        pairs: (image, mask) of volumes by their number, and (domain, patient) of each.
        files: every file that is not hidden.
        options: of `prepare nifti`.
        fault: what is wrong, if something is.
    """

    root: Path
    pairs: dict[int, tuple[str, str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    fault: str | None = None
    layout: str = ""


def volumes(number: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and a mask that no other number has."""
    image = np.random.default_rng(number).integers(100, 1000, SHAPE).astype(np.int16)
    image[0, 0, :] = number
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:6, 2:6] = 1
    mask.reshape(-1, 2)[:12, :] = np.array([number >> bit & 1 for bit in range(12)])[:, None]
    return image, mask


def save(array: np.ndarray, path: Path) -> list[Path]:
    """Write a volume by its ending; the files that came of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        plain = path.with_name("plain" + (".nii.gz" if path.name.lower().endswith(".gz") else ".nii"))
        nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 1, 5, 1])), plain)
        plain.rename(path)
        return [path]
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing((1.0, 1.0, 5.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))  # as the affine above
    SimpleITK.WriteImage(image, str(path))
    return [path, path.with_suffix(".raw")] if path.suffix == ".mhd" else [path]


def a_tree(root: Path, rng: np.random.Generator) -> Tree:
    """One random folder."""

    def one(choices):
        return choices[int(rng.integers(len(choices)))]

    tree = Tree(root)
    tree.fault = one(FAULTS)
    tree.layout = layout = one(("flat", "folders", "nnunet", "patients", "bids", "patients in folders"))
    top = root.joinpath(*one(((), (), ("data",), ("my study", "v1 final"), ("heart_segmentation",))))
    several = rng.random() < 0.3
    domains = ["siteA", "siteB"] if several else [""]
    naming = "sub-{:02d}" if layout == "bids" else one(PATIENTS)
    session = one(("_ses-{}",)) if layout == "bids" else one(SESSIONS)
    phases = one(((), ("_ED", "_ES"))) if layout != "bids" and rng.random() < 0.3 else ()
    ending, mask_form, words = one(ENDINGS), one(MASKS), one(FOLDERS)
    mixed = rng.random() < 0.15
    number = 1
    written: list[tuple[int, Path, Path]] = []
    for domain in domains:
        for patient in range(1, int(rng.integers(3, 7))):
            name = naming.format(patient)
            visits = [session.format(visit) for visit in (1, 2)[: int(rng.integers(1, 3))]] if rng.random() < 0.5 else [""]
            for visit in visits:
                for phase in phases or ("",):
                    end = one(ENDINGS) if mixed else ending
                    image, mask = places(layout, name, visit + phase, mask_form, words, end)
                    below = top / domain
                    for array, path in zip(volumes(number), (below / image, below / mask)):
                        tree.files += save(array, path)
                    tree.pairs[number] = (domain or "own", name)
                    written.append((number, below / image, below / mask))
                    number += 1
    if layout == "nnunet":
        path = top / domains[0] / "dataset.json"
        path.write_text(json.dumps({"labels": {"background": 0, "gland": 1}, "channel_names": {"0": "T2"}}))
        tree.files.append(path)
    if several:
        tree.options += ["--domains-from", "folder"]
    spoil(tree, written, top, rng)
    junk(tree, top, rng)
    tree.options += ["--skip-bad"] * (rng.random() < 0.3) + ["--dry-run"] * (rng.random() < 0.1)
    return tree


def places(layout: str, name: str, rest: str, mask_form: str, words: tuple[str, str], end: str) -> tuple[str, str]:
    """Where an image and its mask lie."""
    stem = name + rest
    if layout == "flat":
        return stem + end, mask_form.format(stem) + end
    if layout == "folders":
        return f"{words[0]}/{stem}{end}", f"{words[1]}/{stem}{end}"
    if layout == "nnunet":
        return f"imagesTr/{stem}_0000{end}", f"labelsTr/{stem}{end}"
    if layout == "bids":
        session = next((part for part in stem.split("_") if part.startswith("ses-")), "")
        inside = f"{name}/{session}/anat" if session else f"{name}/anat"
        return f"{inside}/{stem}_T2w{end}", f"derivatives/manual/{inside}/{stem}_T2w_desc-hand_dseg{end}"
    rest = rest.strip("_-")
    if layout == "patients":
        return f"{name}/image{'_' * bool(rest)}{rest}{end}", f"{name}/{words[1]}{'_' * bool(rest)}{rest}{end}"
    inside = f"{name}/{rest}" if rest else name
    return f"{inside}/{words[0]}/scan{end}", f"{inside}/{words[1]}/scan{end}"


def spoil(tree: Tree, written: list[tuple[int, Path, Path]], top: Path, rng: np.random.Generator) -> None:
    """One fault in one pair."""
    number, image, mask = written[int(rng.integers(len(written)))]

    def gone(path: Path) -> None:
        for file in (path, path.with_suffix(".raw")):
            if file in tree.files and (file == path or path.suffix == ".mhd"):
                file.unlink()
                tree.files.remove(file)

    if tree.fault in ("no mask", "dangling mask"):
        gone(mask)
    if tree.fault in ("no image", "dangling image"):
        gone(image)
    if tree.fault in ("dangling mask", "dangling image"):
        path = mask if tree.fault == "dangling mask" else image
        path.symlink_to(top / "nowhere" / path.name)
        tree.files.append(path)
    elif tree.fault == "two masks":
        tree.files += save(volumes(4000)[1], image.with_name(f"{image.name.split('.')[0]}_contour.nii.gz"))
    elif tree.fault == "both endings":
        end = ".nii" if image.name.lower().endswith(".gz") else ".nii.gz"
        path = image.with_name(re.sub(r"(\.nii)?\.\w+$", end, image.name, flags=re.IGNORECASE))
        tree.files += [] if path.exists() else save(volumes(4001)[0], path)
    elif tree.fault == "lookalike":
        tree.files += save(volumes(4002)[1], top / "foreground9.nii.gz")
    elif tree.fault == "folder":
        gone(image)
        tree.files += save(volumes(number)[0], image / "inside.nii")
    elif tree.fault == "cut":
        image.write_bytes(image.read_bytes()[:30])
    elif tree.fault == "unlabelled part":
        tree.files += save(volumes(4003)[0], top / "imagesTs" / "new1_0000.nii.gz")
    if tree.fault not in (None, "unlabelled part", "lookalike", "two masks", "both endings"):
        del tree.pairs[number]  # which nobody can expect any more


def junk(tree: Tree, top: Path, rng: np.random.Generator) -> None:
    """What else lies in folders."""
    hidden = {".DS_Store": b"\0\0\0\1Bud1", "._P1.nii.gz": b"\0\5\26\7", "Thumbs.db": b"x", ".hidden.nii.gz": b"x"}
    plain = {"README.txt": b"hello", "notes.csv": b"a,b\n1,2\n", "IM0001": bytes(128) + b"DICM", "scan.dcm": b"x",
             "picture.png": b"x", "w.npy": b"x", "P1.hdr": b"x", "odd": b"x", "spare.nii.bz2": b"x", "old.mgz": b"x",
             "deep/er/list.pdf": b"x", "Info.cfg": b"ED: 1", "lost.raw": b"x", "P1.nii.gz.dvc": b"outs:",
             "archive.zip": b"PK"}  # fmt: skip
    for name, content in {**hidden, **plain}.items():
        if rng.random() < 0.12:
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            tree.files += [path] if name in plain else []
    if rng.random() < 0.1:
        (top / "loop").symlink_to(top)
    if rng.random() < 0.1:
        (top / "empty").mkdir(exist_ok=True)
    if rng.random() < 0.1:
        (top / "gone.txt").symlink_to(top / "nowhere.txt")
        tree.files.append(top / "gone.txt")


def tried(tree: Tree, out: Path) -> tuple[str, str]:
    """Outcome of the command on a tree, and what is wrong with it, if something is."""
    said, err = io.StringIO(), io.StringIO()
    words = [
        "prepare",
        "nifti",
        "--source",
        str(tree.root),
        "--out",
        str(out),
        "--spacing",
        "1",
        "--size",
        "8",
        "--workers",
        "1",
    ]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(err):
        try:
            code = command([*words, "--keep-empty", *tree.options])
        except Exception:
            return "wrong", traceback.format_exc()
    text = said.getvalue() + err.getvalue()
    hidden = [path.name for path in out.parent.iterdir() if path.name.startswith(f".{out.name}")]
    if code == 2:
        sentences = [line for line in err.getvalue().splitlines() if line.startswith("data_download: ")]
        if len(sentences) != 1 or "Traceback" in text:
            return "wrong", text
        if tree.fault in (None, "unlabelled part"):
            return "wrong", f"refused without a fault: {sentences[0]}"
        return "refused", ""
    if code != 0 or [name for name in hidden if "unpacked" in name]:
        return "wrong", f"exit code {code}, {hidden}: {text}"
    if problem := unnamed(tree, said.getvalue()):
        return "wrong", f"{problem}\n{text}"
    if "--dry-run" in tree.options:
        return ("wrong", "a dry run wrote something") if out.exists() else ("dry run", "")
    problem = not_as_given(tree, out)
    return ("wrong", f"{problem}\n{text}") if problem else ("prepared", "")


def unnamed(tree: Tree, table: str) -> str:
    """Files that are neither counted as used nor as unused."""
    rows = re.findall(r"^  (?:\S.*?)  +(\d+)  +(\d+)  +(\d+)  ", table, flags=re.MULTILINE)
    used = sum(int(images) + int(masks) for images, masks, _ in rows)
    ignored = sum(int(count) for count in re.findall(r"^    (\d+) - ", table, flags=re.MULTILINE))
    data = sum(path.suffix == ".raw" and path.name != "lost.raw" for path in tree.files)
    left_out = "left out by --skip-bad" in table
    if used + ignored + data != len(tree.files) and not left_out:
        return f"{len(tree.files)} files: {used} used, {data} data of headers, {ignored} not used"
    return ""


def not_as_given(tree: Tree, out: Path) -> str:
    """What the slice set has that the tree has not, or the other way round."""
    data = read_slice_set(out)
    if data.masks is None:
        return "an image-only set"
    numbers = data.images[:, 0, 0].astype(int)
    splits = defaultdict(set)
    for row, number in enumerate(numbers):
        if number not in tree.pairs:
            return f"volume {number} was not expected"
        image, mask = volumes(number)
        layer = int(data.table["slice"][row])
        if (data.images[row] != image[..., layer].T).any() or (data.masks[row] != mask[..., layer].T).any():
            return f"volume {number} has another's mask, or other pixels"
        if data.table["domain"][row] != tree.pairs[number][0]:
            return f"volume {number} is of domain {data.table['domain'][row]}, not of {tree.pairs[number][0]}"
        splits[tree.pairs[number]].add(data.table["split"][row])
    if apart := {person: sides for person, sides in splits.items() if len(sides) > 1}:
        return f"on two sides: {apart}"
    missing = {number for number in tree.pairs if number not in set(numbers)}
    left = " ".join(data.info.get("left_out", []))
    if lost := [number for number in missing if tree.pairs[number][1] not in left]:
        return f"{len(lost)} volumes of {tree.pairs[lost[0]]} are missing"
    return ""


def campaign(number: int, seed: int, folder: Path) -> tuple[Counter, list[str]]:
    """`number` trees: counts by (layout, outcome), and what went wrong."""
    counts: Counter = Counter()
    wrong = []
    for case in range(number):
        rng = np.random.default_rng([seed, case])
        root = folder / f"case{case}"
        root.mkdir(parents=True)
        tree = a_tree(root, rng)
        outcome, problem = tried(tree, folder / "out")
        counts[tree.layout, outcome] += 1
        if problem:
            files = "\n".join(str(path.relative_to(root)) for path in tree.files)
            wrong.append(f"case {case}, {tree.layout}, {tree.fault}, {tree.options}:\n{files}\n{problem}")
        shutil.rmtree(root)
        for path in folder.iterdir():
            shutil.rmtree(path)
    return counts, wrong


def as_table(counts: Counter) -> str:
    """Counts by layout and outcome, as text."""
    layouts = sorted({layout for layout, _ in counts})
    lines = [f"{'layout':22s}" + "".join(f"{outcome:>10s}" for outcome in OUTCOMES)]
    lines += [f"{layout:22s}" + "".join(f"{counts[layout, outcome]:10d}" for outcome in OUTCOMES) for layout in layouts]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--number", type=int, default=1000, help="folders")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, wrong = campaign(options.number, options.seed, Path(folder))
    print(as_table(counts))
    for text in wrong[:10]:
        print(text, end="\n\n")
    print(f"{sum(counts.values())} folders, {len(wrong)} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
