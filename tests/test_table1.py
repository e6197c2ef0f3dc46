"""The timing of Table 1: its ways compute what they name, and a tiny run of the whole."""

import pandas as pd
import pytest
import table1
import torch

from advconf_lite.agreement import score_agreement
from advconf_lite.quality import Quality


@pytest.mark.filterwarnings("ignore")  # MONAI's own
def test_monai_and_ours_score_the_same_samples_alike():
    masks = table1.heart_samples(3, 4, 64)
    assert masks.shape == (3, 4, 64, 64) and set(masks.unique().tolist()) == {0, 1, 2, 3}
    assert all((masks[0] != masks[i]).any() for i in (1, 2))
    for quality in ("dice", "surface_dice"):
        expected = score_agreement(masks, Quality(quality, 4, 3.0))
        assert (expected < 1).any()
        torch.testing.assert_close(table1.monai_agreement(masks, quality).float(), expected, rtol=0, atol=1e-6)


def test_warm_up_is_not_counted_and_repeats_have_a_floor():
    calls = []
    times = table1.measure(lambda: calls.append(1), 0, torch.device("cpu"))
    assert len(times) == 3 and len(calls) == 5


def test_the_sweep_ends_when_an_image_is_no_longer_cheaper(monkeypatch):
    cost = {1: 10.0, 2: 12.0, 4: 14.0, 8: 40.0}
    monkeypatch.setattr(table1, "measure", lambda batch, seconds, device: [cost[batch]])
    assert list(table1.sweep(lambda batch: batch, 1, torch.device("cpu"))) == [1, 2, 4, 8]

    def full(batch):
        if batch == 4:
            raise torch.OutOfMemoryError
        return batch

    assert list(table1.sweep(full, 1, torch.device("cpu"))) == [1, 2]


@pytest.mark.filterwarnings("ignore")  # MONAI's own
@pytest.mark.slow
def test_a_tiny_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(table1, "LARGEST_BATCH", 2)
    monkeypatch.setattr(table1.torch, "set_num_threads", lambda threads: None)
    out = tmp_path / "t.csv"
    sizes = ["--profile", "smoke", "--size", "32", "--samples", "2", "3"]
    table1.main([*sizes, "--seconds", "0", "--devices", "cpu", "--out", str(out)])
    rows = pd.read_csv(out)
    assert len(rows) == 11 and (rows[["latency ms", "ms/image", "images/s"]] > 0).all().all()
    assert (rows["latency q1"] <= rows["latency ms"]).all() and (rows["latency ms"] <= rows["latency q3"]).all()
    paper = rows.set_index(["method", "quality"])["paper ms"]
    assert (paper["agreement N=2", "surface_dice"] == 23.0).all() and paper["agreement N=3", "dice"].isna().all()
    text = capsys.readouterr().out
    assert "times as long for surface Dice as for Dice" in text and "not synchronised" in text
