"""SIGKILL and resume; the full trial of 20 kills is benchmarks/kill_resume.py."""

import kill_resume
import pytest


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_never_stopped(tmp_path):
    different, broken, ended = kill_resume.trial(kills=4, seed=1, folder=tmp_path)
    assert ended >= 1 and not broken and not different


def test_the_comparison_sees_a_difference(tmp_path):
    for name, text in (("one", "1"), ("two", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    assert kill_resume.differences(tmp_path / "one", tmp_path / "two") == ["metrics.csv"]


def test_a_truncated_checkpoint_would_be_noticed(tmp_path):
    (tmp_path / "segmenter-0.pt").write_bytes(b"PK\x03\x04half of a file")
    assert len(kill_resume.unreadable(tmp_path)) == 1
