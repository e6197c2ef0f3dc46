"""What was found in a data set's folder: scans, and what there is to remark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from advconf_lite.support.errors import BadInput


@dataclass(frozen=True)
class Scan:
    """One volume and where it belongs; `mask` is None in a set without masks."""

    dataset: str
    domain: str
    subject: str
    phase: str
    image: Path
    mask: Path | None

    @property
    def person(self) -> tuple[str, str]:
        """Two sites may both have a Case00."""
        return self.domain, self.subject


@dataclass
class Inventory:
    """What looking at a data set's files gives.

    Attributes:
        skip_bad: go on after a bad subject.
        scans: the volumes, in the order in which they will be written.
        notes: remarks; equal ones are counted, printed and kept in dataset.json.
        left_out: "domain subject: reason" of every subject that `--skip-bad` left out.
        ignored: reason -> the files, or folders, that were found and are not used.
        remarks: on how files were understood; printed with the table of them, and not kept.
        complete: everything was looked at, even if something is wrong with a subject.
    """

    skip_bad: bool = False
    scans: list[Scan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ignored: dict[str, list[Path]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    complete: bool = False

    def ignore(self, path: Path, reason: str) -> None:
        """Nothing that was given is left out without a line: say why this one is."""
        self.ignored.setdefault(reason, []).append(path)

    @contextmanager
    def subject(self, domain: str, subject: str) -> Iterator[None]:
        """Whatever is bad inside concerns one subject: with `skip_bad` it is left out, and listed."""
        before = len(self.scans)
        try:
            yield
        except BadInput as error:
            if not self.skip_bad:
                raise BadInput(f"{error} (--skip-bad goes on without such subjects)") from error
            del self.scans[before:]
            self.left_out.append(f"{domain} {subject}: {error}")

    def without_masks(self) -> bool:
        """Is there no mask at all? Then the scans expect none. If only some are missing, their reader reports it."""
        if any(scan.mask is not None and scan.mask.is_file() for scan in self.scans):
            return False
        self.scans = [Scan(s.dataset, s.domain, s.subject, s.phase, s.image, None) for s in self.scans]
        self.notes.append("no masks: an image-only set, to be scored by `python -m advconf_lite predict`")
        return True
