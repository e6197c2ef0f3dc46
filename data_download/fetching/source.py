"""Where a data set comes from, as its publisher offers it.

Sizes, addresses and checksums in `sets/` are those that public loaders of these sets name; a publisher may move a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

DOWNLOADS = Path("data/downloads")  # where fetch puts things unless it is told otherwise


@dataclass(frozen=True)
class Source:
    """One data set's origin.

    Attributes:
        licence, citation: for people; `licence` says "not stated" where the publisher states none.
        size_bytes: of the archive, about; None if nobody says it.
        page: where the publisher describes the set, and its terms.
        archive: the name of the file that is downloaded, or that is put into the folder by hand.
        url: what fetch asks; None where a person has to register first.
        checksum: "sha256:..." or "md5:..."; None if none is published.
        browser: where a person with a browser gets the archive.
        trouble: what else to know when the server does not send it; it ends a sentence.
        unpacks_to: size of the unpacked files over that of the archive, about.
    """

    size_bytes: int | None
    licence: str
    citation: str
    page: str
    archive: str
    url: str | None
    checksum: str | None
    browser: str
    trouble: str = ""
    unpacks_to: float = 1.1

    @property
    def size(self) -> str:
        """`size_bytes` for people."""
        return "not published" if self.size_bytes is None else f"about {tqdm.format_sizeof(self.size_bytes, 'B', 1000)}"

    def by_hand(self, folder: Path) -> str:
        """Half a sentence: the way that needs no download by this program."""
        return (
            f"open {self.browser} in a browser, save the archive as {folder / self.archive} and run the same command "
            f"again{self.trouble}"
        )

    def by_hand_from_mirror(self, folder: Path) -> str:
        """`by_hand` for an address that is not the publisher's, whose own troubles explain nothing there."""
        publisher = "" if self.url is None else ", leave it out to ask the publisher"
        return f"check --url{publisher}, or save the archive as {folder / self.archive} and run the same command again"

    def instructions(self, name: str, folder: Path) -> str:
        """The steps of a person who gets the archive by hand, as lines of text."""
        archive = folder / self.archive
        return "\n".join(
            [
                f"{name} cannot be downloaded by a program: its organisers give access after registration.",
                f"  1. Open {self.page} and follow its link to the data; fill in the form.",
                f"  2. Download the archive ({self.size}) with the link that you are given.",
                f"  3. Put it at {archive}",
                f"     If it is a .rar, unpack it by hand (unar, 7-Zip or unrar) into {folder / name} instead.",
                f"  4. Run again: python -m data_download fetch {name} --out {folder}",
                "     It checks the archive and unpacks it.",
                "If you already have it somewhere else, unpacked or as a .zip or .tar, no copy is needed:",
                f"     python -m data_download prepare {name} --source FOLDER_OR_ARCHIVE --out data/{name}",
            ]
        )
