"""Which files below a folder are volumes, and why the others are not used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_download.preparing.files import VOLUMES, ending, files_below, links_to_nothing, stem
from data_download.preparing.inventory import Inventory

READ = ", ".join(VOLUMES)
# What stands in for a file whose content is elsewhere begins so.
POINTERS = (b"version https://git-lfs", b"/annex/objects/", b"../.git/annex", b".git/annex")
FETCH = "fetch its content first (git-annex: datalad get; DVC: dvc pull; Git LFS: git lfs pull)"

# Ending -> why such a file is not used, and what helps.
REASONS = {
    "DICOM: convert the series with dcm2niix and give its results": ".dcm .ima .dicom",
    "FreeSurfer's format: convert with mri_convert NAME.mgz NAME.nii.gz": ".mgz .mgh",
    "Analyze or NIfTI as a pair of files: convert to .nii.gz": ".img .hdr",
    "other compression: unpack it, so that it ends in .nii": ".bz2 .xz .lzma .zst .z .lz4",
    "packed: unpack it": ".zip .tar .tgz .rar .7z .gz .001",
    "NRRD or MetaImage whose header is missing or apart: save as .nrrd or .mha": ".nhdr .raw .zraw",
    "a pointer of DVC: dvc pull gets the file": ".dvc",
    "pictures have no millimetres: write a slice set with numpy (docs/data.md)": ".png .jpg .jpeg .tif .tiff .bmp .gif",
    "arrays have no millimetres: write a slice set with numpy (docs/data.md)": ".npy .npz .mat .h5 .hdf5 .pt .pth .pkl",
    "other medical formats: convert to .nii.gz": ".mnc .par .rec .xml .gipl .vtk .v .bruker .fdf .ecat .minc .gii .mif",
    "texts and tables": ".json .csv .tsv .txt .md .pdf .xlsx .xls .docx .cfg .ini .yaml .yml .bval .bvec .bib .html .log "
    ".rtf .py .sh .m  .ipynb .rst .tex .toml .ods .doc .ppt .pptx .license",
}
BY_ENDING = {end: reason for reason, ends in REASONS.items() for end in ends.split()}


@dataclass(frozen=True)
class Volume:
    """A file of images or masks, by its name.

    Attributes:
        path: of the file.
        folders: names of those that it lies in, below the source.
    """

    path: Path
    folders: tuple[str, ...]

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return stem(self.path)

    @property
    def shown(self) -> str:
        """Its path below the source, with slashes."""
        return "/".join((*self.folders, self.path.name))

    @property
    def bare(self) -> str:
        """`shown` without the ending: what patterns are tried on."""
        return "/".join((*self.folders, self.stem))


def volumes_below(source: Path, inventory: Inventory) -> list[Volume]:
    """The volumes in a folder and those inside it; every other file goes into `inventory.ignored`, with the reason.

    Raises:
        BadInput: a folder may not be listed.
    """
    volumes, others = [], []
    for path in files_below(source):
        folders = path.relative_to(source).parts[:-1]
        (volumes.append(Volume(path, folders)) if ending(path) else others.append(path))
    of_headers = {path for volume in volumes for path in _data_of(volume.path)}
    for path in others:
        if path not in of_headers:
            inventory.ignore(path, why_not(path))
    return volumes


def why_not(path: Path) -> str:
    """Why a file that is no volume is not used, and what helps."""
    if links_to_nothing(path):
        return "links to nothing: " + FETCH
    known = BY_ENDING.get(path.suffix.lower())
    if known is None or path.suffix.lower() == ".img":
        try:
            with open(path, "rb") as file:
                head = file.read(132)
        except OSError:
            return "may not be read: give yourself the permission"
        if head[128:] == b"DICM":
            return BY_ENDING[".dcm"]
    return known or f"no format that is read here ({READ})"


def _data_of(header: Path) -> Iterator[Path]:
    """The files in which a MetaImage's header keeps its voxels."""
    if header.suffix.lower() != ".mhd":
        return
    yield from (header.with_suffix(end) for end in (".raw", ".zraw", ".RAW", ".ZRAW"))
    try:
        text = header.read_bytes()[:10_000].decode(errors="replace")
    except OSError:
        return
    for name in re.findall(r"^\s*ElementDataFile\s*=\s*(.+?)\s*$", text, flags=re.MULTILINE):
        yield header.parent / name.replace("\\", "/").rpartition("/")[2]


def problem_of(volume: Volume) -> str | None:
    """What a look at the directory alone shows to be wrong with a volume."""
    path = volume.path
    if links_to_nothing(path):
        return f"{path} is a link to nothing; {FETCH}"
    try:
        if path.stat().st_size < 1024:
            with open(path, "rb") as file:
                if file.read(100).startswith(POINTERS):
                    return f"{path} is the pointer to a file that is elsewhere; {FETCH}"
    except OSError:
        return None  # its reader says it better
    return None


def folders_named_as_files(volumes: list[Volume]) -> Iterator[tuple[Volume, str]]:
    """The volumes that lie in a folder called like a volume, such as P1.nii.gz/P1.nii, and the folder's name."""
    for volume in volumes:
        if name := next((name for name in volume.folders if ending(Path(name))), None):
            yield volume, name
