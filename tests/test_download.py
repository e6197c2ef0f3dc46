"""Downloads from a server on loopback that misbehaves: whole and verified, or a sentence and nothing broken."""

import dataclasses
import email.utils
import hashlib
import os
import random
import socket
import time

import pytest
from bad_server import PAYLOAD, STOP, fail, page, running, serve, zipped

import data_download.fetch
from advconf_lite.support.errors import BadInput
from data_download.fetching.archive import damage
from data_download.fetching.download import BLOCK, LONGEST_PAUSE, download
from data_download.sets import FETCHED


@pytest.fixture
def site():
    with running() as server:
        yield server


def checked(payload=PAYLOAD):
    """The check of a published checksum."""
    expected = hashlib.sha256(payload).hexdigest()
    return data_download.fetch.checksum_check(dataclasses.replace(FETCHED["acdc"].source, checksum=f"sha256:{expected}"))


def get(site, folder, check=None, **how):
    how = {"sleep": lambda seconds: None, "timeout": (2.0, 2.0), **how}
    return download(site.url, folder / "data.zip", check or checked(site.payload), **how)


def whole(folder, payload=PAYLOAD):
    """The archive is there, and nothing else."""
    assert (folder / "data.zip").read_bytes() == payload
    assert os.listdir(folder) == ["data.zip"]
    return True


def refused(site, folder, *words, left=(), **how):
    with pytest.raises(BadInput) as caught:
        get(site, folder, **how)
    sentence = str(caught.value)
    assert "\n" not in sentence and all(word in sentence for word in words), sentence
    assert sorted(os.listdir(folder)) == sorted(left)
    return sentence


# ---- a server that behaves, and one that drops


def test_one_request_for_a_whole_file(site, tmp_path):
    get(site, tmp_path)
    assert whole(tmp_path) and len(site.requests) == 1
    assert "Range" not in site.requests[0][1] and site.requests[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("seed", range(8))
def test_dropped_at_random_bytes_it_goes_on_there(site, tmp_path, seed):
    rng = random.Random(seed)
    stops = [rng.randrange(1, 90_000) for _ in range(4)]
    site.plan = [serve(stop=stop) for stop in stops]
    get(site, tmp_path)
    assert whole(tmp_path) and len(site.requests) == 5
    had = 0
    for (_, headers), stop in zip(site.requests[1:], stops):
        start = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        assert had + stop - BLOCK < start <= had + stop
        assert headers.get("If-Range") == ('"v1"' if start else None)
        had = start


def test_a_server_without_ranges_starts_anew(site, tmp_path, capsys):
    site.plan = [serve(stop=STOP), serve(ranges=False, stop=200_000), serve(ranges=False)]
    get(site, tmp_path)
    assert whole(tmp_path) and "from the beginning" in capsys.readouterr().err


def test_always_dropping_without_ranges_ends_in_a_sentence_and_a_part(site, tmp_path):
    site.plan = [serve(ranges=False, stop=STOP)] * 4
    words = ("broke off at 98.3kB of 400kB", "3 times", "run the same command again later", "in a browser")
    refused(site, tmp_path, *words, left=["data.zip.part", "data.zip.part.json"], attempts=3)
    assert len(site.requests) == 4  # one that brought something, and three that brought nothing new
    get(site, tmp_path)
    assert whole(tmp_path) and site.requests[-1][1]["Range"] == f"bytes={STOP}-"


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("size", [400_000, 500_000])
def test_a_file_that_changed_meanwhile_is_not_joined_to_the_old_one(site, tmp_path, if_range, size):
    new = zipped(seed=1, size=size)
    site.plan = [serve(PAYLOAD, stop=STOP), *[serve(new, etag='"v2"', if_range=if_range)] * 2]
    site.payload = new
    get(site, tmp_path)
    assert whole(tmp_path, new)


def test_without_validators_a_changed_file_is_found_by_its_checksum(site, tmp_path):
    new = zipped(seed=1)
    assert len(new) == len(PAYLOAD)
    site.plan, site.payload = [serve(PAYLOAD, etag=None, stop=STOP), serve(new, etag=None)], new
    sentence = refused(site, tmp_path, "its sha256 is", "replaced the file", "download anew", left=["data.zip.bad"])
    assert str(tmp_path / "data.zip.bad") in sentence and hashlib.sha256(new).hexdigest() in sentence
    get(site, tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == new
    # The same without a published checksum: the zip's own ones tell.
    site.plan = [serve(PAYLOAD, etag=None, stop=STOP), serve(new, etag=None)]
    (tmp_path / "data.zip").unlink()
    refused(site, tmp_path, "damaged", check=damage, left=["data.zip.bad"])


def test_a_weak_etag_does_not_promise_equal_bytes_but_a_date_does(site, tmp_path):
    dated = [("Last-Modified", "Tue, 01 Jan 2019 00:00:00 GMT")]
    site.plan = [serve(etag='W/"v1"', stop=STOP, headers=dated), serve(etag='W/"v1"', if_range=False, headers=dated)]
    get(site, tmp_path)
    assert whole(tmp_path) and site.requests[1][1]["If-Range"] == dated[0][1]


def test_a_part_of_another_address_is_not_continued_and_not_lost_before_something_better_comes(site, tmp_path):
    site.plan = [serve(stop=STOP), *[fail(503)] * 2]
    refused(site, tmp_path, "503", attempts=2, left=["data.zip.part", "data.zip.part.json"])
    site.plan, first, site.url = [fail(404)], site.url, site.url + "?mirror"
    refused(site, tmp_path, "404", left=["data.zip.part", "data.zip.part.json"])
    site.url = first
    get(site, tmp_path)
    assert whole(tmp_path) and site.requests[-1][1]["Range"] == f"bytes={STOP}-"


def test_a_part_that_was_whole_when_its_process_died_needs_no_server(site, tmp_path):
    site.plan = [serve(stop=len(PAYLOAD) - 1), fail(503)]
    refused(site, tmp_path, attempts=1, left=["data.zip.part", "data.zip.part.json"])
    (tmp_path / "data.zip.part").write_bytes(PAYLOAD)
    get(site, tmp_path)
    assert whole(tmp_path) and len(site.requests) == 2


@pytest.mark.parametrize("notes", ["", "[]", '{"url": 1}', '{"url": "URL"}', "\0"])
def test_damaged_notes_only_cost_the_part(site, tmp_path, notes):
    (tmp_path / "data.zip.part").write_bytes(b"garbage" * 100_000)
    (tmp_path / "data.zip.part.json").write_text(notes.replace("URL", site.url))
    get(site, tmp_path)
    assert whole(tmp_path)


# ---- a server that asks for patience


def test_retry_after_is_respected_as_seconds_and_as_a_date(site, tmp_path):
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    site.plan = [fail(429, Retry_After="7"), fail(503, Retry_After=date), fail(503, Retry_After="soon"), fail(500)]
    waits = []
    get(site, tmp_path, sleep=waits.append)
    assert whole(tmp_path)
    assert waits[0] == 7 and 25 < waits[1] <= 30 and 2 <= waits[2] <= 4 and 4 <= waits[3] <= 8


def test_an_absurd_wait_is_reported_and_not_waited(site, tmp_path):
    for value in ("86400", email.utils.formatdate(time.time() + 86400, usegmt=True)):
        site.plan, waits = [fail(429, Retry_After=value)], []
        refused(site, tmp_path, "429", "asks to wait 14", "minutes", sleep=waits.append)
        assert waits == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_stays_down_ends_in_a_sentence(site, tmp_path, status):
    site.plan, waits = [fail(status)] * 20, []
    refused(site, tmp_path, str(status), "7 times", sleep=waits.append)
    assert len(site.requests) == 7 and len(waits) == 6
    assert all(0.5 * 2**i <= wait <= 2**i <= LONGEST_PAUSE for i, wait in enumerate(waits))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_repeated(site, tmp_path, status):
    site.plan = [fail(status, b"<html>no</html>")]
    refused(site, tmp_path, str(status), "open it by hand", by_hand="open it by hand")
    assert len(site.requests) == 1


def test_a_server_that_falls_silent_is_asked_again(site, tmp_path):
    def silent(handler):
        time.sleep(0.6)
        handler.cut()

    site.plan = [silent, serve(stop=50_000), serve(chunk=100_000, pause=0.6), serve()]
    get(site, tmp_path, timeout=(0.3, 0.3))
    assert whole(tmp_path)


def test_nobody_listens(tmp_path, site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        site.url = f"http://127.0.0.1:{taken.getsockname()[1]}/x.zip"
        refused(site, tmp_path, "no connection", "7 times")
    site.url = "htp://example.org/x.zip"
    refused(site, tmp_path, "cannot be asked for")
    site.url = "nonsense"
    refused(site, tmp_path, "cannot be asked for")


# ---- a server that lies


def test_a_web_page_with_status_200_is_recognised_by_its_content(site, tmp_path):
    site.plan = [page("Sorry &mdash; maintenance", Content_Type="application/zip")]
    refused(site, tmp_path, "a web page ('Sorry", "instead of the archive")
    site.plan = [fail(200, b'{"error": 1}'), fail(200, b"Rar!\x1a\x07\x01\0"), fail(200)]
    refused(site, tmp_path, "something else")
    refused(site, tmp_path, "is a .rar", "unpack it by hand")
    refused(site, tmp_path, "it sent nothing")


def test_a_web_page_does_not_cost_the_part(site, tmp_path):
    site.plan = [serve(stop=STOP), page("Quota exceeded")]
    refused(site, tmp_path, "Quota exceeded", left=["data.zip.part", "data.zip.part.json"])
    get(site, tmp_path)
    assert whole(tmp_path) and site.requests[-1][1]["Range"] == f"bytes={STOP}-"


def test_a_content_length_that_is_too_large_does_no_harm(site, tmp_path):
    site.plan = [serve(length=len(PAYLOAD) + 1000)]
    get(site, tmp_path)  # it asks for the rest, and is told that there is none, or another file
    assert whole(tmp_path)
    (tmp_path / "data.zip").unlink()
    site.plan = [serve(length=len(PAYLOAD) + 1000, ranges=False)] * 9
    get(site, tmp_path, attempts=2)
    assert whole(tmp_path)


def test_a_content_length_that_is_too_small_ends_in_a_sentence(site, tmp_path):
    site.plan = [serve(length=len(PAYLOAD) - 1000)]
    refused(site, tmp_path, "its sha256 is", left=["data.zip.bad"])
    get(site, tmp_path)
    (tmp_path / "data.zip.bad").unlink()
    assert whole(tmp_path)
    site.plan = [serve(length=len(PAYLOAD) - 1000)]
    (tmp_path / "data.zip").unlink()
    refused(site, tmp_path, "damaged", check=damage, left=["data.zip.bad"])


def test_no_content_length(site, tmp_path):
    site.plan = [serve(length="none", ranges=False)]
    get(site, tmp_path)
    assert whole(tmp_path)
    (tmp_path / "data.zip").unlink()
    site.plan = [serve(length="none", ranges=False, stop=STOP)]  # looks like an end
    refused(site, tmp_path, "its sha256 is", left=["data.zip.bad"])


def test_a_wrong_range_is_not_written(site, tmp_path):
    wrong = [("Content-Range", f"bytes 5-9/{len(PAYLOAD)}")]

    def other_range(handler):
        handler.send_response(206)
        handler.send_header(*wrong[0])
        handler.send_header("Content-Length", "5")
        handler.end_headers()
        handler.wfile.write(PAYLOAD[5:10])

    site.plan = [serve(stop=STOP), other_range]
    get(site, tmp_path)
    assert whole(tmp_path) and "Range" not in site.requests[2][1]


# ---- the disk


def test_no_room_is_noticed_before_the_first_byte(site, tmp_path):
    site.plan = [serve(length=10**16, stop=1000)]
    refused(site, tmp_path, "free", "10.0PB", "--out")
    site.plan = [serve(length="none")]
    refused(site, tmp_path, "free", "10.0PB", size_bytes=10**16)
    refused(site, tmp_path, "free", "to unpack", unpacks_to=1e12)


# ---- Google Drive


def test_drive_asks_about_large_files_and_is_answered(site, tmp_path):
    form = (
        '<html><title>Google Drive - Virus scan warning</title><form id="download-form" action="{}" method="get">'
        '<input type="submit" value="Download anyway"/><input type="hidden" name="id" value="1Ttr&amp;j"/>'
        '<input type="hidden" name="confirm" value="t"/></form></html>'
    )
    site.plan = [fail(200, form.format("/really").encode()), serve(stop=1000), fail(200, form.format("/really").encode())]
    get(site, tmp_path)
    assert whole(tmp_path) and [path for path, _ in site.requests[:2]] == ["/data.zip", "/really?id=1Ttr%26j&confirm=t"]
    (tmp_path / "data.zip").unlink()
    site.plan = [fail(200, form.format("/really").encode())] * 2  # asks in circles
    refused(site, tmp_path, "Virus scan warning")
    site.plan = [fail(200, form.format("http://elsewhere.example/x").encode())]
    refused(site, tmp_path, "Virus scan warning")
