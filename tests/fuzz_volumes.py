"""Mutated NIfTI files against the reading of archives: each must be refused in one sentence, or noticed.

    python tests/fuzz_volumes.py --number 2000 --seed 0

prints the counts of every class, and exits with 1 if a file was accepted in silence or ended in a traceback. Every
class is a change that spoils the data; a changed description, which harms nobody, is none. "any header byte" is the
exception: it may be harmless, so there only a traceback counts.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import sys
import tempfile
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from advconf_lite.support.errors import BadInput  # noqa: E402
from data_download.__main__ import main as command  # noqa: E402
from data_download.preparing.masks import read_mask
from data_download.preparing.volumes import read_volume

SHAPE = (7, 6, 4)
LABELS = {3: 1, 2: 2, 1: 3}  # as in ACDC
OUTCOMES = ("refused", "noticed", "accepted", "traceback")
REAL = {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280, 1536}  # NIfTI's codes of real numbers
CODES = [code for code in (*range(2000), -1, 9999) if code not in REAL]


@dataclass
class Pair:
    """Uncompressed files, and which of them a mutation has spoiled."""

    image: bytearray
    mask: bytearray
    spoiled: str = "image"

    def header(self) -> np.ndarray:
        """Header fields of the spoiled file, to be written into."""
        return np.frombuffer(getattr(self, self.spoiled), nibabel.nifti1.header_dtype, 1)[0:1]

    def voxels(self) -> np.ndarray:
        """Voxels (Z, Y, X) of the spoiled file, to be written into; float32 images, int16 masks."""
        kind = "<f4" if self.spoiled == "image" else "<i2"
        return np.frombuffer(getattr(self, self.spoiled), kind, offset=352).reshape(SHAPE[::-1])


def clean(rng: np.random.Generator) -> Pair:
    """An image and a mask without a fault."""
    affine = np.array([[-1.2, 0.9, 0, 10], [-0.9, -1.2, 0, 20], [0, 0, 9.0, 30], [0, 0, 0, 1]])
    mask = rng.integers(0, 4, SHAPE).astype(np.int16)
    image = (mask * 100 + rng.random(SHAPE)).astype(np.float32)
    files = (nibabel.Nifti1Image(array, affine) for array in (image, mask))
    return Pair(*(bytearray(file.to_bytes()) for file in files))


def either(rng: np.random.Generator, pair: Pair) -> np.ndarray:
    """The header of the image or of the mask."""
    pair.spoiled = str(rng.choice(["image", "mask"]))
    return pair.header()


# ---- classes: each spoils a pair


def no_nifti_header(rng, pair):
    """What nibabel itself refuses, one field at a time."""
    field, values = [
        ("magic", [b"", b"n+3", b"nix", b"\xff\xff\xff", b"N+1", b"PK\x03"]),
        ("dim", [0, -1, -30000]),
        ("datatype", CODES),
    ][rng.integers(3)]
    header, value = either(rng, pair), rng.choice(values)
    if field == "dim":
        header["dim"][0, rng.integers(0, 4)] = value
    else:
        header[field] = value


def too_many_dimensions(rng, pair):
    pair.spoiled, number = str(rng.choice(["image", "mask"])), int(rng.integers(4, 8))
    data = getattr(pair, pair.spoiled)
    data.extend(data[352:])  # as many voxels as the header asks for: nothing but the number of axes is wrong
    pair.header()["dim"][0, 0] = number
    pair.header()["dim"][0, number] = 2


def larger_than_the_data(rng, pair):
    either(rng, pair)["dim"][0, rng.integers(1, 4)] += rng.choice([1, 2, 100, 30000])


def affine_not_finite(rng, pair):
    header = either(rng, pair)
    row, column = str(rng.choice(["srow_x", "srow_y", "srow_z"])), rng.integers(0, 4)
    header[row][0, column] = rng.choice([np.nan, np.inf, -np.inf])


def affine_flat(rng, pair):
    header, column = either(rng, pair), rng.integers(0, 3)
    for row in ("srow_x", "srow_y", "srow_z"):
        header[row][0, column] = 0


def quaternion_not_finite(rng, pair):
    header = either(rng, pair)
    header["sform_code"], header["qform_code"] = 0, 1
    field = str(rng.choice(["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"]))
    header[field] = rng.choice([np.nan, np.inf, -np.inf])


def scale_not_finite(rng, pair):
    header = either(rng, pair)
    wild = rng.choice([np.inf, -np.inf])
    # NaN as slope means "not scaled", so only an offset of NaN is a fault
    header["scl_slope"], header["scl_inter"] = [(wild, 0), (1, wild), (1, np.nan)][rng.integers(3)]


def spacing_not_positive(rng, pair):
    header = either(rng, pair)
    header["pixdim"][0, rng.integers(1, 4)] = rng.choice([0, -1, -0.7, np.nan, np.inf])
    header["sform_code"], header["qform_code"] = [(2, 0), (0, 1), (0, 0)][rng.integers(3)]


def grids_differ(rng, pair):
    pair.spoiled = "mask"
    header, axis = pair.header(), rng.integers(0, 3)
    rows = [header[f"srow_{name}"] for name in "xyz"]
    kind = rng.choice(["shape", "shift", "flip", "spacing"])
    if kind == "shape":
        header["dim"][0, 1 + axis] -= rng.integers(1, 3)
    if kind == "spacing":  # in both places, or the files agree by one of them
        header["pixdim"][0, 1 + axis] *= 1.2
    for row in rows:
        if kind == "shift":
            row[0, 3] += 3 * row[0, axis]
        elif kind == "flip":
            row[0, axis] *= -1
        elif kind == "spacing":
            row[0, axis] *= 1.2


def image_not_finite(rng, pair):
    voxels = pair.voxels()
    voxels[tuple(rng.integers(0, voxels.shape))] = rng.choice([np.nan, np.inf, -np.inf])


def unknown_label(rng, pair):
    pair.spoiled = "mask"
    voxels = pair.voxels()
    voxels[tuple(rng.integers(0, voxels.shape))] = rng.choice([4, 5, 100, 255, 256, 32767])


def negative_label(rng, pair):
    pair.spoiled = "mask"
    voxels = pair.voxels()
    voxels[tuple(rng.integers(0, voxels.shape))] = -rng.integers(1, 300)


def fractional_label(rng, pair):
    pair.spoiled = "mask"
    pair.header()["scl_slope"], pair.header()["scl_inter"] = rng.choice([0.5, 1.25]), 0
    pair.voxels()[0, 0, 0] = 1


def any_header_byte(rng, pair):
    either(rng, pair)
    getattr(pair, pair.spoiled)[rng.integers(0, 348)] ^= 1 << rng.integers(0, 8)


def cut(rng, data: bytes) -> bytes:
    return data[: rng.integers(0, len(data))]


def damaged(rng, data: bytes) -> bytes | None:
    """One bit of the compressed stream changed; None where that changes nothing that is read."""
    changed = bytearray(data)
    changed[rng.integers(10, len(data))] ^= 1 << rng.integers(0, 8)
    with contextlib.suppress(OSError, EOFError, zlib.error):
        if gzip.decompress(changed) == gzip.decompress(data):
            return None
    return bytes(changed)


HEADERS: dict[str, Callable] = {
    "no NIfTI header": no_nifti_header,
    "4-D to 7-D": too_many_dimensions,
    "larger than the data": larger_than_the_data,
    "NaN or infinite affine": affine_not_finite,
    "affine without a direction": affine_flat,
    "NaN or infinite quaternion": quaternion_not_finite,
    "NaN or infinite scale": scale_not_finite,
    "spacing not positive": spacing_not_positive,
    "grids of image and mask": grids_differ,
    "NaN or infinite voxel": image_not_finite,
    "unknown label": unknown_label,
    "negative label": negative_label,
    "fractional label": fractional_label,
    "any header byte": any_header_byte,
}
FILES: dict[str, Callable] = {"cut anywhere": cut, "damaged gzip": damaged}
CLASSES = (*HEADERS, *FILES)
# Data that can still be used: a remark is enough. Everything else has to be refused.
NOTICEABLE = ("spacing not positive", "negative label")


def packed(data: bytes, suffix: str) -> bytes:
    return gzip.compress(bytes(data), 1, mtime=0) if suffix.endswith(".gz") else bytes(data)


def make(kind: str, rng: np.random.Generator, image: Path, mask: Path) -> Path:
    """Write a pair spoiled by the class `kind`, compressed if `image` ends in .gz; returns the spoiled file."""
    pair = clean(rng)
    if kind in HEADERS:
        HEADERS[kind](rng, pair)
    else:
        pair.spoiled = str(rng.choice(["image", "mask"]))
    for path, data in ((image, pair.image), (mask, pair.mask)):
        content = packed(data, path.suffix)
        if kind in FILES and path == (image if pair.spoiled == "image" else mask):
            while (changed := FILES[kind](rng, content)) is None:
                pass
            content = changed
        path.write_bytes(content)
    return image if pair.spoiled == "image" else mask


# ---- two ways in: the functions, and the command


def through_functions(image: Path, mask: Path) -> tuple[str, str]:
    """Outcome and what was said, of `read_volume` and `read_mask`."""
    notes: list[str] = []
    try:
        volume = read_volume(image)
        read_mask(mask, volume, LABELS, notes)
        notes += volume.notes
    except BadInput as error:
        return "refused", str(error)
    except Exception:
        return "traceback", traceback.format_exc().strip().splitlines()[-1]
    return ("noticed" if notes else "accepted"), "; ".join(notes)


def through_command(archive: Path) -> tuple[str, str]:
    """Outcome of `python -m data_download prepare acdc`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = command(["prepare", "acdc", "--source", str(archive), "--out", str(archive / "out"), "--size", "16"])
        except Exception:
            return "traceback", traceback.format_exc().strip().splitlines()[-1]
    said = [line for line in err.getvalue().splitlines() if line.startswith("data_download: ")]
    if "Traceback" in err.getvalue() or (code == 2) != (len(said) == 1) or code not in (0, 2):
        return "traceback", err.getvalue()
    notes = [line for line in err.getvalue().splitlines() if line.startswith("note: ") and "Info.cfg" not in line]
    notes = [line for line in notes if "without a foreground" not in line]
    return ("refused", said[0]) if said else ("noticed" if notes else "accepted", "; ".join(notes))


def an_archive(root: Path, suffix: str) -> tuple[Path, Path]:
    """ACDC's layout with four patients; the image and mask of one frame of the second, to be spoiled."""
    rng = np.random.default_rng(0)
    for number in range(1, 5):
        folder = root / "training" / f"patient{number:03d}"
        folder.mkdir(parents=True)
        for frame in (1, 2):
            stem = folder / f"{folder.name}_frame{frame:02d}"
            pair = clean(rng)
            for path, data in ((f"{stem}{suffix}", pair.image), (f"{stem}_gt{suffix}", pair.mask)):
                Path(path).write_bytes(packed(data, suffix))
    stem = root / "training" / "patient002" / "patient002_frame01"
    return Path(f"{stem}{suffix}"), Path(f"{stem}_gt{suffix}")


def campaign(number: int, seed: int, folder: Path, commands: int = 10) -> tuple[Counter, list[str]]:
    """`number` mutants, every `commands`-th through the command: counts by (class, outcome), and what went wrong."""
    counts: Counter = Counter()
    wrong: list[str] = []
    archives = {}
    for suffix in (".nii", ".nii.gz"):
        archives[suffix] = an_archive(folder / suffix.replace(".", ""), suffix)
    for case in range(number):
        kind = CLASSES[case % len(CLASSES)]
        rng = np.random.default_rng([seed, case])
        suffix = ".nii.gz" if kind == "damaged gzip" or rng.random() < 0.5 else ".nii"
        image, mask = archives[suffix]
        spoiled = make(kind, rng, image, mask)
        whole = (case // len(CLASSES)) % commands == 0
        outcome, said = through_command(image.parents[2]) if whole else through_functions(image, mask)
        counts[kind, outcome] += 1
        fine = {"refused"} | ({"noticed"} if kind in NOTICEABLE else set())
        fine |= {"noticed", "accepted"} if kind == "any header byte" else set()
        # of two files that disagree either may be named, so the mask's name, which begins like the image's, will do
        named = outcome != "refused" or spoiled.name.split(".")[0].removesuffix("_gt") in said
        if outcome not in fine or not named or "\n" in said.strip() and outcome == "refused":
            way = "command" if whole else "functions"
            wrong.append(f"case {case}, {kind}, {way}, {spoiled.name}: {outcome}: {said.strip()}")
    return counts, wrong


def as_table(counts: Counter) -> str:
    """Counts by class and outcome, as text."""
    lines = [f"{'class':28s}" + "".join(f"{outcome:>11s}" for outcome in OUTCOMES)]
    for kind in CLASSES:
        lines.append(f"{kind:28s}" + "".join(f"{counts[kind, outcome]:11d}" for outcome in OUTCOMES))
    sums = (sum(counts[kind, outcome] for kind in CLASSES) for outcome in OUTCOMES)
    return "\n".join([*lines, f"{'all':28s}" + "".join(f"{total:11d}" for total in sums)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--number", type=int, default=2000, help="mutated files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, wrong = campaign(options.number, options.seed, Path(folder))
    print(as_table(counts))
    for line in wrong[:20]:
        print(line)
    print(f"{sum(counts.values())} files, {len(wrong)} accepted in silence, unnamed or ended in a traceback")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
