import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F

from advconf_lite import augmentation as aug
from advconf_lite.augmentation import ALL, PUBLISHED_CODE, Augmenter
from advconf_lite.support.errors import BadInput


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=6, height=24, width=20, seed=0):
    g = generator(seed)
    images = torch.randn(n, 1, height, width, generator=g)
    return images, torch.randint(0, 4, (n, height, width), generator=g)


def only(name):
    return Augmenter((name,), {name: 1.0})


def fired(name, draws=4000, augmenter=None):
    """Which copies `name` changes; the image has no symmetry and no ties, so whatever acts shows."""
    images, masks = batch(1, 10, 10)
    images, masks = images.expand(draws, -1, -1, -1).contiguous(), masks.expand(draws, -1, -1).contiguous()
    out, _ = (augmenter or Augmenter((name,)))(images, masks, generator(3))
    return (out != images).flatten(1).any(1)


def test_no_names_is_identity_and_inputs_are_never_written():
    images, masks = batch()
    out, labels = Augmenter(())(images, masks, generator())
    assert torch.equal(out, images) and torch.equal(labels, masks)
    before, labels_before = images.clone(), masks.clone()
    out, labels = Augmenter(ALL, dict.fromkeys(ALL, 1.0))(images, masks, generator())
    assert torch.equal(images, before) and torch.equal(masks, labels_before)
    assert not torch.equal(out, images) and not torch.equal(labels, masks)


@pytest.mark.parametrize("name", ALL)
def test_probability(name):
    """Frequencies within four standard deviations of nnU-Net's probability on a one-channel image."""
    p = {
        "rotation": 0.2,
        "scaling": 0.2,
        "noise": 0.1,
        "blur": 0.1,
        "brightness": 0.15,
        "contrast": 0.15,
        "low_resolution": 0.125,
        "gamma_inverted": 0.1,
        "gamma": 0.3,
        "mirror_vertical": 0.5,
        "mirror_horizontal": 0.5,
    }[name]
    seen = fired(name).float().mean().item()
    if name == "low_resolution":
        p *= 0.9  # on 10 pixels, zooms above 0.95 round to full size: no change
    assert abs(seen - p) < 4 * (p * (1 - p) / 4000) ** 0.5


def test_images_draw_independently():
    together = fired("", augmenter=Augmenter(("rotation", "scaling")))
    assert abs(together.float().mean() - (1 - 0.8 * 0.8)) < 4 * (0.36 * 0.64 / 4000) ** 0.5
    flips = fired("mirror_vertical").float()
    neighbours = torch.corrcoef(torch.stack([flips[1:], flips[:-1]]))[0, 1]
    assert abs(neighbours) < 4 / 4000**0.5
    images = batch(1)[0].expand(50, -1, -1, -1).contiguous()
    out = only("brightness")(images, None, generator())[0]
    factors = (out / images).flatten(1)[:, 0]
    assert len(factors.unique()) == 50


def test_image_on_which_nothing_fires_is_unchanged_and_the_others_are_not_its_business():
    images, masks = batch(200)
    out, labels = Augmenter(("rotation", "blur", "gamma"))(images, masks, generator())
    same = (out == images).flatten(1).all(1)
    assert 0.3 < same.float().mean() < 0.7  # 0.8 * 0.9 * 0.7 = 0.504
    assert torch.equal(labels[same], masks[same])


def test_deterministic_for_a_generator_state():
    images, masks = batch()
    first, second = Augmenter()(images, masks, generator(5)), Augmenter()(images, masks, generator(5))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    g = generator(5)
    Augmenter()(images, masks, g)
    assert not torch.equal(Augmenter()(images, masks, g)[0], first[0])
    torch.manual_seed(0)
    state = torch.get_rng_state()
    Augmenter()(images, masks, generator(5))
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is not touched


def test_switching_one_off_leaves_the_draws_of_the_others():
    images, masks = batch(60)
    with_blur = Augmenter(("blur", "mirror_vertical"))(images, masks, generator(2))[1]
    without = Augmenter(("mirror_vertical",))(images, masks, generator(2))[1]
    assert torch.equal(with_blur, without)


@pytest.mark.parametrize("dtype, labels", [(torch.float32, torch.int64), (torch.float64, torch.uint8)])
def test_types_shapes_and_labels_are_kept(dtype, labels):
    images, masks = batch()
    out, new = Augmenter(ALL, dict.fromkeys(ALL, 1.0))(images.to(dtype), masks.to(labels), generator())
    assert out.dtype == dtype and out.shape == images.shape and out.isfinite().all()
    assert new.dtype == labels and new.shape == masks.shape and set(new.unique().tolist()) <= {0, 1, 2, 3}
    assert Augmenter()(images, None, generator())[1] is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_with_a_generator_of_either_device():
    images, masks = (t.cuda() for t in batch(40))
    for g in (generator(), torch.Generator("cuda").manual_seed(0)):
        out, labels = Augmenter()(images, masks, g)
        assert out.is_cuda and labels.is_cuda and labels.dtype == masks.dtype
    on_cpu = Augmenter()(images.cpu(), masks.cpu(), generator())
    on_gpu = Augmenter()(images, masks, generator())
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name, axis", [("mirror_vertical", 1), ("mirror_horizontal", 2)])
def test_mirror_is_an_exact_flip(name, axis):
    images, masks = batch()
    out, labels = only(name)(images, masks, generator())
    assert torch.equal(out, images.flip(axis + 1)) and torch.equal(labels, masks.flip(axis))


@pytest.mark.parametrize("angle", [90.0, -90.0, 180.0, 30.0, -137.0])
@pytest.mark.parametrize("size", [(33, 33), (32, 32), (24, 40)])
def test_rotation_equals_scipy(angle, size):
    image = torch.from_numpy(scipy.ndimage.gaussian_filter(np.random.default_rng(0).random(size), 1.5))
    grid = aug.rotation_grid(torch.tensor([angle], dtype=torch.float64), torch.ones(1, dtype=torch.float64), size)
    ours = F.grid_sample(image[None, None], grid, padding_mode="zeros", align_corners=False)[0, 0]
    theirs = scipy.ndimage.rotate(image.numpy(), angle, reshape=False, order=1, mode="grid-constant")
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_one_image_after_another_is_all_at_once(channels, probability, monkeypatch):
    images, masks = batch(6 * channels, 24, 32)
    images, masks = images.view(6, channels, 24, 32), masks[:6]
    augmenter, found = Augmenter(ALL, dict.fromkeys(ALL, probability)), []
    for pixels in (1, 2 * 24 * 32, 10**9):  # one, two at a time, all
        monkeypatch.setattr(aug, "PIECE", pixels)
        found.append(augmenter(images, masks, generator()))
    for out, labels in found[1:]:
        assert torch.equal(out, found[0][0]) and torch.equal(labels, found[0][1])


def test_a_piece_is_what_a_cache_holds():
    index, x = torch.tensor([0, 3, 4, 7, 9]), torch.zeros(10, 2, 4, 4)
    assert aug.pieces(index, x, 10) == [slice(i, i + 1) for i in index.tolist()]
    assert [i.tolist() for i in aug.pieces(index, x, 64)] == [[0, 3], [4, 7], [9]]
    assert [i.tolist() for i in aug.pieces(index, x.to("meta"), 64)] == [index.tolist()]  # not on a CPU
    assert not len(aug.pieces(index[:0], x, 64)) and not len(aug.pieces(index[:0], x.to("meta"), 64))


def test_scaling_changes_the_size_by_one_over_the_drawn_factor():
    disk = torch.zeros(300, 1, 96, 96)
    rows, columns = torch.meshgrid(torch.arange(96) - 47.5, torch.arange(96) - 47.5, indexing="ij")
    disk[:] = (rows**2 + columns**2 < 30**2).float()
    out, labels = only("scaling")(disk, disk[:, 0].long(), generator())
    radius = (labels.sum((1, 2)) / torch.pi).sqrt()
    assert radius.min() > 30 / 1.4 - 0.5 and radius.max() < 30 / 0.7 + 0.5
    assert radius.min() < 30 / 1.35 and radius.max() > 30 / 0.75  # the whole range is used


def test_mask_follows_its_image():
    """An off-centre marker is drawn into image and mask; wherever both go, they go together."""
    images = torch.zeros(100, 1, 64, 64)
    images[:, :, 20:32, 36:44] = 1
    geometry = ("rotation", "scaling", "mirror_vertical", "mirror_horizontal")
    out, labels = Augmenter(geometry, dict.fromkeys(geometry, 1.0))(images, images[:, 0].long() * 3, generator())
    agree = ((out[:, 0] > 0.5) == (labels == 3)).float().mean((1, 2))
    assert agree.min() > 0.99 and set(labels.unique().tolist()) == {0, 3}
    moved = (labels != images[:, 0].long() * 3).flatten(1).any(1)
    assert moved.all()


def test_blur_equals_scipy():
    x = torch.randn(3, 20, 31, generator=generator(), dtype=torch.float64)
    sigma = torch.tensor([[0.5, 1.0], [0.8, 0.6], [1.0, 0.5]], dtype=torch.float64)
    for image, s, ours in zip(x, sigma, aug.blur(x, sigma)):
        theirs = scipy.ndimage.gaussian_filter(image.numpy(), s.numpy(), mode="mirror", radius=aug.BLUR_RADIUS)
        torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-12)


@pytest.mark.parametrize("zoom", [0.5, 0.53, 0.61, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("size", [(32, 32), (21, 34), (96, 96)])
def test_low_resolution_equals_interpolate(zoom, size):
    x = torch.randn(2, *size, generator=generator(), dtype=torch.float64)
    ours = aug.low_resolution(x, torch.tensor([[zoom], [1.0]], dtype=torch.float64))
    coarse = F.interpolate(x[:1, None], [round(s * zoom) for s in size], mode="nearest-exact")
    theirs = F.interpolate(coarse, size, mode="bilinear")[0, 0]
    torch.testing.assert_close(ours[0], theirs, rtol=0, atol=1e-9)
    torch.testing.assert_close(ours[1], x[1], rtol=0, atol=1e-9)


def test_noise_has_the_drawn_standard_deviation():
    images = torch.zeros(400, 1, 48, 48)
    std = only("noise")(images, None, generator())[0].flatten(1).std(1)
    assert std.max() < 0.105 and std.min() < 0.005
    assert abs(std.mean() - 0.05) < 0.006  # uniform on 0 to 0.1: standard error 0.0014


def test_brightness_and_contrast_ranges():
    images = torch.randn(800, 1, 12, 12, generator=generator())
    factor = (only("brightness")(images, None, generator())[0] / images).flatten(1).median(1).values
    assert 0.75 <= factor.min() < 0.76 and 1.24 < factor.max() <= 1.2501
    out = only("contrast")(images, None, generator())[0].flatten(1)
    old = images.flatten(1)
    assert (out.amax(1) <= old.amax(1)).all() and (out.amin(1) >= old.amin(1)).all()
    middle = old.sub(old.mean(1, keepdim=True)).abs().argmin(1, keepdim=True)  # too near the mean to be clamped
    stretch = (out - old.mean(1, keepdim=True)).gather(1, middle) / (old - old.mean(1, keepdim=True)).gather(1, middle)
    assert 0.74 < stretch.min() < 0.77 and 1.23 < stretch.max() < 1.26


@pytest.mark.parametrize("name", ["gamma", "gamma_inverted"])
def test_gamma_keeps_order_mean_and_std(name):
    images = 3 + 2 * torch.randn(400, 1, 16, 16, generator=generator(), dtype=torch.float64)
    out = only(name)(images, None, generator())[0].flatten(1)
    old = images.flatten(1)
    torch.testing.assert_close(out.mean(1), old.mean(1))
    torch.testing.assert_close(out.std(1), old.std(1))
    assert torch.equal(out.argsort(1), old.argsort(1))
    # gamma < 1 lifts the dark end, so the skewness falls; the inverted one acts on the bright end.
    skew = lambda x: ((x - x.mean(1, keepdim=True)) ** 3).mean(1)  # noqa: E731
    lower = (skew(out) < skew(old)).double().mean()
    assert abs(lower - 0.5) < 4 * 0.5 / 400**0.5  # half of the exponents lie below 1


def test_gamma_by_hand_and_on_a_flat_image():
    x = torch.tensor([[[0.0, 1.0], [2.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]]], dtype=torch.float64)
    out = aug.gamma(x, torch.tensor([[2.0], [1.5]], dtype=torch.float64))
    curved = torch.tensor([0.0, 0.0625, 0.25, 1.0], dtype=torch.float64) * 4
    expected = (curved - curved.mean()) / curved.std() * x[0].std() + x[0].mean()
    torch.testing.assert_close(out[0].flatten(), expected)
    torch.testing.assert_close(out[1], x[1])


def test_published_code_leaves_out_noise_and_low_resolution():
    assert set(ALL) - set(PUBLISHED_CODE) == {"noise", "low_resolution"}
    assert Augmenter(PUBLISHED_CODE).names == PUBLISHED_CODE


def test_bad_input():
    with pytest.raises(BadInput, match="unknown augmentation 'elastic'"):
        Augmenter(("elastic",))
    with pytest.raises(BadInput, match="between 0 and 1"):
        Augmenter(("noise",), {"noise": 2.0})
    images, masks = batch()
    with pytest.raises(BadInput, match="must be"):
        Augmenter()(images[:, 0], masks, generator())
    with pytest.raises(BadInput, match="must be"):
        Augmenter()(images, masks[:, :5], generator())


def test_channels_move_together_and_draw_intensities_one_by_one():
    x = torch.randn(12, 1, 24, 32, generator=torch.Generator().manual_seed(0)).repeat(1, 3, 1, 1)
    y = torch.randint(0, 3, (12, 24, 32), generator=torch.Generator().manual_seed(1))
    geometry = ("rotation", "scaling", "mirror_vertical", "mirror_horizontal")
    moved, masks = aug.Augmenter(geometry)(x, y, torch.Generator().manual_seed(2))
    assert torch.equal(moved[:, 0], moved[:, 1]) and torch.equal(moved[:, 0], moved[:, 2]) and not torch.equal(moved, x)
    whole, same_masks = aug.Augmenter()(x, y, torch.Generator().manual_seed(2))
    assert torch.equal(masks, same_masks)  # intensities leave masks alone
    differs = [not torch.equal(image[0], image[1]) for image in whole]
    assert any(differs) and not all(torch.equal(a, b) for a, b in zip(whole[:, 2], moved[:, 2]))


def test_a_batch_in_another_memory_format_is_augmented_alike():
    x, y = torch.randn(6, 2, 16, 16), torch.randint(0, 3, (6, 16, 16))
    one, _ = aug.Augmenter()(x, y, torch.Generator().manual_seed(0))
    two, _ = aug.Augmenter()(x.to(memory_format=torch.channels_last), y, torch.Generator().manual_seed(0))
    assert torch.equal(one, two)
