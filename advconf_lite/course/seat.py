"""The command `seat`: a student trains both heads with a seed of one's own, for the class to put together (`class`).

All seats judge the U-Net that ships, on the images that it was trained on; what differs between them is the head's seed.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from advconf_lite.course.classroom import METHODS
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", required=True, type=int, metavar="N", help="of the heads: the number of your seat")
    parser.add_argument("--organ", default="prostate", metavar="NAME", help="one that ships")
    parser.add_argument("--work", type=Path, default=Path("runs/class"), metavar="FOLDER", help="of the training")
    parser.add_argument("--out", type=Path, metavar="seat-N.csv", help="what to hand in; default: seat-N.csv, here")


def run(chosen: argparse.Namespace) -> int:
    began, out = time.time(), chosen.out or Path(f"seat-{chosen.seed}.csv")
    number = train_seat(chosen.seed, chosen.organ, chosen.work, out)
    print(f"{out}: {number} predictions with head seed {chosen.seed}, in {time.time() - began:.0f} s; hand it in")
    return 0


def train_seat(seed: int, organ: str, work: Path, out: Path, artefacts: Path | None = None, progress: bool = True) -> int:
    """Train both heads on the U-Net that ships, and write their predictions of the target scanners.

    What `work` holds of an earlier call, which may have been stopped, is not made again.

    Returns:
        Number of rows in `out`.

    Raises:
        BadInput: a seed below 0, nothing ships of the organ, or `out` cannot be written.
    """
    # Not at the top: `--help` need not wait for PyTorch.
    from advconf_lite.course.edition import PAIR
    from advconf_lite.course.eight_bits import images_of_8_bits
    from advconf_lite.course.shipped import ShippedRun
    from advconf_lite.experiment.run import Run
    from advconf_lite.support.alone import alone_in

    if seed < 0:
        raise BadInput(f"seed {seed} is none; give the number of your seat, from 0 on", argument="seed")
    shipped = ShippedRun(work / f"shipped-{organ}", organ, progress=progress, artefacts=artefacts)
    mine = Run(work / organ, f"phantom:{organ}", shipped.profile, shipped.qualities[:1], METHODS, progress=progress)
    with alone_in(work):  # a run is alone in its own folder by itself
        images_of_8_bits(mine, organ)
        network = mine.segmenter_path(PAIR[0])
        if not network.exists():
            source = shipped.segmenter_path(PAIR[0])
            write_atomically(network, lambda temporary: shutil.copyfile(source, temporary))
        mine.heads(PAIR[0], seed)
        mine.predict_heads(PAIR[0], seed)
        rows = mine.predictions()
    rows = rows[(rows["domain"] != mine.experiment.slices.source_domain) & rows["method"].isin(METHODS)]
    rows = rows[rows["head_seed"] == seed]
    write_atomically(out, lambda temporary: rows.to_csv(temporary, index=False, lineterminator="\n"))
    return len(rows)
