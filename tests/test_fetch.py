"""`fetch` and `list` as a person calls them: terms, checksums, locks, kills, and what is got by hand."""

import dataclasses
import hashlib
import io
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from bad_server import PAYLOAD, STOP, page, running, serve
from filelock import FileLock

from advconf_lite.support.errors import BadInput
from data_download.__main__ import main
from data_download.fetch import fetch
from data_download.fetching.download import BLOCK
from data_download.fetching.terms import accept_terms
from data_download.listing import describe
from data_download.sets import FETCHED, find_data_set

ROOT = Path(__file__).parent.parent


def changed(data, **source):
    """A data set with another source."""
    return dataclasses.replace(data, source=dataclasses.replace(data.source, **source))


@pytest.fixture
def site():
    with running() as server:
        yield server


def command(*arguments, **how):
    return subprocess.run(
        [sys.executable, "-m", "data_download", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, **how,
    )  # fmt: skip


def sentence(err):
    """The last line, which is the program's own; progress bars come before it."""
    last = err.rstrip("\n").split("\n")[-1]
    assert last.startswith("data_download: ")
    return last


def test_fetch_downloads_checks_unpacks_and_names_the_next_command(site, tmp_path, capsys):
    fetch_pmri = ["fetch", "pmri", "--url", site.url, "--out", str(tmp_path)]
    assert main([*fetch_pmri, "--accept-terms"]) == 0
    out, err = capsys.readouterr()
    inner = tmp_path / "pmri" / "Top" / "sub"
    assert f"prepare pmri --source {inner} --out data/pmri" in out and "not stated" in err
    assert len(list(inner.iterdir())) == 4
    assert {path.name for path in tmp_path.iterdir()} == {
        "pmri", "pmri.terms.json", "Processed_data_nii.zip", ".pmri.lock"}  # fmt: skip
    record = json.loads((tmp_path / "pmri.terms.json").read_text())
    assert record["accepted_by"] and record["accepted_at"] and record["licence"].startswith("not stated")
    assert record["page"] == "https://liuquande.github.io/SAML/" and record["how"] == "--accept-terms"
    assert main(fetch_pmri) == 0 and len(site.requests) == 1  # nothing is asked, nothing is fetched
    # Without the unpacked folder the archive is enough, and without the archive the folder is.
    shutil.rmtree(tmp_path / "pmri")
    assert main(fetch_pmri) == 0 and len(site.requests) == 1
    (tmp_path / "Processed_data_nii.zip").unlink()
    assert main(fetch_pmri) == 0 and len(site.requests) == 1


def test_a_wrong_checksum_leaves_nothing_under_the_final_name(site, tmp_path, capsys):
    fetch_acdc = ["fetch", "acdc", "--url", site.url, "--out", str(tmp_path), "--accept-terms"]
    site.plan = [serve(), serve()]
    for _ in range(2):  # and a second run starts clean
        assert main(fetch_acdc) == 2
        assert FETCHED["acdc"].source.checksum.removeprefix("sha256:") in sentence(capsys.readouterr().err)
        assert not (tmp_path / "ACDC.zip").exists() and not (tmp_path / "acdc").exists()
        assert "Range" not in site.requests[-1][1]
    (tmp_path / "ACDC.zip").write_bytes(PAYLOAD)
    assert main(fetch_acdc) == 2
    assert "ACDC.zip is not what was published" in sentence(capsys.readouterr().err)


def test_checksums_may_be_md5(site, tmp_path):
    right = changed(FETCHED["acdc"], checksum="md5:" + hashlib.md5(PAYLOAD).hexdigest())
    fetch(right, tmp_path, accepted=True, url=site.url)
    assert (tmp_path / "ACDC.zip").read_bytes() == PAYLOAD
    wrong = dataclasses.replace(changed(right, archive="other.zip", checksum="md5:" + "0" * 32), name="other")
    with pytest.raises(BadInput, match="its md5 is"):
        fetch(wrong, tmp_path, accepted=True, url=site.url)


def test_two_at_once_in_one_folder(site, tmp_path, capsys):
    with FileLock(tmp_path / ".pmri.lock"):
        assert main(["fetch", "pmri", "--url", site.url, "--out", str(tmp_path), "--accept-terms"]) == 2
        assert f"another process is fetching pmri to {tmp_path}" in sentence(capsys.readouterr().err)
        assert site.requests == []
    assert main(["fetch", "pmri", "--url", site.url, "--out", str(tmp_path), "--accept-terms"]) == 0


def test_an_archive_that_wants_out_is_refused_by_the_command(site, tmp_path, capsys):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("../../escaped", "bad")
    site.payload = buffer.getvalue()
    out = tmp_path / "a" / "b"
    assert main(["fetch", "pmri", "--url", site.url, "--out", str(out), "--accept-terms"]) == 2
    assert "a path that leaves the folder" in sentence(capsys.readouterr().err)
    assert not list(tmp_path.rglob("escaped")) and not (out / "pmri").exists()
    assert not (out / "Processed_data_nii.zip").exists()


def test_a_folder_that_cannot_be_written_and_names_that_do_not_exist(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["fetch", "pmri", "--out", str(tmp_path / "file")]) == 2
    assert "cannot write to" in sentence(capsys.readouterr().err)
    assert main(["fetch", "mnist"]) == 2
    assert "choose from: acdc, mnms2, pmri, promise12" in sentence(capsys.readouterr().err)
    assert main(["fetch"]) == 2 and "NAME" in sentence(capsys.readouterr().err)


def limit_file_size():
    """As on a full disk, writing fails in the middle of a file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_a_disk_that_fills_up_ends_in_a_sentence_and_the_next_run_goes_on(site, tmp_path):
    done = command("fetch", "pmri", "--url", site.url, "--out", tmp_path, "--accept-terms", preexec_fn=limit_file_size)
    assert done.returncode == 2 and "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert sentence(done.stderr).endswith("run the same command again (what was already written is intact) (--out)")
    done = command("fetch", "pmri", "--url", site.url, "--out", tmp_path, "--accept-terms")
    assert done.returncode == 0 and "Range" in site.requests[-1][1]
    assert len(list((tmp_path / "pmri").rglob("case*"))) == 4


def test_the_quota_page_of_drive_leads_to_the_way_by_hand(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(FETCHED, "pmri", changed(FETCHED["pmri"], url=site.url))
    site.plan = [page("Google Drive - Quota exceeded")]
    assert main(["fetch", "pmri", "--out", str(tmp_path), "--accept-terms"]) == 2
    text = sentence(capsys.readouterr().err)
    for part in ("'Google Drive - Quota exceeded'", "drive.google.com/file/d/", "Processed_data_nii.zip", "so often a day"):
        assert part in text
    assert not (tmp_path / "pmri").exists()
    # by hand, as it says
    (tmp_path / "Processed_data_nii.zip").write_bytes(PAYLOAD)
    assert main(["fetch", "pmri", "--out", str(tmp_path)]) == 0


# ---- killed


def started(site, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "data_download", "fetch", "pmri", "--url", site.url, "--out", str(folder), "--accept-terms"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # A shell starts what ends in & with SIGINT ignored, and children inherit that: so may the tests have been.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(condition, process):
    end = time.monotonic() + 60
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    assert condition(), process.communicate()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_while_downloading_and_started_again(site, tmp_path, how):
    site.plan = [serve(chunk=STOP + 3 * BLOCK, pause=30)]  # stalls: a busy machine cannot finish before the signal
    part = tmp_path / "Processed_data_nii.zip.part"
    process = started(site, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size > STOP, process)
    process.send_signal(how)
    _, err = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 130 and "Traceback" not in err
        assert err.rstrip().endswith("stopped; the same command goes on from here")
    assert not (tmp_path / "Processed_data_nii.zip").exists() and part.stat().st_size > STOP
    process = started(site, tmp_path)
    assert process.communicate() and process.returncode == 0
    assert site.requests[-1][1]["Range"].startswith("bytes=1")
    assert (tmp_path / "Processed_data_nii.zip").read_bytes() == PAYLOAD and not part.exists()
    assert len(list((tmp_path / "pmri").rglob("case*"))) == 4


def test_killed_while_unpacking_and_started_again(site, tmp_path):
    rng = random.Random(0)
    files = {f"Top/f{i}": rng.randbytes(2000) for i in range(1500)}
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    site.payload = buffer.getvalue()
    process = started(site, tmp_path)
    wait_for(lambda: (tmp_path / ".pmri-unpacking" / "Top" / "f200").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "pmri").exists()
    process = started(site, tmp_path)
    assert process.communicate() and process.returncode == 0 and len(site.requests) == 1
    folder = tmp_path / "pmri"
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("f*")} == files
    assert not (tmp_path / ".pmri-unpacking").exists()


# ---- terms


def test_terms_are_asked_once_and_recorded(tmp_path):
    data, questions = FETCHED["acdc"], []

    def answer(text):
        return lambda question: questions.append(question) or text

    for text in ("no", "", "y"):
        with pytest.raises(BadInput, match="not accepted"):
            accept_terms(data, tmp_path, False, answer(text))
    with pytest.raises(BadInput, match="nobody is here .*--accept-terms"):
        accept_terms(data, tmp_path, False, None)
    assert not list(tmp_path.iterdir()) and len(questions) == 3
    record = accept_terms(data, tmp_path, False, answer(" Yes "))
    assert json.loads(record.read_text())["how"] == "typed yes"
    before = record.read_bytes()
    assert accept_terms(data, tmp_path, False, None) == record and record.read_bytes() == before
    # Other terms are another question, and so is a record that cannot be read.
    with pytest.raises(BadInput, match="nobody is here"):
        accept_terms(changed(data, licence="none of your business"), tmp_path, False, None)
    record.write_text("{")
    with pytest.raises(BadInput, match="nobody is here"):
        accept_terms(data, tmp_path, False, None)


def test_end_of_input_is_no_yes(tmp_path):
    def closed(question):
        raise EOFError

    with pytest.raises(BadInput, match="not accepted"):
        accept_terms(FETCHED["acdc"], tmp_path, False, closed)


def test_a_script_without_a_terminal_is_told_about_the_option(site, tmp_path):
    done = command("fetch", "acdc", "--url", site.url, "--out", tmp_path)
    assert done.returncode == 2 and "--accept-terms" in sentence(done.stderr) and site.requests == []
    assert "CC BY-NC-SA 4.0" in done.stderr and "Bernard" in done.stderr


# ---- by hand


def test_mnms2_is_got_by_hand(tmp_path, capsys):
    assert main(["fetch", "mnms2", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "the archive is not there yet" in sentence(err)
    for part in ("https://www.ub.edu/mnms-2/", str(tmp_path / "MnM2.zip"), ".rar", str(tmp_path / "mnms2"), "--source"):
        assert part in err
    (tmp_path / "mnms2.RAR").write_bytes(b"Rar!")
    assert main(["fetch", "mnms2", "--out", str(tmp_path)]) == 2
    assert "mnms2.RAR, which you have to unpack by hand" in sentence(capsys.readouterr().err)
    (tmp_path / "MnM2.zip").write_bytes(PAYLOAD[:5000])
    assert main(["fetch", "mnms2", "--out", str(tmp_path), "--accept-terms"]) == 2
    assert "MnM2.zip is damaged or incomplete" in sentence(capsys.readouterr().err)
    (tmp_path / "MnM2.zip").write_bytes(PAYLOAD)
    assert main(["fetch", "mnms2", "--out", str(tmp_path)]) == 0
    assert f"prepare mnms2 --source {tmp_path / 'mnms2' / 'Top' / 'sub'}" in capsys.readouterr().out


def test_no_address_is_invented():
    known = {
        "mnms2": None,
        "pmri": "1TtrjnlnJ1yqr5m4LUGMelKTQXtvZaru-",
        "acdc": "humanheart-project.creatis.insa-lyon.fr/database/api/v1/collection/637218c173e9f0047faa00fb/download",
        "promise12": "zenodo.org/records/8026660/files/training_data.zip?download=1",
    }
    assert set(FETCHED) == set(known)
    for name, part in known.items():
        url = FETCHED[name].source.url
        assert (url is None) if part is None else (part in url)
    addresses = {word for word in FETCHED["mnms2"].source.instructions("mnms2", Path("x")).split() if "://" in word}
    assert addresses == {"https://www.ub.edu/mnms-2/"}
    with pytest.raises(BadInput, match="choose from"):
        find_data_set("ACDC")


# ---- list


def test_list_says_what_is_here(tmp_path):
    downloads, prepared = tmp_path / "downloads", tmp_path / "data"
    text = describe(downloads, prepared)
    entries = dict(zip(FETCHED, text.split("\n\n")))
    assert all("here     nothing" in entry for entry in entries.values())
    for name, data in FETCHED.items():
        for fact in (data.what[:40], data.source.size, data.source.page, f"prepare {name} --source", "licence", "cite"):
            assert fact in entries[name]
    assert "not stated" in entries["pmri"] and "not stated" in entries["mnms2"] and "not published" in entries["pmri"]
    assert "by hand" in entries["mnms2"] and "sha256" in entries["acdc"] and "no checksum" in entries["pmri"]
    assert str(downloads) in text.split("\n\n")[-1] and str(prepared) in text.split("\n\n")[-1]

    downloads.mkdir()
    (downloads / "ACDC.zip").write_bytes(bytes(1500))
    (downloads / "acdc").mkdir()
    (downloads / "acdc" / "x").touch()
    (downloads / "PROMISE12.zip.part").write_bytes(bytes(20))
    (downloads / "pmri").mkdir()
    for name, made in (("heart", "python -m data_download prepare acdc --spacing 1"), ("mine", "by hand"), ("broken", None)):
        (prepared / name).mkdir(parents=True)
        (prepared / name / "dataset.json").write_text("{" if made is None else json.dumps({"how_made": made}))
    entries = dict(zip(FETCHED, describe(downloads, prepared).replace("\n             ", " ").split("\n\n")))
    here = f"archive {downloads / 'ACDC.zip'} (1.50kB); unpacked in {downloads / 'acdc'}; prepared in {prepared / 'heart'}"
    assert f"here     {here}" in entries["acdc"]
    assert "a part of the archive (20.0B); the same fetch goes on" in entries["promise12"]
    assert "here     nothing" in entries["pmri"] and "here     nothing" in entries["mnms2"]


def test_list_is_a_command_that_does_not_wait_for_pytorch():
    code = "import sys; from data_download.__main__ import main; main(['list']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("acdc\n") and done.stderr == ""


def test_workers_of_prepare_import_no_more_than_they_use():
    heavy = ["pandas", "monai", "matplotlib", "SimpleITK"]
    code = f"import sys, data_download.preparing.scans; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"  # each of them starts as many processes as there are cores, and imports take seconds
