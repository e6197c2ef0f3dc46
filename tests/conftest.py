"""What several test files share: a slice set, and the way to the benchmarks, whose comparisons serve here too."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advconf_lite.course import guesses
from advconf_lite.data.slices import write_slice_set

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Long content of files is no name: a gzip holds the second it was made in, and xdist's workers must agree."""
    return "bytes" if isinstance(val, bytes) and len(val) > 20 else None


@pytest.fixture
def slice_set(tmp_path):
    """Eight subjects of one domain, as a researcher would write them."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:48, :48]
    masks = np.stack([((yy - 24) ** 2 + (xx - 24 - i % 3) ** 2 < 90 + i).astype(np.uint8) for i in range(16)])
    images = (masks * 2.0 + 5 + rng.normal(size=masks.shape)).astype(np.float32)
    splits = ["train"] * 8 + ["val"] * 4 + ["test"] * 4
    table = pd.DataFrame(
        {
            "dataset": "mine",
            "domain": "here",
            "subject": [f"p{i // 2}" for i in range(16)],
            "phase": "ED",
            "slice": [i % 2 for i in range(16)],
            "spacing_mm": 3.0,
            "split": splits,
        }
    )
    info = {"name": "mine", "class_names": ["gland"], "source_domain": "here", "tolerance_mm": 3.0}
    write_slice_set(tmp_path / "mine", images, masks, table, info)
    return tmp_path / "mine"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A student's folder without guesses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guesses, "_unsaved", {})
    return tmp_path / "runs" / "guesses.json"


@pytest.fixture(scope="module")
def chromium():
    """A real browser; without one the test is skipped, and says how to get it."""
    import browser

    if reason := browser.missing():
        pytest.skip(reason)
    with browser.chromium() as started:
        yield started
