"""Tars in every usual packing, and single files and parts of archives: unpacked, or told apart with the right advice."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile

import nibabel
import numpy as np
import pytest
from test_extract import FILES, inside, make_zip

from advconf_lite.support.errors import BadInput
from data_download.fetching import archive as module
from data_download.fetching.archive import Limits, damage, extract
from data_download.fetching.kinds import PART, refuse_single_file
from data_download.fetching.unpacked import refuse_packed

PACKINGS = {"tar": bytes, "tar.gz": gzip.compress, "tgz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
FORK = bytes.fromhex("0005160700020000") + bytes(100)


def tarred(files, form=tarfile.PAX_FORMAT, **member):
    """The bytes of a tar; `member` are attributes of its last entry."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as packed:
        for number, (name, content) in enumerate(files.items(), start=1):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in member.items() if number == len(files) else ():
                setattr(info, key, value)
            packed.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def refused(path, *words, limits=module.LIMITS):
    with pytest.raises(BadInput) as caught:
        extract(path, path.parent / "out", limits)
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence and all(word in sentence for word in words), sentence
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_come_out_as_they_went_in(tmp_path, packing, form):
    files = {**FILES, f"{'long' * 30}/{'name' * 20}": b"1"}  # longer than the oldest headers can say
    path = tmp_path / f"a.{packing}"
    path.write_bytes(PACKINGS[packing](tarred(files, form)))
    assert damage(path) is None
    extract(path, tmp_path / "out")
    assert inside(tmp_path / "out") == files


def test_an_old_tar_without_a_name_in_its_header_is_one(tmp_path):
    raw = bytearray(tarred({"a": b"1"}, tarfile.USTAR_FORMAT))
    raw[257:265] = bytes(8)
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    (tmp_path / "old.tar").write_bytes(raw)
    extract(tmp_path / "old.tar", tmp_path / "out")
    assert inside(tmp_path / "out") == {"a": b"1"}


@pytest.mark.parametrize("packing", ["zip", "tar", "tar.gz"])
def test_what_a_system_left_in_an_archive_stays_there(tmp_path, packing):
    junk = dict.fromkeys(("__MACOSX/top/._a", "top/._a", ".DS_Store", "top/Thumbs.db", "top/.git/x"), FORK)
    path = tmp_path / f"a.{packing}"
    if packing == "zip":
        make_zip(path, {**junk, "top/a": b"1"})
    else:
        path.write_bytes(PACKINGS[packing](tarred({**junk, "top/a": b"1"})))
    extract(path, tmp_path / "out")
    assert inside(tmp_path / "out") == {"top/a": b"1"}
    path.write_bytes(make_zip(path, junk).read_bytes() if packing == "zip" else PACKINGS[packing](tarred(junk)))
    (tmp_path / "out" / "top" / "a").unlink()
    (tmp_path / "out" / "top").rmdir()
    (tmp_path / "out").rmdir()
    refused(path, "holds no files")


@pytest.mark.parametrize("packing", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize(
    ("name", "member", "said"),
    [
        ("../x", {}, "leaves the folder"),
        ("a/../../x", {}, "leaves the folder"),
        ("/tmp/x", {}, "an absolute path"),
        ("C:/x", {}, "an absolute path"),
        ("a\\b", {}, "backslash"),
        ("x", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link"),
        ("x", {"type": tarfile.LNKTYPE, "linkname": "good"}, "a link"),
        ("x", {"type": tarfile.FIFOTYPE}, "a device or pipe"),
        ("x", {"type": tarfile.CHRTYPE}, "a device or pipe"),
        ("./good", {}, "holds twice"),
        ("good/x", {}, "want the name 'good'"),
    ],
)
def test_what_wants_out_of_a_tar_is_refused(tmp_path, packing, name, member, said):
    path = tmp_path / f"a.{packing}"
    path.write_bytes(PACKINGS[packing](tarred({"good": b"1", name: b""}, **member)))
    refused(path, "is refused", said, "nothing of it was unpacked", "unpack it by hand")


@pytest.mark.parametrize("packing", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_in_a_tar_is_refused_before_it_is_read(tmp_path, packing):
    path = tmp_path / f"a.{packing}"
    path.write_bytes(PACKINGS[packing](tarred({"small": b"1", "zeros": bytes(3_000_000)})))
    refused(path, "out of proportion", limits=Limits(ratio=2.0, free_bytes=10))
    refused(path, "more than 1 files", limits=Limits(members=1))
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40  # a header field that tarfile would read into memory
    path.write_bytes(PACKINGS[packing](info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))
    refused(path, "damaged")


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_tar_cut_anywhere_is_refused(tmp_path, packing):
    path = tmp_path / f"a.{packing}"
    whole = PACKINGS[packing](tarred(FILES))
    end = len(whole) - 9000 if packing == "tar" else len(whole)  # a tar ends in zeros, of which one block is enough
    for stop in range(0, end, max(1, end // 40)):
        path.write_bytes(whole[:stop])
        refused(path)
        assert damage(path)


@pytest.mark.parametrize("packing", PACKINGS)
def test_mutated_tars_end_in_a_sentence(tmp_path, packing):
    rng = random.Random(packing)
    path = tmp_path / f"a.{packing}"
    whole = PACKINGS[packing](tarred(FILES))
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            broken[rng.randrange(min(len(broken), 12_500))] = rng.randrange(256)
        path.write_bytes(broken)
        try:
            extract(path, tmp_path / "out")
        except BadInput as error:
            assert "\n" not in str(error)
        else:
            module.shutil.rmtree(tmp_path / "out")
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


# ---- what is no archive, or not a whole one


def image_bytes():
    return nibabel.Nifti1Image(np.ones((3, 3, 2), np.int16), np.eye(4)).to_bytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("P1.nii.gz", gzip.compress(image_bytes()), "is one image; give the folder"),
        ("P1.NII", image_bytes(), "is one image; give the folder"),
        ("P1.mha", b"ObjectType = Image", "is one image; give the folder"),
        ("scan", image_bytes(), "is one image; give the folder"),
        ("scan.gz", gzip.compress(image_bytes()), "is one image; give the folder"),
        ("P1.nii.bz2", bz2.compress(image_bytes()), "is one image; convert it"),
        ("P1.mgz", b"x", "is one image; convert it"),
        ("P1.raw", b"x", "is the pixels of one image"),
        ("IM0001", bytes(128) + b"DICM", "is one DICOM file"),
        ("a.DCM", b"x", "is one DICOM file"),
        ("dataset_information.csv", b"a,b", "is a table"),
        ("table.xlsx", b"PK\3\4", "is a table"),
        ("slice.PNG", b"\x89PNG", "is a picture"),
        ("images.npz", b"PK\3\4", "is a file of arrays"),
    ],
)
def test_a_single_file_is_named_for_what_it_is(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        refuse_single_file(tmp_path / name)
    assert said in str(caught.value) and "remove" not in str(caught.value)


@pytest.mark.parametrize("name", ["ACDC.zip", "mine.TAR.GZ", "x.rar"])
def test_a_folder_that_holds_nothing_but_the_archive_leads_to_the_archive(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "acdc.terms.json").write_text("{}")
    with pytest.raises(BadInput, match=f"holds {name} and nothing unpacked; give .*{name} with --source"):
        refuse_packed(tmp_path)
    (tmp_path / "P1.nii.gz").write_bytes(b"x")
    refuse_packed(tmp_path)  # and beside images it is one of the files that are not used


def test_parts_of_a_split_archive_are_told_from_whole_ones(tmp_path):
    for name in ("x.z01", "x.zip.001", "x.7z.002", "x.tar.gz.aa", "x.tgz.part_ab", "x.part1.rar", "x.r00", "x.zip.part01"):
        assert PART.search(name), name
        (tmp_path / name).write_bytes(make_zip(tmp_path / "whole.zip", FILES).read_bytes()[:900])
        with pytest.raises(BadInput, match="one part of a split archive; join its parts or unpack it by hand"):
            extract(tmp_path / name, tmp_path / "out")
    for name in ("x.tar.gz", "x.tar.xz", "x.tar.bz2", "x.zip", "x.tgz", "x.zip.part", "x.zip.bad", "x.7z", "data.2024.zip"):
        assert not PART.search(name), name
    raw = bytearray((tmp_path / "whole.zip").read_bytes())  # the last part: its end says that there are others
    raw[raw.rindex(b"PK\5\6") + 4] = 1
    (tmp_path / "last.zip").write_bytes(raw[50:])
    with pytest.raises(BadInput, match="one part of a split archive"):
        extract(tmp_path / "last.zip", tmp_path / "out")
    (tmp_path / "first").write_bytes(b"PK\x07\x08" + bytes(raw))
    with pytest.raises(BadInput, match="one part of a split archive"):
        extract(tmp_path / "first", tmp_path / "out")
    assert zipfile.is_zipfile(tmp_path / "whole.zip")


@pytest.mark.parametrize("magic", [b"Rar!\x1a\x07", b"7z\xbc\xaf'\x1c", b"\x28\xb5\x2f\xfd", b"LZIP", b"\x1f\x9d", b"MSCF"])
def test_other_archives_are_to_be_unpacked_by_hand_and_never_removed(tmp_path, magic):
    (tmp_path / "x").write_bytes(magic + bytes(600))
    with pytest.raises(BadInput, match="unpack it by hand") as caught:
        extract(tmp_path / "x", tmp_path / "out")
    assert "remove" not in str(caught.value)
