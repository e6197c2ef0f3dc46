"""Sets that do not fit into memory: read batch by batch, and the same bits as in memory."""

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.data.on_disk import OnDisk
from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.experiment import parts
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.support import memory


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """200 slices of 60 x 52 pixels, two domains, two pixel sizes, one of them of a single slice."""
    rng = np.random.default_rng(0)
    images = rng.normal(100, 30, (200, 60, 52)).astype(np.float32)
    images[7] = 5.0  # constant
    masks = np.zeros(images.shape, np.uint8)
    masks[:, 22:38, 18:34] = rng.random((200, 16, 16)) < 0.6
    masks[[5, 60]] = 0
    split = np.repeat(["train", "val", "test"], [40, 20, 140])
    table = pd.DataFrame({
        "dataset": "d", "domain": np.repeat(["a", "b"], [80, 120]), "subject": [f"{n // 10}" for n in range(200)],
        "phase": "", "slice": np.arange(200) % 10, "spacing_mm": np.where(np.arange(200) % 3, 1.0, 1.5), "split": split,
    })  # fmt: skip
    table.loc[199, "spacing_mm"] = 2.0
    info = {"name": "d", "class_names": ["x"], "source_domain": "a", "size": 48, "spacing_mm": 1.3}
    return write_slice_set(tmp_path_factory.mktemp("sets") / "mixed", images, masks, table, info)


@pytest.mark.parametrize("size, spacing_mm", [(48, 1.3), ((64, 48), None), (32, 2.0)])
@pytest.mark.parametrize("normalise", ["image", "domain"])
def test_any_rows_read_together_are_the_bits_of_the_whole(mixed, size, spacing_mm, normalise):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # with which the sum over one image alone would be shared
    try:
        form = size, spacing_mm, normalise
        wholes, reads = mixed.tensors(*form), mixed.on_disk(*form)
        rng = np.random.default_rng(1)
        for whole, read in zip(wholes, reads):
            assert (read.shape, read.dtype, read.ndim, len(read)) == (whole.shape, whole.dtype, whole.ndim, len(whole))
            for rows in (torch.from_numpy(rng.integers(0, 200, n)) for n in (1, 2, 8, 70)):
                assert torch.equal(read[rows], whole[rows])
            assert torch.equal(torch.cat(list(read.split(33))), whole)
            assert torch.equal(read[-1], whole[-1]) and torch.equal(read[3:9], whole[3:9])
            assert torch.equal(read[whole.flatten(1).any(1)], whole[whole.flatten(1).any(1)])
    finally:
        torch.set_num_threads(threads)


def test_a_view_of_rows_and_what_else_a_tensor_can(mixed):
    view = mixed.select(domain="b").take(range(20, 3, -1))
    (x, y), (read_x, read_y) = view.tensors(48), view.on_disk(48)
    assert torch.equal(read_x.to("cpu")[2:5, 0, 4], x[2:5, 0, 4]) and torch.equal(read_y[3, 4], y[3, 4])
    assert torch.equal(read_y > 0, y > 0) and torch.equal((read_y == 1).flatten(1).sum(1), (y == 1).flatten(1).sum(1))
    assert torch.equal(torch.cat([read_x, read_x]), torch.cat([x, x])) and torch.equal(read_x.amin(1), x.amin(1))
    assert np.array_equal(np.asarray(read_y), y.numpy())


def test_a_run_whose_slices_stay_on_the_disk_ends_in_the_same_bits(mixed, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PIECE", 64)  # more pieces than one of each domain
    ends = []
    for share in (1.0, 0.0):
        run = Run(tmp_path / str(share), str(mixed.folder), "smoke", "dice", METHODS, progress=False)
        run.share = share
        run.predict_heads()
        run.predict_agreement()
        run.metrics()
        assert isinstance(run.experiment.train.images, OnDisk) == isinstance(run.experiment.val.masks, OnDisk) == (not share)
        ends.append({p.name: p.read_bytes() for p in sorted(run.folder.glob("*")) if p.suffix in (".csv", ".safetensors")})
    assert ends[0].keys() == ends[1].keys() and len(ends[0]) >= 7
    assert not [name for name in ends[0] if ends[0][name] != ends[1][name]]


METHODS = ["plain", "adversarial", "finetuned", "quality-regression", "agreement-2", "soft-dice", "mahalanobis"]


def test_what_fits_is_held_and_the_rest_stays_on_the_disk(mixed, tmp_path, monkeypatch):
    pixels = 48 * 48 * 12  # of one slice's image and mask
    monkeypatch.setattr(parts, "memory_bytes", lambda: 4 * 50 * pixels)  # a quarter of it: 50 slices
    experiment = parts.assemble(read_slice_set(mixed.folder), tmp_path, PROFILES["smoke"], progress=False)
    held = {name: not isinstance(getattr(experiment, name).images, OnDisk) for name in ("train", "val", "test")}
    assert held == {"train": True, "val": False, "test": False}  # 40, 20 and 20 of them
    assert isinstance(experiment.targets["b"].images, OnDisk) and len(experiment.targets["b"]) == 120


def test_the_memory_is_what_a_job_may_take(tmp_path, monkeypatch):
    whole = memory.memory_bytes()
    (tmp_path / "memory.max").write_text("123456789\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(memory, "_limits", lambda: [tmp_path / "none", tmp_path / "memory.max", tmp_path / "missing"])
    assert memory.memory_bytes() == 123456789 < whole
