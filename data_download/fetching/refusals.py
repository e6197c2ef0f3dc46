"""What a download that cannot go on says: who refused, why, and what would help."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from advconf_lite.support.errors import BadInput, reason, remedy
from data_download.fetching.address import without_password
from data_download.fetching.kinds import BY_HAND
from data_download.fetching.proxies import proxy_of


class Refusals:
    """The sentences of one download.

    Args:
        url: what is asked; a password in it is never shown.
        by_hand: half a sentence on how to get the file otherwise.
    """

    def __init__(self, url: str, by_hand: str) -> None:
        self.by_hand, self.shown = by_hand, without_password(url)
        self.host = urlsplit(url).hostname or self.shown
        self.proxy = proxy_of(url)
        self.through = f" through {self.proxy}" if self.proxy else ""

    @property
    def advice(self) -> str:
        """What may help before `by_hand`; it begins a half sentence."""
        return f"{self.proxy.advice}, or " if self.proxy else ""

    def refused(self, what: str) -> BadInput:
        """The server's own refusal, and the way that needs no download by this program."""
        return BadInput(f"{self.host}: {what}; {self.by_hand}")

    def no_address(self, error: Exception) -> BadInput:
        """The address, or that of the proxy, is none."""
        advice = f"; {self.proxy.advice}" if self.proxy else ""
        return self.refused(f"{self.shown} cannot be asked for{self.through} ({said(error)}){advice}")

    def certificate(self, error: Exception) -> BadInput:
        """The server is not who it says, or the network reads along, as companies' do."""
        found = re.search(r"certificate verify failed: ([^()]*)", str(error))
        why = found[1].strip() if found else said(error)
        return self.refused(
            f"its certificate cannot be verified{self.through} ({why}); if your network has a certificate of its own, name "
            "its file in the variable REQUESTS_CA_BUNDLE"
        )

    def by_proxy(self, why: str) -> BadInput:
        """A proxy answered, and not the server."""
        wanted = " to http://USER:PASSWORD@HOST:PORT, for it wants a password" if "407" in why else ""
        variable = self.proxy.variable if self.proxy else "HTTPS_PROXY"
        return self.refused(
            f"{self.proxy or 'a proxy on the way'} refuses the connection ({why}); correct {variable}{wanted}, or unset it "
            "if no proxy is needed"
        )

    def not_written(self, error: OSError, part: Path) -> BadInput:
        """The disk's fault, or that of the file that names the certificates."""
        if "CA certificate bundle" in str(error):  # requests' OSError, without a number
            return self.refused(f"{said(error)}; correct the variable REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, or unset it")
        return BadInput(f"cannot write {part}: {reason(error)}; {remedy(error)}", "folder")

    def no_archive(self, kind: str, head: bytes, encoding: str | None) -> BadInput:
        """What came is something else: the first bytes of what is inside its packing."""
        if kind not in ("web page", "unknown"):
            return BadInput(f"{self.shown} is a .{kind}, which Python cannot unpack; download it in a browser, {BY_HAND}")
        if not head and encoding:
            return self.refused(f"it packs what it sends in a way that Python lacks (Content-Encoding: {encoding})")
        title = re.search(rb"<title[^>]*>\s*(.*?)\s*</title>", head, flags=re.IGNORECASE | re.DOTALL)
        named = f" ({' '.join(title[1].decode(errors='replace').split())[:100]!r})" if title else ""
        what = f"a web page{named}" if kind == "web page" else "something else" if head else "nothing"
        return self.refused(f"it sent {what} instead of the archive")


def said(error: Exception) -> str:
    """An error's own words, in one line without passwords."""
    text = without_password(" ".join(str(error).split()))
    return text if len(text) <= 200 else text[:200].rsplit(" ", 1)[0] + " ..."
