"""One archive over HTTP: whole and verified under its name, or not there.

Why not a library: pooch starts a broken download again at byte 0, and urllib3's Retry waits as a server asks, but not
when the body breaks off. requests and urllib3 do connections, redirects, certificates, proxies and the reading of
Retry-After; the loop around them is here.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import requests
from requests import exceptions
from tqdm import tqdm
from urllib3.exceptions import HTTPError, InvalidHeader, LocationValueError
from urllib3.util import Retry

import advconf_lite
from advconf_lite.support import progress
from advconf_lite.support.errors import BadInput
from data_download.fetching.address import without_password
from data_download.fetching.drive import confirmation
from data_download.fetching.encoding import archive_is, inside, unpack
from data_download.fetching.kinds import archive_kind
from data_download.fetching.refusals import Refusals, said

BLOCK = 1 << 14  # what is lost when a connection is reset: urllib3 keeps a block that was begun to itself
HEAD = 512  # bytes that tell an archive from a web page
PAGE = 1 << 18  # and of a web page, so many to find its title and form in
NOTES = ("url", "etag", "modified", "total", "encoding")  # what is kept beside a part
LONGEST_PAUSE = 60.0  # seconds, between our own attempts
LONGEST_WAIT = 600.0  # seconds, that a server may ask for


class _Again(Exception):
    """This connection came to nothing; another may not. `wait`: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def download(
    url: str,
    path: str | Path,
    damage: Callable[[Path], str | None],
    by_hand: str = "download it in a browser",
    size_bytes: int | None = None,
    unpacks_to: float = 0.0,
    attempts: int = 7,
    timeout: tuple[float, float] = (20.0, 60.0),
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch `url` to `path`.

    What has come is kept in `path` + ".part", and a later call goes on there if the server can and its file is still the
    same. The caller makes sure that only one process fetches to `path`.

    Args:
        damage: what is wrong with a file that came whole, or None; called once, before the file gets its name.
        by_hand: half a sentence on how to get the file otherwise; it ends most error messages.
        size_bytes: about how large the file is, for a server that does not say.
        unpacks_to: room to leave on the disk for unpacking, as a multiple of the archive.
        attempts: give up after so many connections in a row that brought no byte further.
        timeout: seconds to wait for a connection, and for the next byte.
        sleep: called with seconds between attempts.

    Raises:
        BadInput: the server refuses, sends something that is no archive or fails too often, or the disk is full or too
            small; what came is kept and taken up again. A file that came whole and is wrong is kept as `path` + ".bad",
            so that the next call starts clean.
    """
    path = Path(path)
    job = _Job(url, path, by_hand, size_bytes, unpacks_to, timeout)
    host, advice = job.say.host, job.say.advice
    failures, furthest = 0, job.size()
    with requests.Session() as session, progress.bar(desc=f"fetch {path.name}", unit="B", unit_scale=True) as bar:
        session.headers["User-Agent"] = f"advconf-lite/{advconf_lite.__version__}"
        while not job.complete():
            try:
                job.connect(session, bar)
                break
            except _Again as problem:
                failures = 0 if job.size() > furthest else failures + 1
                furthest = max(furthest, job.size())
                kept = " (what came is kept)" if job.size() else ""
                if failures >= attempts:
                    if job.size() and damage(job.part) is None:
                        break  # the server's Content-Length was wrong, the file is not
                    raise BadInput(
                        f"{host}: {problem}, {failures} times; {advice}run the same command again later{kept}, or {by_hand}"
                    ) from problem
                if problem.wait > LONGEST_WAIT:
                    raise BadInput(
                        f"{host}: {problem} and asks to wait {problem.wait / 60:.0f} minutes; run the same command again "
                        f"then{kept}, or {by_hand}"
                    ) from problem
                # A class that starts together should not come back together.
                pause = min(LONGEST_PAUSE, 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)
                wait = max(problem.wait, pause)
                tqdm.write(f"{host}: {problem}; trying again in {wait:.0f} s", file=sys.stderr)
                sleep(wait)
    whole, problem = job.unpacked()
    problem = problem or damage(whole)
    if problem is not None:
        bad = path.with_name(path.name + ".bad")
        os.replace(whole, bad)
        job.restart()
        raise BadInput(
            f"what {host} sent is wrong: {problem}; it is kept as {bad}; run the same command again to download anew, or "
            f"{by_hand}"
        )
    with open(whole, "rb") as file:
        os.fsync(file.fileno())  # a rename may reach the disk before the contents do
    os.replace(whole, path)
    job.restart()
    return path


class _Job:
    """A download that may take several connections, and several processes one after another."""

    def __init__(
        self,
        url: str,
        path: Path,
        by_hand: str,
        size_bytes: int | None,
        unpacks_to: float,
        timeout: tuple[float, float],
    ):
        self.url, self.path, self.timeout = url, path, timeout
        self.size_bytes, self.unpacks_to = size_bytes, unpacks_to
        self.part = path.with_name(path.name + ".part")
        self._notes = path.with_name(path.name + ".part.json")
        self.known = self._read_notes()
        self.say = Refusals(url, by_hand)

    def _read_notes(self) -> dict:
        """What `url` said of the file whose beginning is in `part`; {} if `part` is of another address."""
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            return {key: notes[key] for key in NOTES} if notes["url"] == without_password(self.url) else {}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def size(self) -> int:
        """Bytes of this file that are here."""
        return self.part.stat().st_size if self.known and self.part.is_file() else 0

    def complete(self) -> bool:
        return self.size() > 0 and self.size() == self.known.get("total")

    def restart(self) -> None:
        self.part.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        self._notes.unlink(missing_ok=True)
        self.known = {}

    def connect(self, session: requests.Session, bar: tqdm) -> None:
        """One request; returns when the file is whole.

        Raises:
            _Again: the connection or the server failed in a way that may pass.
            BadInput: it will not pass.
        """
        try:
            self._transfer(session, self.url, bar)
        except exceptions.SSLError as error:
            raise self.say.certificate(error) from error
        except exceptions.Timeout as error:
            raise _Again(f"no answer in time{self.say.through}") from error
        except (LocationValueError, UnicodeError) as error:  # no name of a server, or of a proxy
            raise self.say.no_address(error) from error
        except (exceptions.ConnectionError, exceptions.ChunkedEncodingError, HTTPError) as error:
            if refusal := re.search(r"Tunnel connection failed: (4\d\d [\w ]*)", str(error)):
                raise self.say.by_proxy(refusal[1].strip()) from error
            if "Max retries" in str(error):  # of connecting: urllib3's word for none at all
                raise _Again(f"no connection{self.say.through or ' (is this machine online?)'}") from error
            raise _Again(f"the connection broke off at {_size(self.size())}") from error
        except exceptions.RequestException as error:
            raise self.say.no_address(error) from error
        except OSError as error:
            raise self.say.not_written(error, self.part) from error

    def unpacked(self) -> tuple[Path, str | None]:
        """The file that came whole, out of what the server packed around it; and what is wrong with that packing."""
        if not self.known.get("encoding"):
            return self.part, None
        inside = self.path.with_name(self.path.name + ".unpacked")
        try:
            unpack(self.part, inside)
        except OSError as error:
            inside.unlink(missing_ok=True)
            raise self.say.not_written(error, self.part) from error
        except (EOFError, zlib.error) as error:
            inside.unlink(missing_ok=True)
            return self.part, f"its packing ({self.known['encoding']}) is damaged ({said(error)})"
        return inside, None

    def _transfer(self, session: requests.Session, url: str, bar: tqdm, asked: bool = False) -> None:
        have = self.size()
        headers = {"Accept-Encoding": "identity"}  # a compressed body could not be continued
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := self.known.get("etag") or self.known.get("modified"):
                headers["If-Range"] = validator
        with session.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            response.raw.enforce_content_length = False  # we count; urllib3 would throw the last block away
            self._raise_for_status(response, have)
            if response.status_code == 416:
                return
            # As they come: requests would unpack what a server packed, and then neither number nor place of a byte is known.
            body, head = response.raw.stream(BLOCK, decode_content=False), b""
            if response.status_code == 206:
                total, encoding = self._continued(response, have), self.known["encoding"]
                self._room(have, total)
            else:
                length = response.headers.get("Content-Length", "")
                total = int(length) if length.isdigit() else None
                self._room(0, total)
                while len(head) < HEAD and (more := next(body, b"")):
                    head += more
                encoding = response.headers.get("Content-Encoding", "").strip().lower()
                if not (where := archive_is(head, encoding)):
                    kind = archive_kind(inside(head, encoding))
                    while kind == "web page" and len(head) < PAGE and (more := next(body, b"")):
                        head += more
                    page = inside(head, encoding)
                    if kind == "web page" and not asked and (form := confirmation(page, response.url)):
                        return self._transfer(session, form, bar, asked=True)
                    raise self.say.no_archive(kind, page, encoding)
                encoding = encoding if where == "inside" else None
                if have:
                    tqdm.write("the server starts from the beginning", file=sys.stderr)
                have = 0
            etag = response.headers.get("ETag", "")
            strong = None if etag.startswith("W/") else etag or None  # weak ones do not promise equal bytes
            notes = (without_password(self.url), strong, response.headers.get("Last-Modified"), total, encoding)
            self.known = dict(zip(NOTES, notes))
            self._write(head, body, have, bar)
        if total is not None and self.size() < total:
            raise _Again(f"the connection broke off at {_size(self.size())} of {_size(total)}")
        if total is not None and self.size() > total:
            self.restart()
            raise _Again("it sent more than it announced")

    def _write(self, head: bytes, body, have: int, bar: tqdm) -> None:
        with open(self.part, "r+b" if have else "wb") as file:
            file.truncate(have)
            file.seek(have)
            if self._read_notes() != self.known:  # written after the old bytes are gone and before new ones come
                self._notes.write_text(json.dumps(self.known), encoding="utf-8")
            bar.total, bar.n = self.known["total"], have
            bar.refresh()
            file.write(head)
            bar.update(len(head))
            for block in body:
                file.write(block)
                file.flush()  # so that a kill loses no more than a block
                bar.update(len(block))

    def _raise_for_status(self, response: requests.Response, have: int) -> None:
        status = response.status_code
        answer = f"it answers {status} {response.reason or ''}".strip() + self.say.through
        if status == 407:
            raise self.say.by_proxy(f"{status} {response.reason or ''}".strip())
        if status in (408, 425, 429) or status >= 500:
            raise _Again(answer, _retry_after(response))
        if status == 416 and have:
            stated = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
            if stated and int(stated[1]) == have:
                return
            self.restart()
            raise _Again("its file is not the one that was begun")
        if status not in (200, 206) or (status == 206 and not have):
            raise self.say.refused(answer)

    def _continued(self, response: requests.Response, have: int) -> int | None:
        """The file's size, from an answer that goes on at byte `have`."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = int(found[2]) if found and found[2] != "*" else self.known["total"]
        another = found is None or int(found[1]) != have or total != (self.known["total"] or total)
        for note, header in (("etag", "ETag"), ("modified", "Last-Modified")):  # a server may overlook If-Range
            another |= bool(self.known[note]) and response.headers.get(header, self.known[note]) != self.known[note]
        if another:
            self.restart()
            raise _Again("its file is not the one that was begun")
        return total

    def _room(self, have: int, total: int | None) -> None:
        total = total or self.size_bytes or 0
        needed = total * (1 + self.unpacks_to) - have
        old = self.part.stat().st_size - have if self.part.is_file() else 0  # will be overwritten
        free = shutil.disk_usage(self.path.parent).free + old
        if needed > free:
            raise BadInput(
                f"{self.path.parent} has {_size(free)} free and {self.path.name} needs about {_size(needed)} "
                f"({_size(total - have)} to download, the rest to unpack); free some space or choose another folder with "
                "--out"
            )


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server asks to wait, given as a number or as a date; 0 if it does not say."""
    try:
        retry = Retry()
        retry.retry_after_max = 10**9  # newer ones cut what is longer, and the limit is ours
        return retry.parse_retry_after(response.headers["Retry-After"])
    except (KeyError, InvalidHeader, ValueError, OverflowError):
        return 0.0


def _size(count: float) -> str:
    return tqdm.format_sizeof(count, "B", 1000)
