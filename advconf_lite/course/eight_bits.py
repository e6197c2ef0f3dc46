"""A run's phantom with the pixels that ship: of 8 bits."""

from __future__ import annotations

import shutil

import numpy as np

from advconf_lite.data.slices import write_slice_set
from advconf_lite.experiment.compact import images, pixels
from advconf_lite.experiment.run import Run
from advconf_lite.phantom.organs import find_organ
from advconf_lite.phantom.phantom import make_phantom


def images_of_8_bits(run: Run, organ: str) -> None:
    """Make them where the run looks for its images, if they are not there yet."""
    data, profile = run.folder / "data", run.profile
    if not (data / f"phantom-{organ}").exists():
        size, spacing_mm = find_organ(organ).grid(profile.max_size)
        subjects = find_organ(organ).subjects[profile.phantom_subjects]
        exact = make_phantom(organ, data / "exact", size, spacing_mm, subjects, seed=0, progress=run.progress)
        drawn = images(pixels(np.asarray(exact.images)))
        write_slice_set(data / f"phantom-{organ}", drawn, np.asarray(exact.masks), exact.table, exact.info)
        shutil.rmtree(data / "exact")
