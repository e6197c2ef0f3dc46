"""From tissues to a magnitude image: coils, k-space, noise.

A ghost, ringing or noise that is seen in an image has been made in k-space, as on a real scanner.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from advconf_lite.phantom.scanner import Receiver, Scanner, _table, fat_sign, signal, tissue_signals
from advconf_lite.phantom.tissue import IS_FAT, TEXTURE, TISSUES

FIELD_OF_VIEW_FACTOR = 1.25  # the simulated field of view is wider than the stored image, which is cropped from it

ENDORECTAL_RADIUS_MM = 15.0

SUPERSAMPLING = 2  # tissue pixels per image pixel and axis, which gives partial volume


def coil_profile(scanner: Receiver, x_mm: np.ndarray, y_mm: np.ndarray, endorectal_mm=(0.0, 28.0)) -> np.ndarray:
    """Receive sensitivity at pixel positions, 1 in the middle of the organ.

    Sum of squares over circular loops of radius a, each with the on-axis Biot-Savart fall-off
    a^3/(a^2+d^2)^1.5. Array elements lie on an ellipse of 170 x 115 mm around the body, radius 70 mm; the
    endorectal loop has a = 15 mm (choices, from common coil sizes).
    """
    if scanner.coil == "endorectal":
        loops, radius = [endorectal_mm], ENDORECTAL_RADIUS_MM
        centre = (endorectal_mm[0], endorectal_mm[1] - 28.0)
    else:
        angles = {
            "body array": np.arange(8) * 45.0 + 22.5,
            "surface array": [240, 258, 282, 300, 60, 82, 98, 120],
        }
        if scanner.coil not in angles:
            raise ValueError(f"unknown coil {scanner.coil!r}; choose body array, surface array or endorectal")
        radians = np.deg2rad(np.asarray(angles[scanner.coil], float))
        # the heart lies nearer to the chest wall than to the back, so the front elements dominate
        loops, radius, centre = list(zip(170 * np.cos(radians), 30 + 115 * np.sin(radians))), 70.0, (0.0, 0.0)

    def sensitivity(x, y):
        total = 0.0
        for loop_x, loop_y in loops:
            q = 1 + ((x - loop_x) ** 2 + (y - loop_y) ** 2) / radius**2
            total = total + 1 / (q * q * q)
        return np.sqrt(total)

    relative = sensitivity(x_mm, y_mm) / sensitivity(*centre)
    return relative ** (1 - scanner.coil_correction)


@dataclass
class TissueMaps:
    """What lies in the scanner: the slice's thickness as P planes of H x W supersampled pixels.

    Attributes:
        labels: (P, H, W) uint8, numbers of `tissue.NAMES`.
        density, relaxation: (H, W) fine structure, zero mean; times the tissue's `texture` it varies PD, T1
            and T2.
        subject: (tissues, 3) factors on T1, T2, PD.
        endorectal_mm: where a coil in the rectum would lie, (x, y).
    """

    labels: np.ndarray
    density: np.ndarray
    relaxation: np.ndarray
    subject: np.ndarray = field(default_factory=lambda: np.ones((len(TISSUES), 3)))
    endorectal_mm: tuple[float, float] = (0.0, 28.0)


def acquire(maps: TissueMaps, scanner: Scanner, size: int, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude image (size, size) float32 of `maps`, whose pixels are spacing_mm / SUPERSAMPLING wide.

    Steps: signal equation per tissue pixel, mean over the slice thickness, coil, k-space, magnitude.
    """
    pixels = maps.labels.shape[-1]
    axis = (np.arange(pixels) - (pixels - 1) / 2) * spacing_mm / SUPERSAMPLING
    x, y = np.meshgrid(axis, axis)
    table = _table(scanner) * maps.subject
    angle, shift = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3, 2)
    half = pixels * spacing_mm / SUPERSAMPLING / 2
    u, v = (x / half - shift[0]), (y / half - shift[1])
    # the first terms that shimming leaves: a gradient and a saddle
    off_resonance = 0.0
    if scanner.off_resonance_hz:
        gradient = np.cos(angle) * u + np.sin(angle) * v
        off_resonance = scanner.off_resonance_hz * (0.6 * gradient + 0.4 * (u**2 - v**2))
    flip = 1 + scanner.b1_shading * (0.5 - (u**2 + v**2)) if scanner.b1_shading else 1.0
    sign = np.where(IS_FAT, fat_sign(scanner) * (1 - scanner.fat_suppression), 1.0)

    def plane_signal(where, labels):
        """Signal of the pixels `where` if they held `labels`, (n,)."""
        amount = TEXTURE[labels]
        t1, t2, pd = (table[:, column][labels] for column in range(3))
        # T1 and T2 rise together with free water, the first less than the second
        factor = np.clip(1 + amount * maps.relaxation[where], 0.4, 2.0)
        density = np.clip(1 + amount * maps.density[where], 0.3, 2.0)
        local = [value[where] if isinstance(value, np.ndarray) else value for value in (off_resonance, flip)]
        return signal(scanner, t1 * np.sqrt(factor), t2 * factor, pd * density, *local) * sign[labels]

    first = plane_signal(np.ones((pixels, pixels), bool), maps.labels[0].ravel()).reshape(pixels, pixels)
    transverse = first * len(maps.labels)
    for labels in maps.labels[1:]:  # most pixels hold the same tissue through the slice
        where = labels != maps.labels[0]
        transverse[where] += plane_signal(where, labels[where]) - first[where]
    transverse /= len(maps.labels)
    received = transverse * coil_profile(scanner, x, y, maps.endorectal_mm)
    reference = tissue_signals(scanner)[scanner.reference_tissue]
    image = through_kspace(received, scanner, spacing_mm / SUPERSAMPLING, reference / scanner.snr, rng, SUPERSAMPLING)
    start = (len(image) - size) // 2
    # a common scale, so that stored numbers look like a scanner's: 1000 is a full proton density without
    # relaxation
    return (1000 * image[start : start + size, start : start + size]).astype(np.float32)


def through_kspace(
    received: np.ndarray,
    scanner: Receiver,
    pixel_mm: float,
    noise: float,
    rng: np.random.Generator,
    reduction: int = 1,
) -> np.ndarray:
    """Sample `received` (H, H) at the scanner's resolution and reconstruct magnitudes (H / reduction, H /
    reduction).

    `noise` is the standard deviation, real and imaginary each, in an image of acquired voxels. Lines beyond
    the acquired ones are filled with zeros, which gives smooth pixels, ringing and correlated noise; if the
    voxels are finer than the pixels of the result, the outer lines are dropped and noise falls as in
    averaging. Phase axis: rows.
    """
    full, kept = received.shape[0], received.shape[0] // reduction
    spectrum = np.fft.fftshift(np.fft.fft2(received)) / full**2
    start = full // 2 - kept // 2
    spectrum = spectrum[start : start + kept, start : start + kept]
    lines = np.abs(np.arange(kept) - kept // 2)
    wanted = full * pixel_mm / scanner.resolution_mm  # number of readout samples over the field of view
    limits = [min(kept / 2, wanted * fraction / 2) for fraction in (scanner.phase_resolution, 1.0)]
    windows = []
    for limit in limits:
        hann = 0.5 + 0.5 * np.cos(np.pi * np.minimum(lines / limit, 1.0))
        windows.append((lines <= limit) * (1 - scanner.kspace_filter + scanner.kspace_filter * hann))
    if reduction > 1 and pixel_mm * reduction > scanner.resolution_mm:
        # A real image reaches a grid coarser than its voxels by `slices.resample_in_plane`, whose triangle kernel
        # damps the edges and the noise of a pixel's width. Without it the phantom is crisper than any resampled scan.
        windows = [each * np.sinc(lines / kept) ** 2 for each in windows]
    window = np.outer(*windows)
    if scanner.ghost:
        phase = rng.uniform(0, 2 * np.pi)
        modulation = 1 + scanner.ghost * np.cos(2 * np.pi * np.arange(kept) / scanner.ghost_period + phase)
        spectrum = spectrum * modulation[:, None]
    sample_noise = noise / (wanted * np.sqrt(scanner.phase_resolution))
    noise_lines = rng.standard_normal((2, kept, kept)) * sample_noise
    image = np.fft.ifft2(np.fft.ifftshift((spectrum + noise_lines[0] + 1j * noise_lines[1]) * window)) * kept**2
    return np.abs(image)
