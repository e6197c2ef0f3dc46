"""The publisher's terms: shown and accepted once per folder, and the acceptance written down."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import advconf_lite
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text
from data_download.dataset import DataSet


def accept_terms(data: DataSet, folder: Path, accepted: bool, ask: Callable[[str], str] | None = None) -> Path:
    """Make sure that somebody accepted the terms of `data`; returns the record, folder/NAME.terms.json.

    A record of the same terms means that nobody is asked again.

    Args:
        accepted: the option --accept-terms, for scripts.
        ask: shows a question and returns the answer; None where nobody can answer.

    Raises:
        BadInput: nobody can answer, or the answer is not yes.
    """
    record = folder / f"{data.name}.terms.json"
    terms = {"licence": data.source.licence, "citation": data.source.citation, "page": data.source.page}
    if _read(record).items() >= terms.items():
        return record
    print(data.what, *(f"  {label}: {text}" for label, text in terms.items()), sep="\n", file=sys.stderr)
    if not accepted:
        if ask is None:
            raise BadInput(f"nobody is here to accept the terms of {data.name}; give --accept-terms if you accept them")
        try:
            answer = ask(f"Do you accept the licence, and will you cite as asked? Type yes to download {data.name}: ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            raise BadInput(f"the terms of {data.name} were not accepted, so nothing was done; type yes, or leave it")
    entry = {
        "dataset": data.name,
        **terms,
        "accepted_by": _user(),
        "accepted_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "how": "--accept-terms" if accepted else "typed yes",
        "program": f"advconf-lite {advconf_lite.__version__}",
    }
    return write_text(record, json.dumps(entry, indent=2, ensure_ascii=False) + "\n")


def _read(record: Path) -> dict:
    try:
        entry = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) and entry.get("accepted_at") else {}


def _user() -> str:
    try:
        return getpass.getuser()
    except Exception:  # containers may run under a number without a name; what is raised depends on the version
        return "unknown"
