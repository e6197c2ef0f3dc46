"""Dice and surface Dice against hand-counted cases, MONAI, and properties."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from advconf_lite.quality import absent_as_right, aggregate, dice, surface_dice
from advconf_lite.strips import Strip, disk_half_widths
from advconf_lite.support.errors import BadInput

NAN = float("nan")


def one_hot(labels, num_classes):
    return F.one_hot(labels.long(), num_classes).movedim(-1, 1)


def monai_surface_dice(pred, target, num_classes, tolerance, spacing=1.0, include_background=False):
    from monai.metrics import compute_surface_dice

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of every empty mask, and of MONAI's own deprecated argument
        return compute_surface_dice(
            one_hot(pred, num_classes),
            one_hot(target, num_classes),
            [tolerance] * (num_classes - (not include_background)),
            include_background=include_background,
            spacing=spacing,
        )


def same(ours, reference):
    torch.testing.assert_close(ours, reference, rtol=0, atol=0, equal_nan=True)


def smooth_maps(batch, size, num_classes, seed, noise=0.5):
    """Two batches of similar smooth random label maps."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2, batch, num_classes, 5, 5, generator=generator)
    coarse[1] = coarse[0] + noise * coarse[1]
    scores = F.interpolate(coarse.flatten(0, 1), size=size, mode="bicubic")
    return scores.argmax(1).view(2, batch, *size).unbind(0)


def random_maps(batch, size, num_classes, seed):
    """Salt and pepper: every pixel its own label."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, num_classes, (2, batch, *size), generator=generator).unbind(0)


def blank(*pixels, size=(8, 9)):
    labels = torch.zeros(1, *size, dtype=torch.int64)
    for y, x in pixels:
        labels[0, y, x] = 1
    return labels


def test_dice_counted_by_hand():
    pred = torch.tensor([[[1, 1, 0], [2, 2, 2]]])
    target = torch.tensor([[[1, 0, 0], [2, 2, 0]]])
    # class 1: 2 * 1 / (2 + 1); class 2: 2 * 2 / (3 + 2); class 3 in neither; background: 2 * 1 / (1 + 3)
    same(dice(pred, target, 4), torch.tensor([[2 / 3, 0.8, 1.0]]))
    same(dice(pred, target, 4, include_background=True), torch.tensor([[0.5, 2 / 3, 0.8, 1.0]]))


def test_dice_of_a_class_in_one_map_is_zero():
    assert dice(blank((3, 3)), blank(), 2).tolist() == [[0.0]]
    assert dice(blank(), blank((3, 3)), 2).tolist() == [[0.0]]
    assert dice(blank(), blank(), 2).tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [
        (0, 0.0),
        (1, 0.0),
        (2, 0.0),
        (2.23, 0.0),
        (2.24, 1.0),
        (3, 1.0),
        (1000, 1.0),
    ],  # the distance is sqrt(5)
)
def test_one_pixel_each(tolerance, expected):
    assert surface_dice(blank((2, 3)), blank((4, 4)), 2, tolerance).item() == expected


def test_one_pixel_with_anisotropic_spacing():
    pred, down, right = blank((2, 2)), blank((5, 2)), blank((2, 5))
    assert surface_dice(pred, down, 2, 3.0, spacing=(1.0, 2.0)).item() == 1
    assert surface_dice(pred, right, 2, 3.0, spacing=(1.0, 2.0)).item() == 0
    assert surface_dice(pred, right, 2, 6.0, spacing=(1.0, 2.0)).item() == 1


def test_square_against_shifted_square():
    pred, target = torch.zeros(2, 1, 9, 9, dtype=torch.int64)
    pred[0, 2:5, 2:5] = 1
    target[0, 2:5, 3:6] = 1
    # Each ring of 8 pixels shares 4 with the other (two rows of two), and the rest is one pixel away or less.
    assert surface_dice(pred, target, 2, 0).item() == 0.5
    assert surface_dice(pred, target, 2, 1).item() == 1


def test_boundary_has_no_inner_pixel_and_includes_the_image_border():
    full = torch.ones(1, 5, 5, dtype=torch.int64)
    strip = Strip(1, (5, 5), 2)
    edge = strip.without_margin(strip.boundary(strip.pack(full)))
    edge = edge.view(strip.height, strip.pitch)[:5, :5]
    expected = torch.full((5, 5), 2, dtype=torch.uint8)
    expected[1:4, 1:4] = 0
    assert torch.equal(edge, expected)
    assert surface_dice(full, full, 2, 1).item() == 1


def test_absent_classes():
    pred = torch.cat([blank(), blank((1, 1)), blank()])
    target = torch.cat([blank(), blank(), blank((1, 1))])
    scores = surface_dice(pred, target, 2, 3)
    same(scores, torch.tensor([[NAN], [0.0], [0.0]]))


def test_only_a_true_score_that_is_nan_counts_as_one():
    scores = torch.tensor([[0.5, NAN], [NAN, NAN], [0.2, 0.4]])
    torch.testing.assert_close(aggregate(absent_as_right(scores)), torch.tensor([0.75, 1.0, 0.3]))
    torch.testing.assert_close(aggregate(scores), torch.tensor([NAN, NAN, 0.3]), equal_nan=True)
    infinite = torch.tensor([[float("inf"), 0.2], [-float("inf"), float("inf")]])
    assert aggregate(infinite).isnan().all() and aggregate(absent_as_right(infinite)).isnan().all()
    assert aggregate([[0.2, 0.4]]).tolist() == pytest.approx([0.3])
    for wrong in ([0.2, 0.4], torch.zeros(3, 0), "text", None):
        with pytest.raises(BadInput, match="give one row per image"):
            aggregate(wrong)


def test_disk_rows():
    assert disk_half_widths(3, 1.0, (99, 99)) == [3, 2, 2, 0]
    assert disk_half_widths(0, 1.0, (99, 99)) == [0]
    assert disk_half_widths(0.9, 1.0, (99, 99)) == [0]
    assert disk_half_widths(1.5, 1.0, (99, 99)) == [1, 1]
    assert disk_half_widths(3, (1.5, 1.0), (99, 99)) == [3, 2, 0]
    assert disk_half_widths(1e9, 1.0, (4, 7)) == [6] * 4  # no larger than the image


@pytest.mark.parametrize(("spacing", "pixels"), [(1.1, 3), (0.1, 3), (0.7, 3), (0.3, 7), (1.3671875, 5), (0.62, 9)])
def test_disk_includes_a_distance_equal_to_the_tolerance(spacing, pixels):
    tolerance = round(spacing * pixels, 7)
    assert len(disk_half_widths(tolerance, spacing, (99, 99))) == pixels + 1
    assert len(disk_half_widths(tolerance * 0.99999, spacing, (99, 99))) == pixels


@pytest.mark.parametrize("tolerance", [0, 0.5, 1, 1.5, 3, 4.7, 1000])
@pytest.mark.parametrize("maps", [smooth_maps, random_maps])
def test_equals_monai(maps, tolerance):
    pred, target = maps(4, (19, 24), 4, seed=int(tolerance * 10))
    same(surface_dice(pred, target, 4, tolerance), monai_surface_dice(pred, target, 4, tolerance))


@pytest.mark.parametrize(
    ("tolerance", "spacing"),
    [(3.0, 1.5), (1.5, 0.5), (3.3, 1.1), (2.1, 0.7), (0.3, 0.1), (1.5, 0.3), (5.5, 1.1), (9.1, (0.7, 0.7))]
    + [(3.0, (1.0, 2.0)), (3.0, (1.5, 0.5)), (2.0, (1.25, 0.62)), (0.4, (1.0, 0.1)), (7.2, (9.0, 1.2))],
)
def test_equals_monai_with_spacing(tolerance, spacing):
    # Tolerances of 5 and 13 pixels are met exactly in two ways: 5 = |(3, 4)|, 13 = |(5, 12)|.
    pred, target = smooth_maps(4, (33, 29), 3, seed=5, noise=1.0)
    reference = monai_surface_dice(pred, target, 3, tolerance, spacing)
    same(surface_dice(pred, target, 3, tolerance, spacing), reference)
    assert 0 < reference.mean() < 1


@pytest.mark.parametrize("num_classes", [2, 3, 4, 5, 8, 9, 16, 17])
def test_equals_monai_for_any_number_of_classes(num_classes):
    pred, target = smooth_maps(2, (31, 25), num_classes, seed=num_classes)
    for background in (False, True):
        reference = monai_surface_dice(pred, target, num_classes, 2, include_background=background)
        same(surface_dice(pred, target, num_classes, 2, include_background=background), reference)


@pytest.mark.parametrize("pixels", [1, 2 * 31 * 25, 10**6])
def test_equals_monai_piece_by_piece(monkeypatch, pixels):
    """One map at a time, two (the last piece is smaller), or all."""
    monkeypatch.setattr("advconf_lite.quality.IN_CACHE", pixels)
    pred, target = smooth_maps(5, (31, 25), 4, seed=5)
    same(surface_dice(pred, target, 4, 2), monai_surface_dice(pred, target, 4, 2))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 64), (63, 5), (16, 8)])
def test_equals_monai_on_odd_sizes(size):
    pred, target = random_maps(6, size, 3, seed=1)
    for tolerance in (0, 1, 2.5):
        reference = monai_surface_dice(pred, target, 3, tolerance, include_background=True)
        same(surface_dice(pred, target, 3, tolerance, include_background=True), reference)


def test_equals_monai_at_borders_and_on_single_pixels():
    pixels = [(0, 0), (7, 8), (0, 8), (7, 0), (3, 0), (3, 8)]
    maps = [blank(), 1 - blank(), *map(blank, pixels)]
    pred = torch.cat([a for a in maps for _ in maps])
    target = torch.cat(maps * len(maps))
    for tolerance in (1, 3, 8):
        same(surface_dice(pred, target, 2, tolerance), monai_surface_dice(pred, target, 2, tolerance))


@pytest.mark.parametrize("maps", [smooth_maps, random_maps])
def test_dice_equals_monai(maps):
    from monai.metrics import compute_dice

    pred, target = maps(5, (20, 21), 6, seed=3)
    pred[0], target[0] = 0, 0
    pred[1] = 0
    reference = compute_dice(one_hot(pred, 6), one_hot(target, 6), include_background=True, ignore_empty=False)
    torch.testing.assert_close(dice(pred, target, 6, include_background=True), reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_properties(seed):
    pred, target = smooth_maps(5, (40, 36), 4, seed)
    pred[0] = 0

    def surface(a, b, tolerance=2.0):
        return surface_dice(a, b, 4, tolerance, (1.0, 0.8))

    for quality in (surface, lambda a, b: dice(a, b, 4)):
        scores = quality(pred, target)
        assert ((0 <= scores) & (scores <= 1) | scores.isnan()).all()
        assert 0 < scores.nan_to_num(nan=0).sum() < scores.numel()
        same(scores, quality(target, pred))
        same(scores, quality(pred.flip(1), target.flip(1)))
        same(scores, quality(pred.flip(2), target.flip(2)))
        same(scores, torch.cat([quality(a[None], b[None]) for a, b in zip(pred, target)]))
        alike = quality(target, target)
        assert (alike[~alike.isnan()] == 1).all()
    previous = torch.zeros(())
    for tolerance in (0, 0.8, 1, 2, 4, 8, 100):
        scores = surface(pred, target, tolerance).nan_to_num(nan=1)
        assert (scores >= previous).all()
        previous = scores
    in_pred, in_target = (one_hot(labels, 4)[:, 1:].flatten(2).any(2) for labels in (pred, target))
    assert torch.equal(previous == 1, in_pred == in_target)


def test_transposed_maps_with_transposed_spacing():
    pred, target = smooth_maps(3, (30, 41), 3, seed=9)
    scores = surface_dice(pred, target, 3, 2.5, (0.6, 1.4))
    same(scores, surface_dice(pred.mT, target.mT, 3, 2.5, (1.4, 0.6)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_any_integer_dtype_and_mixed_ones(dtype):
    pred, target = smooth_maps(2, (16, 16), 4, seed=2)
    for quality in (dice, lambda a, b, c: surface_dice(a, b, c, 1.0)):
        same(quality(pred.to(dtype), target, 4), quality(pred, target, 4))


def test_arguments_stay_untouched():
    pred, target = smooth_maps(2, (16, 16), 4, seed=2)
    before = pred.clone(), target.clone()
    surface_dice(pred, target, 4, 2)
    dice(pred, target, 4)
    assert torch.equal(pred, before[0]) and torch.equal(target, before[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_on_the_gpu():
    pred, target = smooth_maps(8, (64, 48), 11, seed=4)
    for quality in (dice, lambda a, b, c: surface_dice(a, b, c, 2.5, (1.0, 0.7))):
        scores = quality(pred.cuda(), target.cuda(), 11)
        assert scores.is_cuda
        same(scores.cpu(), quality(pred, target, 11))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pred": torch.zeros(1, 4, 5)}, "pred has dtype torch.float32"),
        ({"pred": torch.zeros(4, 4).long()}, "pred has shape"),
        ({"pred": torch.zeros(1, 1, 4, 4).long()}, "one shape"),
        ({"pred": torch.zeros(0, 4, 4).long()}, "at least one"),
        ({"target": torch.zeros(2, 4, 4).long()}, "one shape"),
        ({"pred": torch.full((1, 4, 4), -1)}, "pred holds the label -1"),
        ({"target": torch.full((1, 4, 4), 2)}, "target holds the label 2; with num_classes=2 give 0 to 1"),
        ({"target": torch.full((1, 4, 4), 256)}, "target holds the label 256"),
        ({"num_classes": 1}, "num_classes is 1"),
        ({"tolerance": -1}, "tolerance is -1"),
        ({"tolerance": NAN}, "tolerance is nan"),
        ({"tolerance": float("inf")}, "tolerance is inf"),
        ({"tolerance": None}, "tolerance is None"),
        ({"spacing": 0}, "spacing is 0"),
        ({"spacing": (1.0, -1.0)}, "spacing is"),
        ({"spacing": (1.0, 1.0, 1.0)}, "spacing is"),
    ],
)
def test_bad_input(change, message):
    maps = torch.zeros(1, 4, 4, dtype=torch.int64)
    good = {"pred": maps, "target": maps, "num_classes": 2, "tolerance": 1.0, "spacing": 1.0}
    with pytest.raises(BadInput, match=message):
        surface_dice(**(good | change))
    if not change.keys() & {"tolerance", "spacing"}:
        arguments = good | change
        with pytest.raises(BadInput, match=message):
            dice(arguments["pred"], arguments["target"], arguments["num_classes"])
