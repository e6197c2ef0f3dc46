"""The phantom: deterministic, labelled, no toy."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from advconf_lite.data.slices import read_slice_set
from advconf_lite.phantom import heart, phantom, prostate
from advconf_lite.phantom.texture import Plane, SmoothField, subject_fields
from advconf_lite.support.errors import BadInput
from advconf_lite.support.processes import in_processes

SPACING = {"cardiac": 2.0, "prostate": 1.5}
ORGANS = ["cardiac", "prostate"]


def one(organ, number=0, size=96, seed=0, **options):
    return phantom.make_subject(organ, phantom.source_scanner(organ), number, size, SPACING[organ], seed, **options)


@pytest.fixture(scope="module")
def source():
    """Six source subjects per organ: images, masks."""
    return {organ: [np.concatenate(part) for part in zip(*(one(organ, n)[:2] for n in range(6)))] for organ in ORGANS}


@pytest.fixture(scope="module", params=ORGANS)
def small_set(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / request.param
    numbers = {"source": 5, "validation": 1, "target": 1}
    spacing = SPACING[request.param] * 3
    return phantom.make_phantom(request.param, folder, 32, spacing, numbers, seed=3, progress=False, workers=1)


@pytest.mark.parametrize("organ", ORGANS)
def test_same_seed_same_bytes_other_seed_other_patients(organ):
    first, again, other = one(organ), one(organ), one(organ, seed=1)
    for a, b in zip(first[:2], again[:2]):
        assert a.tobytes() == b.tobytes()
    assert first[2] == again[2]
    assert first[0].shape != other[0].shape or not np.allclose(first[0], other[0])
    assert one(organ, 1)[0].tobytes() != first[0].tobytes()


@pytest.mark.parametrize(
    ("organ", "means", "areas"),
    [
        ("cardiac", [49.78888, 59.23806, 62.43486, 64.65039], [171, 165, 142, 108]),
        ("prostate", [247.75996, 227.64048, 209.13486, 194.19337], [20, 73, 89, 91]),
    ],
)
def test_the_phantom_is_the_same_on_every_machine(organ, means, areas):
    # numbers from numpy 2.4, equal under 1.26 and with one and two threads; a change here changes every study
    spacing = 3 * SPACING[organ]
    images, masks, _ = phantom.make_subject(organ, phantom.source_scanner(organ), 0, 32, spacing)
    np.testing.assert_allclose(images[:4].mean((1, 2), dtype=float), means, rtol=1e-4)
    np.testing.assert_array_equal((masks[:4] > 0).sum((1, 2)), areas)


@pytest.mark.parametrize("organ", ORGANS)
def test_every_domain_has_its_own_patients_unless_asked(organ):
    other = phantom.target_scanners(organ)[0]
    here, there = one(organ), phantom.make_subject(organ, other, 0, 96, SPACING[organ])
    assert here[1].shape != there[1].shape or (here[1] != there[1]).mean() > 0.01
    same = phantom.make_subject(organ, other, 0, 96, SPACING[organ], domain=phantom.source_scanner(organ).name)
    keys = [here[2].index(key) for key in same[2] if key in here[2]]
    overlap = [same[2].index(key) for key in same[2] if key in here[2]]
    # slice thickness may differ between scanners, and with it a few voxels of the border
    assert (here[1][keys] != same[1][overlap]).mean() < 0.01


@pytest.mark.parametrize("organ", ORGANS)
def test_the_anatomy_does_not_depend_on_the_image_size(organ):
    coarse, fine = one(organ, size=48)[1], None
    spacing = SPACING[organ]
    fine = phantom.make_subject(organ, phantom.source_scanner(organ), 0, 96, spacing / 2)[1]
    shrunk = fine[:, ::2, ::2]
    assert len(coarse) == len(fine)
    for label in range(1, fine.max() + 1):
        a, b = (coarse == label), (shrunk == label)
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.85


@pytest.mark.parametrize("organ", ORGANS)
def test_labels_and_images_are_valid(organ, source):
    images, masks = source[organ]
    classes = {"cardiac": 3, "prostate": 1}[organ]
    assert images.dtype == np.float32 and masks.dtype == np.uint8
    assert np.isfinite(images).all() and (images >= 0).all()
    assert set(np.unique(masks)) == set(range(classes + 1))
    assert masks.any(axis=(1, 2)).all(), "only non-empty slices"
    area = (masks > 0).sum(axis=(1, 2)) * SPACING[organ] ** 2
    assert 100 < area.min() and area.max() < 20_000  # mm^2
    if organ == "prostate":
        assert masks.any(axis=(1, 2)).all()


def test_heart_has_both_phases_a_smaller_cavity_at_end_systole_and_apical_slices_without_rv():
    without_rv = 0
    for number in range(6):
        _, masks, keys = one("cardiac", number)
        volumes = {p: sum((m == 1).sum() for m, (phase, _) in zip(masks, keys) if phase == p) for p in heart.PHASES}
        assert volumes["ES"] < volumes["ED"]
        assert 4 <= len({n for phase, n in keys if phase == "ED"}) <= 9
        without_rv += sum(not (m == 3).any() for m in masks)
    assert without_rv > 0


def test_myocardium_surrounds_the_cavity():
    _, masks, _ = one("cardiac", 2)
    for mask in masks:
        lv = np.pad(mask == 1, 1)
        neighbours = np.zeros_like(lv)
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            neighbours |= np.roll(lv, step, axis)
        rim = (neighbours & ~lv)[1:-1, 1:-1]
        assert not rim.any() or (mask[rim] == 2).mean() > 0.9


def test_endorectal_balloon_presses_on_the_gland_and_is_dark():
    scanner = next(s for s in phantom.target_scanners("prostate") if s.coil == "endorectal")
    shape = prostate.draw_prostate(np.random.default_rng(0))
    x, y = prostate.rectum_centre(shape, True)
    axis = (np.arange(240) - 119.5) * 0.75
    fields = subject_fields(np.random.default_rng(1))
    tissue, _ = prostate.prostate_planes(shape, Plane(fields, axis, axis, 20.0), (-1.0, 1.0), True)
    row, column = np.abs(axis - y).argmin(), np.abs(axis - x).argmin()
    assert tissue[0, row, column] == 0  # air
    images, masks, _ = phantom.make_subject("prostate", scanner, 0, 96, 1.5)
    assert len(images) == len(masks) > 3


def nearest_centroid_dice(images, masks, train):
    """Pixel classifier on z-scored intensity alone: mean foreground Dice on the other slices."""
    z = (images - images.mean((1, 2), keepdims=True)) / images.std((1, 2), keepdims=True)
    classes = range(int(masks.max()) + 1)
    centres = np.array([z[train][masks[train] == c].mean() for c in classes])
    guess = np.abs(z[~train][..., None] - centres).argmin(-1)
    truth = masks[~train]
    scores = [
        2 * ((guess == c) & (truth == c)).sum((1, 2)) / np.maximum(1, (guess == c).sum((1, 2)) + (truth == c).sum((1, 2)))
        for c in classes
        if c
    ]
    return float(np.mean(scores))


@pytest.mark.parametrize("organ", ORGANS)
def test_intensity_alone_does_not_segment_the_source(organ, source):
    images, masks = source[organ]
    train = np.arange(len(images)) % 2 == 0  # generous: slices of the same patients on both sides
    assert nearest_centroid_dice(images, masks, train) < 0.6


def test_smooth_field_has_unit_variance_and_the_scale_it_says():
    axis = np.arange(-100, 100, 1.0)
    for scale in (4.0, 10.0):
        values = np.stack([SmoothField(np.random.default_rng(n), scale).at(axis, axis, 17.0) for n in range(5)])
        assert values.std() == pytest.approx(1, rel=0.1) and abs(values.mean()) < 0.1
        near, far = (np.mean(values[..., step:] * values[..., :-step]) for step in (int(scale / 2), int(6 * scale)))
        assert near > 0.7 and abs(far) < 0.15


def test_slice_set_is_split_by_subject(small_set):
    table, info = small_set.table, small_set.info
    assert (table.groupby(["domain", "subject"])["split"].nunique() == 1).all()
    assert set(table.loc[table.domain == info["source_domain"], "split"]) == {"train", "val", "test"}
    assert set(table.loc[table.domain.isin(info["validation_domains"]), "split"]) == {"val"}
    assert set(table.loc[table.domain.isin(info["target_domains"]), "split"]) == {"test"}
    assert table.subject.groupby(table.subject).size().index.is_unique
    assert info["how_made"]["seed"] == 3 and info["how_made"]["size"] == 32 and info["how_made"]["package_version"]
    assert len(read_slice_set(small_set.folder)) == len(small_set) == len(table)


@pytest.mark.slow
@pytest.mark.parametrize("organ", ORGANS)
def test_the_number_of_workers_does_not_matter(organ, tmp_path):
    jobs = [(organ, phantom.source_scanner(organ), n, 32, 3 * SPACING[organ], 0) for n in range(3)]
    serial, parallel = (list(in_processes(phantom.make_subject, jobs, workers)) for workers in (1, 2))
    for a, b in zip(serial, parallel):
        assert a[0].tobytes() == b[0].tobytes() and a[1].tobytes() == b[1].tobytes() and a[2] == b[2]


def test_work_goes_on_in_one_process_where_none_can_be_started():
    code = (
        "from advconf_lite.support.processes import in_processes\n"
        "import os\nassert list(in_processes(os.getpid, [(), ()], 2)) == [os.getpid()] * 2"
    )
    environment = {**os.environ, "JOBLIB_MULTIPROCESSING": "0"}  # what joblib finds where semaphores are forbidden
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_results_come_in_order_and_as_they_are_done_and_errors_arrive():
    jobs = [(number, 7) for number in range(60)]
    for workers, helping in ((1, False), (3, False), (2, True), (3, True)):
        assert list(in_processes(divmod, jobs, workers, helping)) == [divmod(*job) for job in jobs]
        for place in (0, 59):
            with pytest.raises(ZeroDivisionError):
                list(in_processes(divmod, [*jobs[:place], (1, 0), *jobs[place:]], workers, helping))
    started = []
    first = next(in_processes(lambda job: started.append(job) or job, [(number,) for number in range(60)], 1))
    assert first == 0 and len(started) < 5  # a set larger than the memory is never asked for all at once


@pytest.mark.parametrize("helping", (False, True))
def test_the_work_of_a_process_that_is_killed_is_done_all_the_same(helping):
    def job(number: int, here: int) -> int:
        if number in (0, 5, 19) and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    jobs = [(number, os.getpid()) for number in range(20)]
    assert list(in_processes(job, jobs, 2, helping)) == list(range(20))


def test_closing_ends_the_work_and_nothing_is_said(tmp_path):
    code = (
        "from pathlib import Path\nfrom advconf_lite.support.processes import in_processes\n"
        "import time\n"
        "def job(number):\n    Path(str(number)).touch()\n    time.sleep(0.01)\n    return number\n"
        "outcomes = in_processes(job, [(number,) for number in range(500)], 2, helping=True)\n"
        "next(outcomes)\noutcomes.close()\nprint(len(list(Path().iterdir())))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 1 <= int(done.stdout) == len(list(tmp_path.iterdir())) < 10 and not done.stderr


def test_a_script_without_a_main_guard_may_use_processes(tmp_path):
    script = tmp_path / "students.py"
    script.write_text(
        "from advconf_lite.support.processes import in_processes\n"
        "print('once')\nprint(list(in_processes(divmod, [(7, 2), (9, 4)], 2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "once\n[(3, 1), (2, 1)]\n" and "Error" not in done.stderr


def test_bad_requests_are_named(tmp_path):
    with pytest.raises(BadInput, match="liver"):
        phantom.make_phantom("liver", tmp_path / "x", 32, 2.0, {"source": 3})
    with pytest.raises(BadInput, match="source"):
        phantom.make_phantom("cardiac", tmp_path / "x", 32, 2.0, {"source": 1})
    with pytest.raises(BadInput, match="exceed"):
        phantom.make_subject("cardiac", phantom.source_scanner("cardiac"), 0, 96, 10.0)
    assert not (tmp_path / "x").exists()
