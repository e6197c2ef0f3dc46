"""Archives from strangers: whole inside their folder, or refused with nothing left anywhere."""

import bz2
import gzip
import lzma
import random
import signal
import stat
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from advconf_lite.support.errors import BadInput
from data_download.fetching import archive as module
from data_download.fetching.archive import Limits, damage, extract
from data_download.fetching.kinds import archive_kind

ROOT = Path(__file__).parent.parent
FILES = {"dataset/001/a.nii.gz": b"\x1f\x8b" + bytes(range(256)) * 40, "dataset/table.csv": b"a,b\n1,2\n", "empty": b""}


def make_zip(path, files, mode=None, **how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("placeholder" if name in ("", "/") else name)
            info.filename = name  # as a liar writes it
            info.external_attr = (mode or stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def inside(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def yard(tmp_path):
    """A folder to unpack in, whose surroundings are looked at afterwards: they hold the archive and nothing else."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "yard").mkdir()
    (tmp_path / "victim").write_text("mine")
    yield tmp_path / "yard"
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "yard", "victim"}
    assert not any((tmp_path / "outside").iterdir())
    assert (tmp_path / "victim").read_text() == "mine"


def refused(archive, *words, limits=module.LIMITS):
    """It is refused in one sentence, before and after `damage`, and only the archive is left."""
    with pytest.raises(BadInput) as caught:
        extract(archive, archive.parent / "out", limits)
    sentence = str(caught.value)
    assert str(archive) in sentence and "\n" not in sentence and all(word in sentence for word in words), sentence
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    return sentence


# ---- what is whole


def test_files_come_out_as_they_went_in(yard):
    archive = make_zip(yard / "a.zip", FILES)
    assert damage(archive) is None and list(yard.iterdir()) == [archive]
    assert extract(archive, yard / "out") == yard / "out"
    assert inside(yard / "out") == FILES
    assert sorted(path.name for path in yard.iterdir()) == [archive.name, "out"]
    with pytest.raises(BadInput, match="exists already"):
        extract(archive, yard / "out")


def test_folder_entries_dots_and_an_empty_target_are_no_obstacle(yard):
    archive = make_zip(yard / "a.zip", {"d/": b"", "d//e/./f": b"1", "./g": b"2"})
    (yard / "out").mkdir()
    extract(archive, yard / "out")
    assert inside(yard / "out") == {"d/e/f": b"1", "g": b"2"}


def test_modes_and_owners_of_the_archive_are_not_taken_over(yard):
    archive = make_zip(yard / "a.zip", {"a": b"1"}, mode=stat.S_IFREG | 0o6777)
    extract(archive, yard / "out")
    assert not (yard / "out" / "a").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


def test_kinds_by_their_first_bytes(yard):
    assert archive_kind(make_zip(yard / "a", FILES).read_bytes()[:512]) == "zip"
    for head, kind in ((b"\x1f\x8b\x08", "gz"), (bytes(257) + b"ustar\0", "tar"),
                       (b"Rar!\x1a\x07", "rar"), (b"7z\xbc\xaf'\x1c", "7z"), (b"", "unknown"),
                       (b"\xef\xbb\xbf \n<!DOCTYPE html>", "web page"), (b"{}", "unknown")):  # fmt: skip
        assert archive_kind(head) == kind


# ---- what wants out


OUTSIDE = ["../outside/x", "a/../../outside/x", "../victim", "..", "/tmp/x", "//x", "C:/x", "c:x", "..\\outside\\x", "a\\b",
           "a/..", "a\0/../../x"]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_could_leave_the_folder_are_refused(yard, name):
    refused(make_zip(yard / "a.zip", {"good": b"1", name: b"bad"}), "is refused", "nothing of it was unpacked")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(yard, mode):
    archive = make_zip(yard / "a.zip", {"good": b"1", "door": b"../outside"}, mode=mode | 0o777)
    refused(archive, "a link" if mode == stat.S_IFLNK else "a device or pipe")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_occur_twice_are_refused(yard):
    with zipfile.ZipFile(yard / "a.zip", "w") as archive:
        archive.writestr("a/b", "1")
        archive.writestr("a/./b", "2")
    refused(yard / "a.zip", "holds twice")
    with zipfile.ZipFile(yard / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a/b", "2")
    refused(yard / "a.zip", "two of its members want the name 'a'")


# ---- what is too much


def zeros(gigabytes, header=b""):
    """Raw deflate of `header` and that many GB of zeros, in milliseconds: one block, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(10**7)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + block * (gigabytes * 100) + packer.flush()


def zip_of(stream, declared, name=b"zeros"):
    """A zip with one deflated member that says it has `declared` bytes (below 4 GiB, or in zip64's field)."""
    small, extra = min(declared, 0xFFFFFFFF), b""
    if declared > small:
        extra = struct.pack("<HHQ", 1, 8, declared)
    head = struct.pack("<HHHHHLLLHH", 45, 0, 8, 0, 33, 0, len(stream), small, len(name), len(extra))
    local = b"PK\x03\x04" + head + name + extra + stream
    central = b"PK\x01\x02" + struct.pack("<H", 45) + head + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name + extra
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local), 0)


def test_ten_gigabytes_of_zeros_are_refused_by_their_declared_size(yard):
    bomb = yard / "a.zip"
    bomb.write_bytes(zip_of(zeros(10), 10**10))
    start = time.monotonic()
    refused(bomb, "10.0GB", "out of proportion")
    assert time.monotonic() - start < 2


def test_a_bomb_that_lies_about_its_size_writes_no_more_than_it_says(yard, monkeypatch):
    bomb = yard / "a.zip"
    bomb.write_bytes(zip_of(zeros(10), 5_000_000))
    written = []
    monkeypatch.setattr(module.tqdm, "update", lambda bar, n=1: written.append(n))
    start = time.monotonic()
    refused(bomb, "damaged")
    assert sum(written) <= 5_000_000 and time.monotonic() - start < 2


def test_the_sum_counts_and_so_does_the_number(yard):
    archive = make_zip(yard / "a.zip", {f"f{i}": bytes(1000) for i in range(50)})
    assert archive.stat().st_size * 2 < 50_000
    refused(archive, "out of proportion", limits=Limits(ratio=2.0, free_bytes=10))
    refused(archive, "more than 49", limits=Limits(members=49))
    refused(archive, "out of proportion", limits=Limits(total_bytes=49_999))
    extract(archive, yard / "out", Limits(members=50, total_bytes=50_000))
    assert len(inside(yard / "out")) == 50


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_written(yard, monkeypatch):
    archive = make_zip(yard / "a.zip", {"a": bytes(5000)})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 4999}))
    refused(archive, "are free; free some space")


# ---- what is broken


def test_a_zip_cut_anywhere_is_refused(yard):
    whole = make_zip(yard / "a.zip", FILES).read_bytes()
    for end in range(0, len(whole), 17):
        (yard / "a.zip").write_bytes(whole[:end])
        refused(yard / "a.zip")
        assert damage(yard / "a.zip")


def test_mutated_archives_end_in_a_sentence_or_in_the_very_files(yard):
    rng = random.Random("zip")
    path = make_zip(yard / "a", FILES)
    whole = path.read_bytes()
    for _ in range(400):
        broken = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        path.write_bytes(broken)
        try:
            extract(path, yard / "out")
        except BadInput as error:
            assert "\n" not in str(error)
        else:
            assert sorted(inside(yard / "out").values()) == sorted(FILES.values())
            module.shutil.rmtree(yard / "out")
        assert [entry.name for entry in yard.iterdir()] == ["a"]


def test_locked_and_unknown_archives_say_what_to_do(yard):
    archive = make_zip(yard / "a.zip", {"a": b"secret"})
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    refused(archive, "password", "by hand", "--source")
    raw[raw.index(b"PK\x01\x02") + 8] &= ~1
    raw[raw.index(b"PK\x01\x02") + 10] = 9  # deflate64
    archive.write_bytes(raw)
    refused(archive, "compression method 9", "by hand")
    for content, words in ((b"Rar!\x1a\x07\x01\0", ".rar"), (b"7z\xbc\xaf'\x1c", ".7z"), (b"<html>", "a web page"),
                           (b"", "is empty"), (b"hi", "something else")):  # fmt: skip
        archive.write_bytes(content)
        refused(archive, words)
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        archive.write_bytes(pack(b"hi"))
        refused(archive, "is one packed file and no archive", "unpack it by hand", "--source")
    make_zip(archive, {})
    refused(archive, "holds no files")
    archive.unlink()
    with pytest.raises(BadInput, match="there is no archive"):
        extract(archive, yard / "out")


def test_a_folder_that_cannot_be_written_is_named(yard):
    archive = make_zip(yard / "a.zip", FILES)
    with pytest.raises(BadInput, match="cannot unpack .*intact"):
        extract(archive, archive / "out")  # a file where the folder should be
    archive.with_name("b.zip").write_bytes(make_zip(archive, {"x" * 300: b"1"}).read_bytes())
    with pytest.raises(BadInput, match="cannot unpack .*too long"):
        extract(archive, yard / "out")
    assert not (yard / "out").exists()


# ---- SIGKILL


def test_killed_while_unpacking_and_started_again(tmp_path):
    content = random.Random(0).randbytes(3000)
    files = {f"d{i % 40}/f{i}": content[i % 1000 :] for i in range(1500)}
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, part in files.items():
            packed.writestr(name, part)
    command = [
        sys.executable,
        "-c",
        f"from data_download.fetching.archive import extract; extract({str(archive)!r}, {str(tmp_path / 'out')!r})",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    hidden = tmp_path / ".out-unpacking" / "d20"
    while not hidden.exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was faster than the kill"
    assert not (tmp_path / "out").exists() and (tmp_path / ".out-unpacking").exists()
    extract(archive, tmp_path / "out")
    assert inside(tmp_path / "out") == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "out"]
