"""Google Drive's question about large files, answered as a browser would."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit


def confirmation(page: bytes, url: str) -> str | None:
    """Where the form leads with which Drive asks whether to download a file that it did not scan for viruses.

    Args:
        page: what came instead of the file, from `url`.

    Returns:
        The address that the form's button opens; None if the page holds no such form, or one that leads elsewhere.
    """
    form = _Form()
    form.feed(page.decode(errors="replace"))
    target = urljoin(url, form.action)
    host, other = urlsplit(url).hostname, urlsplit(target).hostname or ""
    if not form.action or (other != host and not other.endswith(".google.com")):
        return None
    return f"{target}{'&' if urlsplit(target).query else '?'}{urlencode(form.fields)}"


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action, self.fields = "", {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form" and found.get("id") == "download-form":
            self.action = found.get("action") or ""
        elif tag == "input" and found.get("type") == "hidden" and self.action and found.get("name"):
            self.fields[found["name"]] = found.get("value") or ""
