"""`predict` in pieces: the same file whether they are made at once, after an interrupt or by several processes."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from advconf_lite.data.slices import write_slice_set
from advconf_lite.experiment import pieces, predict
from advconf_lite.experiment.run import Run

METHODS = ["plain", "agreement-2", "soft-dice"]


def discs(folder, n, splits, seed=0):
    """n slices of 32 x 32 pixels with a disc each, eight a subject; image-only without splits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    masks = np.stack([((y - 16) ** 2 + (x - 14 - i % 5) ** 2 < 30 + i % 40) for i in range(n)]).astype(np.uint8)
    images = (masks * 2.0 + rng.normal(size=masks.shape)).astype(np.float32)
    subject = [f"p{i // 8}" for i in range(n)]
    rows = {
        "dataset": "discs",
        "domain": "here",
        "subject": subject,
        "phase": "",
        "slice": np.arange(n) % 8,
        "spacing_mm": 1.0,
    }
    info = {
        "name": "discs",
        "class_names": ["disc"],
        "source_domain": "here" if splits else None,
        "size": 32,
        "spacing_mm": 1.0,
    }
    table = pd.DataFrame(rows).assign(split=splits or "test")
    return write_slice_set(folder, images, masks if splits else None, table, info).folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, and 150 new slices."""
    place = tmp_path_factory.mktemp("pieces")
    data = discs(place / "known", 32, ["train"] * 16 + ["val"] * 8 + ["test"] * 8)
    run = Run(place / "run", str(data), "smoke", "dice", METHODS, progress=False)
    run.heads()
    return run.folder, discs(place / "new", 150, None, seed=1)


@pytest.fixture
def ask(finished, tmp_path, monkeypatch):
    """`ask(out, size of a piece, ...)` -> the bytes of both tables."""

    def asked(name, size=64, **options):
        monkeypatch.setattr(pieces, "PIECE", size)
        out = tmp_path / name / "scores.csv"
        table = predict.predict(*finished, out, **{"method": "plain", "progress": False} | options)
        names = [path.name for path in sorted(out.parent.iterdir())]
        assert len(table) == 150 and names == ["scores-volumes.csv", "scores.csv"]
        return [path.read_bytes() for path in sorted(out.parent.iterdir())]

    return asked


@pytest.mark.parametrize("method", METHODS)
def test_pieces_make_the_file_that_one_piece_makes(method, ask):
    assert ask("whole", 512, method=method) == ask("pieces", 64, method=method)


def interrupted(monkeypatch, after):
    """Let a scorer be stopped when it has made so many pieces; returns the list of what it began."""
    begun, real = [], predict._Scorer.__call__

    def call(self, rows):
        begun.append(rows.start)
        if len(begun) > after:
            raise KeyboardInterrupt
        return real(self, rows)

    monkeypatch.setattr(predict._Scorer, "__call__", call)
    return begun


def test_a_stopped_command_goes_on_and_ends_in_the_same_file(finished, ask, tmp_path, monkeypatch, capsys):
    whole = ask("whole", 512)
    begun = interrupted(monkeypatch, after=2)
    with pytest.raises(KeyboardInterrupt):
        ask("parts")
    assert len(list(tmp_path.glob("parts/.scores.csv.*/*.npz"))) == 2
    monkeypatch.undo()
    rest = interrupted(monkeypatch, after=9)
    assert ask("parts") == whole and "2 of 3 pieces are there" in capsys.readouterr().out
    assert rest == begun[2:]  # the one that was not made


def test_pieces_of_other_weights_are_not_these(finished, ask, tmp_path, monkeypatch):
    interrupted(monkeypatch, after=1)
    with pytest.raises(KeyboardInterrupt):
        ask("parts")
    monkeypatch.undo()
    begun = interrupted(monkeypatch, after=9)
    monkeypatch.setattr(predict, "weights_of", lambda *_: {"head": "others"})
    ask("parts")
    assert len(begun) == 3  # and what was left of the first is gone: `ask` looks


def test_what_another_process_makes_is_left_to_it_or_waited_for(tmp_path):
    some = pieces.Pieces(tmp_path / "s.csv", 300, {})
    code = (
        "import sys, time; from pathlib import Path; from advconf_lite.support.alone import alone_in\n"
        "with alone_in(Path(sys.argv[1]), work='256'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(some.folder)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with some.used():
        for start in some.starts:
            some.make(start, lambda rows: {"n": np.array(rows)})
        assert some.missing() == [256]  # which the other one makes
        process.kill()
        some.make(256, lambda rows: {"n": np.array(rows)}, wait=True)
        process.wait()
        assert np.array_equal(some.joined()["n"], np.arange(300))
        with some.used():  # of another process, which ends first
            pass
        assert not some.missing()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_make_the_file_of_one(ask):
    assert ask("one", 64) == ask("two", 64, processes=2)
