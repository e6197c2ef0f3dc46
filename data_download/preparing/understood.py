"""What `prepare` says before it reads anything: how the files were understood, in one table."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

from data_download.preparing.inventory import Inventory, Scan

WIDTH = 80
NAMED = 3  # files of a kind that are named
SHOWN = 6  # phases of a domain, and examples of a domain's pairs


def understood(inventory: Inventory, root: Path, shown: str, source: str | None) -> str:
    """The table, in lines of at most 80 characters where names allow it.

    Args:
        root: the folder that was looked through; paths are shown below it.
        shown: what the user called it.
        source: the domain that is split and trained on; None for images without masks.
    """
    domains = list(dict.fromkeys(scan.domain for scan in inventory.scans))
    have = {id(scan): scan.mask is not None and scan.mask.is_file() for scan in inventory.scans}
    lines = [f"How the files of {shown} were understood:"]
    rows = [("domain", "images", "masks", "subjects", "phases or sessions")]
    for domain in domains:
        scans = [scan for scan in inventory.scans if scan.domain == domain]
        phases = list(dict.fromkeys(scan.phase for scan in scans if scan.phase))
        names = f": {_few(phases, SHOWN)}" if phases else ""
        counts = len(scans), sum(have[id(scan)] for scan in scans), len({scan.subject for scan in scans}), len(phases)
        rows.append((domain, *(str(number) for number in counts[:3]), f"{counts[3] or '-'}{names}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows if domains else ():
        cells = [f"{row[0]:<{widths[0]}}", *(f"{row[column]:>{widths[column]}}" for column in (1, 2, 3)), row[4]]
        lines += _wrapped("  ".join(cells), "  ", " " * (sum(widths) + 12))
    lines += [line for domain in domains for line in _examples(inventory, domain, root, have)]
    if any(have.values()) and len(domains) > 1 and source in domains:
        others = [domain for domain in domains if domain != source]
        lines += _wrapped(f"{source} is the source: trained on, and split; {_few(others, SHOWN)}: for testing only", "  ")
    without = [scan for scan in inventory.scans if not have[id(scan)]] if any(have.values()) else []
    if without:
        lines += _wrapped(f"images without a mask: {len(without)}, {_named([s.image for s in without], root)}", "  ")
    for text in inventory.remarks:
        lines += _wrapped(text, "  ")
    if inventory.left_out:
        lines.append(f"  left out by --skip-bad: {len(inventory.left_out)} subjects")
        lines += [line for text in inventory.left_out for line in _wrapped(text, "    ")]
    if inventory.ignored:
        count = sum(map(len, inventory.ignored.values()))
        lines.append(f"  not used: {count} file{'s' * (count != 1)}")
        for reason, paths in inventory.ignored.items():
            lines += _wrapped(f"{len(paths)} - {reason}: {_named(paths, root)}", "    ")
    return "\n".join(lines)


def _examples(inventory: Inventory, domain: str, root: Path, have: dict[int, bool]) -> Iterator[str]:
    """One image and its mask for each way in which a domain's are named."""
    ways: dict[tuple[str, str], list[Scan]] = {}
    for scan in inventory.scans:
        if scan.domain == domain:
            mask = _below(scan.mask, root) if have[id(scan)] else ""
            ways.setdefault((_way(_below(scan.image, root), scan), _way(mask, scan)), []).append(scan)
    for number, scans in enumerate(ways.values()):
        if number == NAMED:
            yield f"  {domain}: and {len(ways) - NAMED} other ways of naming"
            return
        scan = scans[0]
        whose = f"subject {scan.subject}" + (f", phase {scan.phase}" if scan.phase else "")
        yield from _wrapped(f"{domain}, {len(scans)} like: {_below(scan.image, root)} ({whose})", "  ")
        if have[id(scan)]:
            yield f"      <- {_below(scan.mask, root)}"


def _way(path: str, scan: Scan) -> str:
    """A path in which it does not matter whose it is."""
    for name in (scan.subject, *scan.phase.split("_")):
        path = path.replace(name, "*") if name else path
    return "".join("#" if sign.isdigit() else sign for sign in path)


def _below(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return os.fspath(path)


def _named(paths: list[Path], root: Path) -> str:
    return _few([_below(path, root) for path in paths], NAMED)


def _few(names: list[str], number: int) -> str:
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more


def _wrapped(text: str, indent: str, further: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "    " if further is None else further,
        break_long_words=False, break_on_hyphens=False, drop_whitespace=True,
    )  # fmt: skip
