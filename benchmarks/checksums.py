"""Ten phantom slices per organ, to compare between threads, machines and numpy versions.

python benchmarks/checksums.py save FILE.npz      # in one environment, e.g. OMP_NUM_THREADS=1
python benchmarks/checksums.py compare FILE.npz   # in another; exit code 1 if a pixel differs by more than 1e-4
"""

from __future__ import annotations

import sys
import zlib

import numpy as np

from advconf_lite.phantom.scanner_tables import source_scanner, target_scanners
from advconf_lite.phantom.subject import make_subject


def slices() -> dict[str, np.ndarray]:
    """(10, 96, 96) images per organ: the first slices of two subjects on two scanners, relative to their maximum."""
    found = {}
    for organ in ("cardiac", "prostate"):
        images = [
            make_subject(organ, scanner, subject, 96, 2.0)[0][:5]
            for subject, scanner in ((0, source_scanner(organ)), (1, target_scanners(organ)[0]))
        ]
        found[organ] = np.concatenate(images) / np.concatenate(images).max()
    return found


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in ("save", "compare"):
        print(__doc__)
        return 2
    made = slices()
    for organ, images in made.items():
        print(organ, images.shape, "numpy", np.__version__, f"crc32 {zlib.crc32(images.tobytes()):08x}")
    if sys.argv[1] == "save":
        np.savez(sys.argv[2], **made)
        return 0
    worst = max(float(np.abs(images - np.load(sys.argv[2])[organ]).max()) for organ, images in made.items())
    print(f"largest difference {worst:.1e}")
    return int(worst > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
