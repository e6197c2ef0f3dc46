"""A real browser for tests: Chromium by Playwright, and what its pages ask for and complain about.

Playwright's own browsers are not downloaded; one that is installed serves.
"""

import importlib.util
import shutil
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 120  # that a page may take, on a machine that is busy with something else


def program():
    """Path of a browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing():
    """What keeps the tests from a browser and what to do about it, in one line; None: nothing."""
    if importlib.util.find_spec("playwright") is None:
        return "needs playwright: python -m pip install -e '.[test]' -c constraints.txt"
    if program() is None:
        return f"needs one of {', '.join(NAMES)} on the PATH (Debian, Ubuntu: apt install chromium)"
    return None


@contextmanager
def chromium():
    """The browser; ended on the way out."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program())
        yield browser
        browser.close()


class Watched:
    """A page, all that it asked other machines for, and every error of its console and its scripts.

    Args:
        home: beginnings of addresses that are this machine's.
        known: words of errors that are no fault of ours -> the reason.
    """

    def __init__(self, browser, home, size=(1280, 1000), known=None):
        self.home, self.known = (*home, "data:", "blob:", "about:"), known or {}
        self.away, self.errors = [], []
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        self.context.on("request", lambda request: self._asked(request.url))
        self.context.on("console", lambda said: self._said(said.text) if said.type == "error" else None)
        self.context.on("weberror", lambda error: self._said(str(error.error)))
        self.page = self.context.new_page()
        self.page.on("websocket", lambda socket: self._asked(socket.url))
        self.page.set_default_timeout(SECONDS * 1000)

    def _asked(self, url):
        if not url.startswith(self.home):
            self.away.append(url[:200])

    def _said(self, text):
        if not any(words in text for words in self.known):
            self.errors.append(text[:500])

    def is_quiet(self):
        """AssertionError if a request has left the machine or an error was said."""
        assert not self.away, f"left the machine: {self.away}"
        assert not self.errors, f"said by the browser: {self.errors}"
