"""Blocks of the pages that are made from the code and the lessons: settings, profiles, methods, lessons, cards."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

from advconf_lite.support.markdown import grid

ROOT = Path(__file__).resolve().parent.parent


def settings() -> str:
    """Paper / published code / ours, from the metadata of `Settings`."""
    from advconf_lite.experiment.profiles import as_written
    from advconf_lite.settings import Settings

    ours, code = Settings(), Settings.published_code()

    def published(name: str, why: str) -> str:
        return "-" if why.startswith("our own") else as_written(getattr(code, name))

    return grid(
        ("setting", "paper", "published code", "ours", "values, or why"),
        [
            (
                f"`{f.name}`",
                f.metadata["paper"] or "not said",
                published(f.name, f.metadata["why"]),
                as_written(getattr(ours, f.name)),
                f.metadata["why"],
            )
            for f in dataclasses.fields(Settings)
        ],
    )


def profiles() -> str:
    """The profile for the paper's data, which also says what the paper does not, beside those for a CPU: what differs."""
    from advconf_lite.experiment.profiles import PROFILES, as_written

    def values(name: str) -> dict[str, object]:
        profile = json.loads(json.dumps(dataclasses.asdict(PROFILES[name])))
        return {**{k: v for k, v in profile.items() if k not in ("name", "settings")}, **profile["settings"]}

    paper, medium, quick = map(values, ("paper", "medium", "quick"))
    rows = [
        (f"`{name}`", *(as_written(each[name]) for each in (paper, medium, quick)))
        for name in paper
        if not paper[name] == medium[name] == quick[name]
    ]
    return grid(("", "profile `paper`", "medium", "quick"), rows)


def methods() -> str:
    """Every method by the name that `--methods` takes, and the first sentence of its class."""
    from advconf_lite.methods.registry import described

    return grid(("method", "what it is"), [(f"`{shown}`", text) for shown, text in described().items()])


def lessons() -> str:
    """The lessons, what each says of itself in its first cell, and its minutes."""
    from advconf_lite.course.card import minutes_to_read, read_cards, short, source_of

    cards, rows = read_cards(ROOT), []
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py")):
        said = re.search(r"<!-- makes: (.*?) -->", path.read_text(encoding="utf-8"))
        if said is None:
            raise ValueError(f"{path.name} does not say what it makes; write <!-- makes: ... --> below its title")
        link = f"[{path.stem.replace('_', ' ')}](notebooks/{path.stem}.ipynb)"
        minutes = str(minutes_to_read(source_of(ROOT, path.stem))), short(cards.get(path.stem))
        rows.append((link, said[1], *minutes))
    return grid(("lesson", "what it makes", "min to read", "to run"), rows)


def cards() -> str:
    """What each lesson costs."""
    from advconf_lite.course.card import table

    return grid(*table(ROOT))


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings, "profiles": profiles, "methods": methods, "lessons": lessons, "cards": cards,
}  # fmt: skip
