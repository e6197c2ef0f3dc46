"""Surface Dice by its two definitions: pixels of the boundary as MONAI's, outlines between pixels as DeepMind's."""

import itertools
import math

import numpy as np
import pytest
import surface_distance as theirs
import torch
from test_quality import blank, monai_surface_dice, random_maps, same, smooth_maps

from advconf_lite.quality import surface_dice
from advconf_lite.support.contours import outline_lengths
from advconf_lite.support.errors import BadInput

NAN = float("nan")
SPACINGS, TOLERANCES = (0.5, 0.7, 1.0, 1.1, 1.25, 1.5, 2.0, 3.3), (0, 0.5, 1, 1.5, 2, 2.2, 3, 5)


def outline(mask, spacing):
    """Cell -> mm of outline in it, by marching squares at half height, one cell after another.

    A cell (i, j) lies between the centres of pixels (i - 1, j - 1) and (i, j).
    """
    height, width = mask.shape
    inside = {(i, j): bool(mask[i, j]) for i in range(height) for j in range(width)}
    cells = {}
    for i, j in itertools.product(range(height + 1), range(width + 1)):
        around = [(i - 1, j - 1), (i - 1, j), (i, j), (i, j - 1)]  # clockwise, from the upper left
        there = [inside.get(pixel, False) for pixel in around]
        # Where the outline crosses a side of the cell: half way between two pixels of which one is inside.
        crossed = [
            tuple((a + b) / 2 for a, b in zip(around[k], around[(k + 1) % 4]))
            for k in range(4)
            if there[k] != there[(k + 1) % 4]
        ]
        segments = list(zip(crossed[::2], crossed[1::2]))  # of four crossings, two pieces that cut off opposite corners
        length = sum(math.hypot((a[0] - b[0]) * spacing[0], (a[1] - b[1]) * spacing[1]) for a, b in segments)
        if length:
            cells[i, j] = length
    return cells


def slow_surface_dice(a, b, tolerance, spacing):
    """Length of both outlines within the tolerance of the other one, by all pairs of cells."""
    a, b = outline(a, spacing), outline(b, spacing)
    if not a and not b:
        return NAN

    def near(own, other):
        def away(p, q):
            return math.sqrt(((p[0] - q[0]) * spacing[0]) ** 2 + ((p[1] - q[1]) * spacing[1]) ** 2)

        return sum(length for cell, length in own.items() if any(away(cell, q) <= tolerance for q in other))

    return (near(a, b) + near(b, a)) / (sum(a.values()) + sum(b.values()))


def masks(rng, size):
    """Two masks: noise, discs, discs with holes and specks, one of them empty now and then."""
    yy, xx = np.mgrid[: size[0], : size[1]]
    found = []
    for kind in rng.choice(4, 2, p=[0.3, 0.1, 0.3, 0.3]):
        centre, radius = rng.uniform((0, 0), size), rng.uniform(0.5, max(size) / 2)
        disc = (yy - centre[0]) ** 2 + (xx - centre[1]) ** 2 < radius**2
        noise = rng.random(size) < (0.4 if kind == 0 else 0.05)
        found.append((noise, np.zeros(size, bool), disc, disc ^ noise)[kind])
    return found


def subvoxel(a, b, tolerance, spacing=1.0):
    a, b = (torch.from_numpy(np.asarray(mask)).long()[None] for mask in (a, b))
    return surface_dice(a, b, 2, tolerance, spacing, subvoxel=True).item()


def drawn(n, seed, largest=14):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        size, spacing = tuple(rng.integers(1, largest, 2)), tuple(float(s) for s in rng.choice(SPACINGS, 2))
        yield *masks(rng, size), float(rng.choice(TOLERANCES)), spacing


def test_outlines_equal_those_drawn_cell_by_cell():
    scores = []
    for a, b, tolerance, spacing in drawn(50, seed=0):
        scores.append((subvoxel(a, b, tolerance, spacing), slow_surface_dice(a, b, tolerance, spacing)))
    ours, slow = np.array(scores).T
    np.testing.assert_allclose(ours, slow, rtol=0, atol=1e-6)
    assert ((slow > 0) & (slow < 1)).sum() > 15 and (slow == 1).any() and (slow == 0).any()


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")  # theirs
def test_outlines_equal_deepminds_package(monkeypatch):
    for name, value in (("NaN", np.nan), ("Inf", np.inf)):  # it is older than numpy 2
        monkeypatch.setattr(np, name, value, raising=False)
    scores = []
    for a, b, tolerance, spacing in drawn(1000, seed=1, largest=40):
        distances = theirs.compute_surface_distances(b, a, spacing)
        scores.append((subvoxel(a, b, tolerance, spacing), theirs.compute_surface_dice_at_tolerance(distances, tolerance)))
    ours, expected = np.array(scores).T
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)  # NaN where both are empty
    assert ((expected > 0) & (expected < 1)).sum() > 500 and (expected == 1).any() and (expected == 0).any()


def test_lengths_are_millimetres_along_and_across():
    for pixels, expected in (
        ([(3, 3)], 4 * math.hypot(1, 3) / 2),  # four corners cut off
        ([(3, 3), (3, 4)], 4 * math.hypot(1, 3) / 2 + 2 * 3.0),  # longer along the row, by two columns' distance
        ([(3, 3), (4, 3)], 4 * math.hypot(1, 3) / 2 + 2 * 1.0),
        ([(3, 3), (4, 4)], 8 * math.hypot(1, 3) / 2),  # they touch at a corner and stay two
        ([(0, 0)], 4 * math.hypot(1, 3) / 2),  # beyond the image is outside
    ):
        assert outline_lengths(blank(*pixels)[0].numpy() == 1, (1.0, 3.0)).sum() == pytest.approx(expected), pixels


def test_a_long_boundary_counts_by_its_length_and_not_by_its_pixels():
    # The same frame on pixels twice as long as wide: its left and right sides are twice as long as top and bottom.
    pred, target = torch.zeros(2, 1, 20, 20, dtype=torch.int64)
    pred[0, 4:14, 4:14] = 1
    target[0, 4:14, 4:18] = 1  # the right side is 8 mm away
    tall = [surface_dice(pred, target, 2, 1.0, (4.0, 2.0), subvoxel=way).item() for way in (True, False)]
    square = [surface_dice(pred, target, 2, 0.5, (2.0, 2.0), subvoxel=way).item() for way in (True, False)]
    assert square[0] - tall[0] > 0.05 and tall[1] == square[1]


def test_absent_classes_several_classes_and_the_background():
    a, b = blank((2, 3), (2, 4)), blank((2, 3))
    both = torch.cat([a, blank(), a]), torch.cat([b, blank(), blank()])
    score = surface_dice(*both, 3, 1.0, subvoxel=True, include_background=True)
    assert score.shape == (3, 3) and score.dtype == torch.float32
    assert 0 < score[0, 1] <= 1 and score[2, 1] == 0 and score[1, 1].isnan() and score[:, 2].isnan().all()
    assert score[1, 0] == 1 and score[:, 0].isfinite().all()
    same(surface_dice(*both, 3, 1.0, subvoxel=True), score[:, 1:])
    pred, target = smooth_maps(3, (17, 13), 4, seed=3)
    whole = surface_dice(pred, target, 4, 1.0, 0.7, subvoxel=True)
    for label in (1, 2, 3):
        alone = surface_dice((pred == label).long(), (target == label).long(), 2, 1.0, 0.7, subvoxel=True)
        same(whole[:, label - 1 : label], alone)


def test_the_same_mistakes_are_refused_by_both_definitions():
    for change in ({"tolerance": -1}, {"tolerance": NAN}, {"spacing": 0.0}, {"spacing": (1.0, 1.0, 1.0)}):
        said = []
        for way in (True, False):
            with pytest.raises(BadInput) as error:
                surface_dice(blank(), blank(), 2, **{"tolerance": 1.0, **change}, subvoxel=way)
            said.append(str(error.value))
        assert said[0] == said[1]


def boundary_distances(a, b, spacing):
    """All distances between pixels of two boundaries, in float64."""
    points = []
    for mask in (a, b):
        inner = np.pad(mask, 1)
        inner = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        points.append(np.argwhere(mask & ~inner) * np.array(spacing))
    return np.sqrt(((points[0][:, None] - points[1][None]) ** 2).sum(-1))


def unexplained(pairs):
    """Of pairs (a, b, tolerance, spacing): how many differ from MONAI, and those that do so without a distance that equals
    the tolerance but for rounding."""
    differing, without = 0, []
    for a, b, tolerance, spacing in pairs:
        maps = [torch.from_numpy(mask).long()[None] for mask in (a, b)]
        ours = surface_dice(*maps, 2, tolerance, spacing).item()
        theirs = monai_surface_dice(*maps, 2, tolerance, list(spacing)).item()
        if not (ours == theirs or math.isnan(ours) and math.isnan(theirs)):
            differing += 1
            if not np.isclose(boundary_distances(a, b, spacing), tolerance, rtol=1e-5, atol=1e-6).any():
                without.append((ours, theirs, tolerance, spacing))
    return differing, without


def test_boundaries_differ_from_monais_only_where_a_distance_equals_the_tolerance():
    differing, without = unexplained(drawn(200, seed=2, largest=25))
    assert not without and differing < 10


def test_the_search_for_differences_can_find_one(monkeypatch):
    import test_surfaces

    real = surface_dice
    monkeypatch.setattr(test_surfaces, "surface_dice", lambda p, t, n, tol, s: real(p, t, n, tol + 0.3, s))
    pred, target = (maps[0].numpy() == 1 for maps in random_maps(1, (16, 16), 4, seed=0))
    assert unexplained([(pred, target, 0.8, (1.0, 1.0))])[1]
