"""MetaImage (.mhd, .mha) and NRRD by SimpleITK, and what ITK does not say or notice.

ITK takes 1 mm where a header has no spacing, and a straight patient where it has no direction; it knows no units; it prints
to the terminal; and it returns what it has where compressed data are damaged. So the text of the header is read here too.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from advconf_lite.support.errors import BadInput
from data_download.preparing.header import Header, of_itk
from data_download.preparing.remarks import EXAMPLE

LONGEST_TEXT = 1 << 20
# Units by their symbol, or by how their name begins.
MILLIMETRES = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3, "micro": 1e-3, "milli": 1.0, "centi": 10.0, "met": 1e3}
# Of a MetaImage's elements, MET_ and the U of unsigned ones left out.
BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def read_itk(path: Path, what: str, reader: str, header_only: bool = False) -> tuple[np.ndarray | None, Header]:
    """Array (None with `header_only`) and header of a file that ITK's `reader` can read.

    Raises:
        BadInput: its header says no voxel sizes, its data file is not there or too short, or SimpleITK is not installed.
        ValueError: it is damaged otherwise.
    """
    try:
        import SimpleITK  # NIfTI does without
    except ImportError as error:
        raise BadInput(f"{path} is a MetaImage or NRRD file; to read it: pip install SimpleITK") from error

    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # ITK would end the process
        raise BadInput(f"the name of {what} {path} is no UTF-8, and ITK cannot open it; rename it, or its folder") from error
    fields, start = _text_header(path)
    source = SimpleITK.ImageFileReader()
    source.SetFileName(str(path))
    source.SetImageIO(reader)  # by itself it would go by the ending, which may be .MHD
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _quiet():
            source.ReadImageInformation()
            image = None if header_only else source.Execute()
    except RuntimeError as error:  # several lines of where in ITK it happened; the last says what
        if reader == "MetaImageIO":
            _look_for_the_data(path, what, fields, start)
        raise ValueError(str(error).strip().splitlines()[-1]) from error
    array = None
    if image is not None:
        array = SimpleITK.GetArrayFromImage(image).T
        _check_packed(path, fields, start, array)
    spaced, turned, units = _said_by_metaimage(fields) if reader == "MetaImageIO" else _said_by_nrrd(fields)
    if not spaced:
        raise BadInput(f"{what} {path} says no voxel sizes; write them into its header, or leave this subject out")
    scale, note = _scale(units, path)
    n = source.GetDimension()
    spacing, origin = (np.array(values) * scale for values in (source.GetSpacing(), source.GetOrigin()))
    direction = np.array(source.GetDirection()).reshape(n, n) if turned else None
    if n < 3:  # refused by its shape
        spacing, origin, direction = np.ones(3), np.zeros(3), None
    header = of_itk(source.GetSize() if array is None else array.shape, spacing, direction, origin, path, what)
    return array, Header(header.shape, header.affine, header.oriented, notes=note)


@contextmanager
def _quiet() -> Iterator[None]:
    """ITK's libraries write to the terminal past Python."""
    try:
        kept = os.dup(2)
    except OSError:  # a process without one
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _text_header(path: Path) -> tuple[dict[str, str], int]:
    """Its lines "key = value" or "key: value", keys in small letters, and where the data begin that stand behind it."""
    with open(path, "rb") as file:
        data = file.read(LONGEST_TEXT)
    fields, start = {}, 0
    for line in data.split(b"\n"):
        start += len(line) + 1
        text = line.decode("utf-8", "replace").strip()
        if not text:  # NRRD's end
            break
        if match := re.match(r"([\w ]+?)\s*(?:=|:=?)\s*(.*)", text):
            fields[match[1].lower()] = match[2]
        if text.lower().startswith("elementdatafile"):  # MetaImage's
            break
    return fields, start


def _said_by_metaimage(fields: dict[str, str]) -> tuple[bool, bool, str]:
    """Does the header say spacing and direction, and in which unit?"""
    spaced = bool({"elementspacing", "elementsize"} & set(fields))
    turned = bool({"transformmatrix", "rotation", "orientation", "direction"} & set(fields))
    return spaced, turned, fields.get("distanceunits", "")


def _said_by_nrrd(fields: dict[str, str]) -> tuple[bool, bool, str]:
    turned = "space directions" in fields
    spaced = turned or "nan" not in fields.get("spacings", "nan").lower().split()[:3]
    named = bool(re.search(r"right|left|^[rl][ap][si]", fields.get("space", "").lower()))
    units = re.findall(r'"([^"]*)"', fields.get("space units" if turned else "units", ""))
    return spaced, turned and named and "handed" not in fields["space"], units[0] if units else ""


def _scale(unit: str, path: Path) -> tuple[float, tuple[str, ...]]:
    """Millimetres of a unit, and a remark if it is another."""
    short = unit.strip().lower().replace("µ", "u").replace("μ", "u").strip("?")
    known = (scale for name, scale in MILLIMETRES.items() if short == name or len(name) > 2 and short.startswith(name))
    scale = 1.0 if not short else next(known, None)
    if scale == 1:
        return 1.0, ()
    if scale is None:
        return 1.0, (f"a unit of length is not known, and was taken for millimetres{EXAMPLE}{path.name}: {unit!r}",)
    return scale, (f"lengths are in {unit}, as the header says, and were turned into millimetres{EXAMPLE}{path.name}",)


def _look_for_the_data(path: Path, what: str, fields: dict[str, str], start: int) -> None:
    """BadInput if the data that the header names are not there or too short; else nothing is known."""
    named = fields.get("elementdatafile", "")
    inside = named.lower() == "local"
    if not named or named.lower().startswith("list") or "%" in named:  # one file a slice
        return
    data = path if inside else path.parent / named
    if not inside and not data.is_file():
        plain = re.split(r"[\\/]", named)[-1]
        beside = [other for other in path.parent.iterdir() if other.name.lower() == plain.lower()]
        begin = f"{what} {path} has its voxels in {named}"
        if beside and beside[0].name == named:
            raise BadInput(f"{begin}, which is a folder or a link to nothing; put the file itself there")
        if beside and named == plain:
            raise BadInput(f"{begin}, which is missing; {beside[0].name} lies beside it: rename it to {named}")
        if beside:
            raise BadInput(
                f"{begin}, a path that does not exist here; {beside[0].name} lies beside it: write 'ElementDataFile = "
                f"{beside[0].name}' into {path.name}"
            )
        raise BadInput(f"{begin}, which is missing; put it beside {path.name}, or complete the download")
    if not os.access(data, os.R_OK):
        raise BadInput(
            f"{what} {path} has its voxels in {data.name}, which may not be read; give yourself the permission to"
        )
    packed = fields.get("compresseddata", "").lower() == "true"
    needed, found = _bytes_needed(fields, packed), data.stat().st_size - (start if inside else 0)
    if found < needed:
        raise BadInput(
            f"{what} {path} needs {needed} bytes of {'compressed ' * packed}voxels and {data.name} holds {found}: it is "
            "cut; copy or download it again"
        )


def _bytes_needed(fields: dict[str, str], packed: bool) -> int:
    """Of a MetaImage's data; 0 where the header does not say it."""
    with suppress(KeyError, ValueError):
        if packed:
            return int(fields["compresseddatasize"])
        kind = fields["elementtype"].removeprefix("MET_").removesuffix("_ARRAY")
        each = BYTES[kind if kind in BYTES else kind.removeprefix("U")]
        return math.prod(map(int, fields["dimsize"].split())) * each * int(fields.get("elementnumberofchannels", 1))
    return 0


def _check_packed(path: Path, fields: dict[str, str], start: int, array: np.ndarray) -> None:
    """ValueError if what is compressed is not what ITK made of it."""
    named = fields.get("elementdatafile", "local")
    if fields.get("compresseddata", "").lower() == "true" and "%" not in named and not named.lower().startswith("list"):
        data = path.read_bytes()[start:] if named.lower() == "local" else (path.parent / named).read_bytes()
        data = (stream := zlib.decompressobj(47)).decompress(data)  # of zlib or gzip
        if not stream.eof:
            raise ValueError("its compressed voxels are cut")
        big = "true" in (fields.get(key, "").lower() for key in ("binarydatabyteordermsb", "elementbyteordermsb"))
    elif fields.get("encoding", "").lower() in ("gzip", "gz") and not {"data file", "datafile"} & set(fields):
        data = gzip.decompress(path.read_bytes()[start:])
        big = fields.get("endian", "").lower() == "big"
    else:
        return
    values = np.frombuffer(data[: array.nbytes], array.dtype.newbyteorder(">" if big else "<"))
    if not np.array_equal(values, array.ravel(order="F"), equal_nan=array.dtype.kind == "f"):
        raise ValueError("its compressed voxels are damaged or cut")
