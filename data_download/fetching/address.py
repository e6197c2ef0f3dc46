"""The address that `fetch --url` was given: one that can be asked, or what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from advconf_lite.support.errors import BadInput


def refuse_bad_address(url: str, archive: Path) -> None:
    """Only http:// and https:// with a server's name can be asked.

    Args:
        archive: where the file would be put, which is the way for files that come otherwise.

    Raises:
        BadInput: anything else; the sentence says the right form, or how to go without.
    """
    shown, place = without_password(url), f"put the file at {archive} and run the same command again without --url"
    if not url:
        raise BadInput("--url is empty; leave it out, or give the address as https://HOST/FILE")
    try:
        parts = urlsplit(url)
        scheme, host, _ = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise BadInput(f"--url {shown} is no address ({error}); write it as https://HOST/FILE") from error
    local = unquote(parts.path) if scheme == "file" else url
    if scheme == "file" or re.match(r"[/~.\\]|[A-Za-z]:[/\\]", url) or Path(url).exists():
        raise BadInput(f"--url {shown} is a file of this machine ({Path(local).name}), and not an address; {place}")
    if "://" not in url:
        wrong = scheme in ("http", "https")  # http:/HOST, and https//HOST is one without a scheme
        right = "https://" + re.sub(r"^https?:?/*", "", url) if wrong or url.startswith("http") else f"http://{url}"
        raise BadInput(f"--url {shown} does not begin with http:// or https://; give --url {without_password(right)}")
    if scheme not in ("http", "https"):
        raise BadInput(
            f"--url {shown} begins with {scheme}://, and only http:// and https:// can be asked; correct it, or download it "
            f"with another program: {place}"
        )
    if not host or re.search(r"\s", url):
        fault = "names no server" if not host else "holds a space"
        raise BadInput(f"--url {shown} {fault}; write it as https://HOST/FILE, with %20 for a space")


def without_password(url: str) -> str:
    """`url` with *** for the password in it."""
    return re.sub(r"(//[^/@:\s]*):[^/@\s]*@", r"\1:***@", url)
