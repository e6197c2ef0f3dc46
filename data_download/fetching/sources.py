"""Where the data sets come from: the one table of sizes, terms, citations, addresses and checksums.

Sizes, addresses and checksums are those that public loaders of these sets name; a publisher may move a file. M&Ms-2
has no address here because its organisers send theirs to those who register.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from advconf_lite.support.errors import BadInput

Entry = TypeVar("Entry")
DOWNLOADS = Path("data/downloads")  # where fetch puts things unless it is told otherwise


@dataclass(frozen=True)
class Source:
    """One data set as its publisher offers it.

    Attributes:
        what, licence, citation: for people; `licence` says "not stated" where the publisher states none.
        size_bytes: of the archive, about; None if nobody says it.
        page: where the publisher describes the set, and its terms.
        archive: the name of the file that is downloaded, or that is put into the folder by hand.
        url: what fetch asks; None where a person has to register first.
        checksum: "sha256:..." or "md5:..."; None if none is published.
        browser: where a person with a browser gets the archive.
        trouble: what else to know when the server does not send it; it ends a sentence.
        unpacks_to: size of the unpacked files over that of the archive, about.
    """

    name: str
    what: str
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

    def instructions(self, folder: Path) -> str:
        """The steps of a person who gets the archive by hand, as lines of text."""
        archive = folder / self.archive
        return "\n".join(
            [
                f"{self.name} cannot be downloaded by a program: its organisers give access after registration.",
                f"  1. Open {self.page} and follow its link to the data; fill in the form.",
                f"  2. Download the archive ({self.size}) with the link that you are given.",
                f"  3. Put it at {archive}",
                f"     If it is a .rar, unpack it by hand (unar, 7-Zip or unrar) into {folder / self.name} instead.",
                f"  4. Run again: python -m data_download fetch {self.name} --out {folder}",
                "     It checks the archive and unpacks it.",
                "If you already have it somewhere else, unpacked or as a .zip, no copy is needed:",
                f"     python -m data_download prepare {self.name} --source FOLDER_OR_ZIP --out data/{self.name}",
            ]
        )


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="mnms2",
            what="M&Ms-2: cardiac cine MR, short axis, ED and ES; LV, MYO, RV; 360 subjects, 7 scanners, 3 vendors",
            size_bytes=4_330_000_000,
            licence="not stated; whatever the registration form asks you to agree to",
            citation="Campello et al., Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Segmentation: The M&Ms "
            "Challenge, IEEE TMI 40(12), 2021; Martin-Isla et al., Deep Learning Segmentation of the Right Ventricle "
            "in Cardiac MRI: The M&Ms Challenge, IEEE JBHI 27(7), 2023",
            page="https://www.ub.edu/mnms-2/",
            archive="MnM2.zip",
            url=None,
            checksum=None,
            browser="https://www.ub.edu/mnms-2/",
        ),
        Source(
            name="pmri",
            what="PMRI (SAML): T2-weighted prostate MR of six sites, 116 cases; whole gland",
            size_bytes=None,
            licence="not stated; it holds NCI-ISBI 2013 (PROSTATE-DIAGNOSIS: CC BY 3.0), I2CVB and PROMISE12 "
            "(research use, citation mandatory)",
            citation="Liu et al., Shape-aware Meta-learning for Generalizing Prostate MRI Segmentation to Unseen "
            "Domains, MICCAI 2020; its page asks for Liu et al., FedDG: Federated Domain Generalization on Medical "
            "Image Segmentation via Episodic Learning in Continuous Frequency Space, CVPR 2021",
            page="https://liuquande.github.io/SAML/",
            archive="Processed_data_nii.zip",
            # confirm=t skips the page on which Drive asks about files that it did not scan for viruses.
            url="https://drive.usercontent.google.com/download?id=1TtrjnlnJ1yqr5m4LUGMelKTQXtvZaru-"
            "&export=download&confirm=t",
            checksum=None,
            browser="https://drive.google.com/file/d/1TtrjnlnJ1yqr5m4LUGMelKTQXtvZaru-/view",
            trouble=" (Google Drive lets a file be downloaded only so often a day: tomorrow it may work without)",
        ),
        Source(
            name="acdc",
            what="ACDC: cardiac cine MR, short axis, ED and ES; LV, MYO, RV; 150 patients of one hospital, 1.5 T and 3 T",
            size_bytes=2_000_000_000,
            licence="CC BY-NC-SA 4.0, citation mandatory",
            citation="Bernard et al., Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures Segmentation "
            "and Diagnosis: Is the Problem Solved?, IEEE TMI 37(11), 2018",
            page="https://www.creatis.insa-lyon.fr/Challenge/acdc/",
            archive="ACDC.zip",
            url="https://humanheart-project.creatis.insa-lyon.fr/database/api/v1/collection/637218c173e9f0047faa00fb"
            "/download",
            checksum="sha256:2787e08b0d3525cbac710fc3bdf69ee7c5fd7446472e49db8bc78548802f6b5e",
            browser="https://humanheart-project.creatis.insa-lyon.fr/database/#collection/637218c173e9f0047faa00fb",
        ),
        Source(
            name="promise12",
            what="PROMISE12, training cases: T2-weighted prostate MR of four sites, 50 cases; whole gland",
            size_bytes=323_664_221,
            licence="research use, citation mandatory",
            citation="Litjens et al., Evaluation of prostate segmentation algorithms for MRI: The PROMISE12 challenge, "
            "Medical Image Analysis 18(2), 2014",
            page="https://zenodo.org/records/8026660",
            archive="PROMISE12.zip",
            url="https://zenodo.org/records/8026660/files/training_data.zip?download=1",
            checksum="sha256:150287d0c74cd0105d8b70b43af4a7bf4f1fd3e1748829779177a0ccaf948f45",
            browser="https://zenodo.org/records/8026660",
            unpacks_to=4.0,  # .raw files are not compressed
        ),
    )
}


def find_source(name: str) -> Source:
    """The entry of a data set.

    Raises:
        BadInput: see `find_in`.
    """
    return find_in(SOURCES, name)


def find_in(table: dict[str, Entry], name: str) -> Entry:
    """The entry of `table` under the name of a data set.

    Raises:
        BadInput: there is none of this name; the sentence lists those that exist.
    """
    if name not in table:
        raise BadInput(f"there is no data set {name!r}; choose from: {', '.join(table)}")
    return table[name]
