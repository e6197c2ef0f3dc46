"""300 mutated NIfTI files: none ends in a traceback, none is accepted in silence (2,000: `python tests/fuzz_volumes.py`)."""

import contextlib
import gzip
import logging

import fuzz_volumes
import numpy as np
import pytest
from nibabel.imageglobals import logger


def test_mutated_files_are_refused_or_noticed(tmp_path):
    counts, wrong = fuzz_volumes.campaign(300, seed=1, folder=tmp_path)
    assert not wrong, "\n".join(wrong)
    assert sum(counts.values()) == 300
    refused = {kind for kind in fuzz_volumes.CLASSES if counts[kind, "refused"]}
    assert refused >= set(fuzz_volumes.CLASSES) - {"any header byte", *fuzz_volumes.NOTICEABLE}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_is_mutated_was_good(tmp_path, suffix):
    image, mask = fuzz_volumes.an_archive(tmp_path, suffix)
    assert fuzz_volumes.through_functions(image, mask) == ("accepted", "")
    assert fuzz_volumes.through_command(tmp_path) == ("accepted", "")


@pytest.mark.parametrize("kind", fuzz_volumes.CLASSES)
def test_each_class_changes_what_is_read(kind, tmp_path):
    """A mutation that left header, voxels and length as they were would prove nothing."""
    for seed in range(10):
        image, mask = tmp_path / "a.nii.gz", tmp_path / "a_gt.nii.gz"
        spoiled = fuzz_volumes.make(kind, np.random.default_rng(seed), image, mask)
        pair = fuzz_volumes.clean(np.random.default_rng(seed))
        found = b""
        with contextlib.suppress(Exception):
            found = gzip.decompress(spoiled.read_bytes())
        assert found != bytes(pair.image if spoiled == image else pair.mask)


def test_nibabel_is_silent_while_a_file_is_read_and_not_afterwards(tmp_path, caplog):
    level = logger.level
    for kind in ("no NIfTI header", "spacing not positive"):
        for seed in range(12):
            image, mask = tmp_path / "a.nii", tmp_path / "a_gt.nii"
            fuzz_volumes.make(kind, np.random.default_rng(seed), image, mask)
            fuzz_volumes.through_functions(image, mask)
    assert caplog.records == [] and logger.level == level < logging.CRITICAL
