"""MR physics: signal equations by hand, k-space effects where they must be, re-acquisition of an image."""

import math
from dataclasses import replace

import numpy as np
import pytest

from advconf_lite.phantom import scanner as physics
from advconf_lite.phantom import scanner_tables as tables
from advconf_lite.phantom.kspace import TissueMaps, acquire, coil_profile, through_kspace
from advconf_lite.phantom.reacquire import contrast_exponent, reacquire
from advconf_lite.phantom.scanner import Scanner
from advconf_lite.phantom.tissue import INDEX, NAMES, SUBJECT_SPREAD, relaxation, subject_factors

PLAIN = Scanner("plain", "bSSFP", 1.5, 3.0, 1.5, 60, resolution_mm=1.0, snr=1e9, kspace_filter=0.0, coil_correction=1.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_bssfp_equals_the_formula_computed_by_hand():
    # TR 3, TE 1.5, 60 degrees, T1 1000, T2 100: E1 = 0.9970045, E2 = 0.9704455, cos = 0.5, sin = 0.8660254
    e1, e2 = math.exp(-0.003), math.exp(-0.03)
    by_hand = 0.8660254 * (1 - e1) / (1 - (e1 - e2) * 0.5 - e1 * e2) * math.exp(-0.015)
    assert physics.bssfp_signal(1000.0, 100.0, 1.0, 3.0, 1.5, 60.0) == pytest.approx(by_hand, rel=1e-7)
    assert by_hand == pytest.approx(0.133, abs=2e-3)  # T1/T2 = 10: close to sin / ((T1/T2+1) - cos (T1/T2-1)) = 0.1332


def test_off_resonance_equation_contains_the_on_resonance_one_and_has_bands():
    on = physics.bssfp_signal(1441.0, 290.0, 1.0, 3.0, 1.5, 60.0)
    assert physics.bssfp_signal(1441.0, 290.0, 1.0, 3.0, 1.5, 60.0, np.array(1e-9)) == pytest.approx(on, rel=1e-6)
    period = 1000 / 3.0
    again = physics.bssfp_signal(1441.0, 290.0, 1.0, 3.0, 1.5, 60.0, np.array(period))
    band = physics.bssfp_signal(1441.0, 290.0, 1.0, 3.0, 1.5, 60.0, np.array(period / 2))
    assert again == pytest.approx(on, rel=1e-6)
    assert band < 0.1 * on


def test_off_resonance_equation_equals_iterated_rotations():
    # an independent route: repeat excitation, precession and decay until the magnetisation no longer changes
    t1, t2, tr, flip, hertz = 600.0, 80.0, 4.0, 50.0, 70.0
    a, theta = np.deg2rad(flip), np.pi + 2 * np.pi * hertz * tr / 1000
    tip = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    turn = np.array([[np.cos(theta), np.sin(theta), 0], [-np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    decay = np.diag([np.exp(-tr / t2)] * 2 + [np.exp(-tr / t1)])
    m = np.array([0.0, 0.0, 1.0])
    for _ in range(4000):
        m = decay @ turn @ (tip @ m) + [0, 0, 1 - np.exp(-tr / t1)]
    after_pulse = tip @ m
    expected = np.hypot(*after_pulse[:2]) * np.exp(-2.0 / t2)
    assert physics.bssfp_signal(t1, t2, 1.0, tr, 2.0, flip, np.array(hertz)) == pytest.approx(expected, rel=1e-6)


def test_tse_by_hand():
    assert physics.tse_signal(1000.0, 100.0, 0.5, 1000.0, 100.0) == pytest.approx(0.5 * (1 - 1 / math.e) / math.e)


@pytest.mark.parametrize(
    ("field_T", "TR", "TE", "flip", "expected"),
    [
        # blood / myocardium / fat in percent of M0, computed by hand from the relaxation table
        (0.55, 4.2, 2.1, 70, (21.5, 8.1, 24.9)),
        (1.5, 3.0, 1.5, 60, (20.7, 4.8, 13.6)),
        (1.5, 2.6, 1.1, 80, (17.7, 3.5, 11.4)),
        (3.0, 3.3, 1.4, 45, (17.9, 5.2, 14.8)),
        (3.0, 3.3, 1.4, 30, (16.9, 6.6, 13.4)),
    ],
)
def test_contrasts_are_those_of_the_published_protocols(field_T, TR, TE, flip, expected):
    signals = physics.tissue_signals(Scanner("x", "bSSFP", field_T, TR, TE, flip))
    found = [100 * signals[name] for name in ("blood", "myocardium", "fat")]
    # the figures are printed with one decimal, so half of the last digit comes on top of the 2 %
    np.testing.assert_array_less(np.abs(np.subtract(found, expected)), 0.02 * np.array(expected) + 0.05)


def test_relaxation_table_is_complete_and_interpolates_between_fields():
    for field_T in (0.55, 1.5, 2.0, 3.0):
        table = relaxation(field_T)
        assert table.shape == (len(NAMES), 3) and np.isfinite(table).all()
        assert (table[:, :2] > 0).all() and (table[:, 0] >= table[:, 1] * 0.99).all()
    blood = [relaxation(f)[INDEX["blood"], 0] for f in (0.55, 1.5, 2.0, 3.0)]
    assert blood == sorted(blood) and blood[1:4:2] == pytest.approx([1441, 1932])


def test_subjects_stay_within_ten_percent():
    factors = subject_factors(rng())
    assert np.abs(factors - 1).max() <= SUBJECT_SPREAD and factors.std() > 0.04


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="sequence"):
        physics.signal(replace(PLAIN, sequence="EPI"), 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="coil"):
        coil_profile(replace(PLAIN, coil="head"), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="organ"):
        tables.source_scanner("liver")


def test_kspace_without_errors_returns_the_image():
    image = rng().random((32, 32)) + 1
    np.testing.assert_allclose(through_kspace(image, PLAIN, 1.0, 0.0, rng()), image, rtol=0.06)
    smooth = 2 + np.cos(2 * np.pi * 3 * np.arange(32) / 32)[:, None] * np.ones(32)
    np.testing.assert_allclose(through_kspace(smooth, PLAIN, 1.0, 0.0, rng()), smooth, atol=1e-9)


@pytest.mark.parametrize("period", [2.0, 4.0])
def test_a_ghost_lies_field_of_view_over_period_away(period):
    image = np.zeros((64, 64))
    image[10, 20] = 1.0
    ghosted = through_kspace(image, replace(PLAIN, ghost=0.2, ghost_period=period), 1.0, 0.0, rng(1))
    ghosted[8:13, :] = 0
    shift = int(64 / period)
    row, column = np.unravel_index(ghosted.argmax(), ghosted.shape)
    assert column == 20 and (row - 10) % 64 in (shift, 64 - shift)
    if period > 2:  # two side bands, each with half of the amplitude
        assert ghosted[row, column] == pytest.approx(0.1, rel=0.05)


def test_truncation_keeps_slow_waves_and_removes_fast_ones():
    position = np.arange(64) / 64
    coarse = replace(PLAIN, resolution_mm=4.0)  # 16 samples over 64 mm: 8 cycles at most
    slow = 2 + np.cos(2 * np.pi * 5 * position)[None] * np.ones((64, 1))
    fast = 2 + np.cos(2 * np.pi * 12 * position)[None] * np.ones((64, 1))
    np.testing.assert_allclose(through_kspace(slow, coarse, 1.0, 0.0, rng()), slow, atol=1e-9)
    np.testing.assert_allclose(through_kspace(fast, coarse, 1.0, 0.0, rng()), 2.0, atol=1e-9)


def test_an_edge_rings_without_a_filter():
    edge = np.zeros((64, 64))
    edge[:, 16:48] = 1.0
    sharp = through_kspace(edge, replace(PLAIN, resolution_mm=2.5), 1.0, 0.0, rng())
    smooth = through_kspace(edge, replace(PLAIN, resolution_mm=2.5, kspace_filter=1.0), 1.0, 0.0, rng())
    assert sharp.max() > 1.06 > 1.01 > smooth.max()


def test_noise_is_as_declared_and_the_background_is_rician():
    sigma = 0.05
    image = np.zeros((128, 128))
    background = through_kspace(image, PLAIN, 1.0, sigma, rng())
    assert background.mean() == pytest.approx(sigma * math.sqrt(math.pi / 2), rel=0.03)  # Rayleigh
    assert background.std() == pytest.approx(sigma * math.sqrt(2 - math.pi / 2), rel=0.03)
    bright = through_kspace(image + 1.0, PLAIN, 1.0, sigma, rng())
    assert bright.std() == pytest.approx(sigma, rel=0.03)
    # voxels of half the width, averaged back to the same pixels: half of the noise, less what the triangle kernel of
    # the resampling takes, sinc(f)^2 along each axis
    fine = through_kspace(np.ones((256, 256)), replace(PLAIN, resolution_mm=0.5), 0.5, sigma, rng(), reduction=2)
    response = np.sinc(np.fft.fftfreq(128)) ** 2
    assert fine.std() == pytest.approx(sigma / 2 * np.mean(response**2), rel=0.03)


def test_a_grid_coarser_than_the_voxels_is_reached_as_by_resampling():
    """The phantom at 2 mm resembles a 1 mm scan that `resample_in_plane` brought to 2 mm."""
    from advconf_lite.data.resampling import resample_in_plane

    smooth = np.fft.fft2(rng(3).standard_normal((128, 128)))
    frequency = np.abs(np.fft.fftfreq(128))
    smooth = np.fft.ifft2(smooth * (np.add.outer(frequency**2, frequency**2) < 0.15**2)).real + 10.0
    scan = through_kspace(smooth, PLAIN, 1.0, 0.0, rng())
    expected = resample_in_plane(scan[None].astype(np.float32), 1.0, 2.0)[0]
    direct = through_kspace(smooth, PLAIN, 1.0, 0.0, rng(), reduction=2)
    crisp = through_kspace(smooth, replace(PLAIN, resolution_mm=2.0), 1.0, 0.0, rng(), reduction=2)
    assert np.abs(expected.std() - direct.std()) < 0.5 * np.abs(expected.std() - crisp.std())


def test_snr_of_the_reference_tissue_is_that_of_the_scanner():
    quiet, size = replace(PLAIN, snr=20.0, resolution_mm=2.0), 96
    labels = np.full((1, 240, 240), INDEX["myocardium"], np.uint8)
    flat = np.zeros(labels.shape[1:])
    image = acquire(TissueMaps(labels, flat, flat), quiet, size, 2.0, rng())
    assert image.shape == (size, size) and image.dtype == np.float32
    assert image.mean() / image.std() == pytest.approx(20.0, rel=0.05)
    expected = 1000 * physics.tissue_signals(quiet)["myocardium"]
    assert image.mean() == pytest.approx(expected, rel=0.01)


def test_coils_are_bright_where_their_elements_are():
    axis = np.linspace(-60, 60, 61)
    x, y = np.meshgrid(axis, axis)
    endorectal = replace(PLAIN, coil="endorectal", coil_correction=0.0)
    profile = coil_profile(endorectal, x, y, (0.0, 28.0))
    row, column = np.unravel_index(profile.argmax(), profile.shape)
    assert abs(x[row, column]) <= 2 and abs(y[row, column] - 28) <= 2
    assert profile.max() / profile[0].max() > 30  # steep
    corrected = coil_profile(replace(endorectal, coil_correction=1.0), x, y)
    np.testing.assert_allclose(corrected, 1.0)
    surface = coil_profile(replace(PLAIN, coil="surface array", coil_correction=0.0), x, y)
    assert surface[0, 30] > surface[30, 30] == pytest.approx(1.0)


def test_fat_is_out_of_phase_in_every_second_pass_band():
    # 1.5 T, TR 3 ms: 223 Hz * 3 ms = 0.67 cycles, the next band; 0.55 T, TR 4.2 ms: 0.34 cycles, the same
    # band
    assert physics.fat_sign(PLAIN) == -1
    assert physics.fat_sign(replace(PLAIN, field_T=0.55, TR_ms=4.2)) == 1
    assert physics.fat_sign(replace(PLAIN, sequence="TSE")) == 1


@pytest.mark.parametrize("organ", ["cardiac", "prostate"])
def test_tables_hold_what_the_study_needs(organ):
    every = tables.scanners(organ)
    assert len(tables.validation_scanners(organ)) == 3
    assert len(tables.target_scanners(organ)) == {"cardiac": 6, "prostate": 5}[organ]
    assert len(every) == 4 + len(tables.target_scanners(organ)), "names are unique"
    assert len({replace(scanner, name="") for scanner in every.values()}) == len(every), "protocols differ"
    real = "symphony trio avanto signa explorer achieva siemens philips ge verio skyra prisma hdxt".split()
    for name in every:
        assert not any(word in name.lower().replace("-", " ").split() for word in real)


@pytest.mark.parametrize("organ", ["cardiac", "prostate"])
def test_every_scanner_and_every_drawn_one_lies_in_the_ranges(organ):
    ranges, generator = tables.RANGES[organ], rng(3)
    drawn = [tables.draw_scanner(organ, generator) for _ in range(50)]
    assert len(set(drawn)) == 50
    for scanner in [*tables.scanners(organ).values(), *drawn]:
        assert scanner.field_T in ranges["field_T"] and scanner.coil in ranges["coils"]
        for key in set(ranges) - {"field_T", "coils", "TE_fraction"}:
            low, high = ranges[key]
            assert low <= getattr(scanner, key) <= high, (scanner.name, key)
        if "TE_fraction" in ranges:
            assert ranges["TE_fraction"][0] - 1e-9 <= scanner.TE_ms / scanner.TR_ms <= ranges["TE_fraction"][1] + 1e-9
    assert tables.draw_scanner(organ, rng(5)) == tables.draw_scanner(organ, rng(5))


@pytest.mark.parametrize("shape", [(64, 64), (50, 70)])
@pytest.mark.parametrize("organ", ["cardiac", "prostate"])
def test_reacquire_changes_the_image_and_keeps_its_form(organ, shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = (100 + 80 * ((x - 30) ** 2 + (y - 25) ** 2 < 150) + 5 * rng().random(shape)).astype(np.float32)
    before = image.copy()
    for scanner in tables.scanners(organ).values():
        result = reacquire(image, scanner, 1.5, rng(1))
        assert result.shape == shape and result.dtype == np.float32
        assert np.isfinite(result).all() and (result >= 0).all()
        assert not np.allclose(result, image, rtol=1e-3)
        np.testing.assert_array_equal(result, reacquire(image, scanner, 1.5, rng(1)))
    np.testing.assert_array_equal(image, before)


def test_reacquire_survives_a_black_image_and_refuses_nan():
    scanner = tables.target_scanners("cardiac")[0]
    assert np.isfinite(reacquire(np.zeros((16, 16)), scanner, 2.0, rng())).all()
    with pytest.raises(ValueError, match="finite"):
        reacquire(np.full((8, 8), np.nan), scanner, 2.0, rng())
    with pytest.raises(ValueError, match="2D"):
        reacquire(np.zeros((2, 8, 8)), scanner, 2.0, rng())


def test_reacquire_keeps_the_order_of_grey_values():
    # a monotone contrast curve: with coil, blur, ghost and noise out of the way, brighter stays brighter
    scanner = replace(PLAIN, field_T=3.0, flip_deg=30, TR_ms=3.3, TE_ms=1.4, resolution_mm=0.1)
    image = np.tile(np.repeat(np.arange(1.0, 9.0), 8), (64, 1))
    result = reacquire(image, scanner, 2.0, rng())
    assert (np.diff(result[0, 4::8]) > 0).all()
    assert not np.allclose(result / result.mean(), image / image.mean(), rtol=0.02)
    assert contrast_exponent(scanner, scanner) == pytest.approx(1.0)
