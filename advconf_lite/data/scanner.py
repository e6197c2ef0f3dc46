"""A virtual MR scanner: signal equations, coils, k-space. What differs between two domains is one dataclass.

Ideal physics: no flow, no magnetisation transfer, no motion beyond ghosting. A ghost, ringing
or noise that is seen in an image has been made in k-space, as on a real scanner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from advconf_lite.data.tissue import IS_FAT, NAMES, TEXTURE, TISSUES, relaxation

FAT_SHIFT_PPM = 3.5  # fat's main peak resonates this far below water; 42.577 MHz/T
# Echo trains undo the J-coupling that shortens fat's T2, so fat is brighter in TSE than its spin-echo T2 says
# (choice).
FAT_TSE_T2_FACTOR = 1.7
FIELD_OF_VIEW_FACTOR = 1.25  # the simulated field of view is wider than the stored image, which is cropped from it
ENDORECTAL_RADIUS_MM = 15.0
SUPERSAMPLING = 2  # tissue pixels per image pixel and axis, which gives partial volume


@dataclass(frozen=True)
class Scanner:
    """One protocol on one scanner. Named for its physics, never after a real machine.

    Attributes:
        sequence: "bSSFP" (heart) or "TSE" (prostate, T2-weighted).
        field_T, TR_ms, TE_ms, flip_deg: as on the protocol sheet.
        coil: "body array" (8 elements around the body), "surface array" (4 in front, 4 behind) or
            "endorectal".
        coil_correction: 0 = raw brightness of the coil, 1 = fully corrected by the scanner's normalisation
            filter.
        resolution_mm, phase_resolution: acquired voxel along readout; the phase axis acquires this fraction
            of its lines.
        slice_mm: slice thickness.
        snr: the reference tissue's signal (myocardium; prostate) over the noise of one acquired voxel.
        ghost, ghost_period: amplitude of a periodic error over the phase lines, and its period in lines; the
            ghost lies field-of-view / period away from its source.
        off_resonance_hz: field error at the border of the field of view (banding in bSSFP).
        b1_shading: relative error of the flip angle between centre and border (dielectric effect, 3 T).
        fat_suppression: share of the fat signal that a saturation pulse removes.
        kspace_filter: 0 = sharp truncation with ringing, 1 = Hann window.
    """

    name: str
    sequence: str
    field_T: float
    TR_ms: float
    TE_ms: float
    flip_deg: float = 90.0
    coil: str = "body array"
    coil_correction: float = 0.7
    resolution_mm: float = 1.4
    phase_resolution: float = 1.0
    slice_mm: float = 8.0
    snr: float = 30.0
    ghost: float = 0.0
    ghost_period: float = 2.0
    off_resonance_hz: float = 0.0
    b1_shading: float = 0.0
    kspace_filter: float = 0.5
    fat_suppression: float = 0.0

    @property
    def reference_tissue(self) -> str:
        """The tissue whose signal defines `snr`."""
        return "myocardium" if self.sequence == "bSSFP" else "prostate"


def bssfp_signal(t1, t2, pd, TR_ms, TE_ms, flip_deg, off_resonance_hz=0.0):
    """Steady-state free precession, magnitude (Freeman and Hill). Arrays broadcast; times in ms.

    On resonance (phase-alternated pulses) this is PD sin a (1-E1) / (1 - (E1-E2) cos a - E1 E2) exp(-TE/T2);
    off resonance the signal falls to bands of darkness that repeat every 1/TR.
    """
    e1, e2, a = np.exp(-TR_ms / t1), np.exp(-TR_ms / t2), np.deg2rad(flip_deg)
    echo = pd * np.sin(a) * (1 - e1) * np.exp(-TE_ms / t2)
    if np.isscalar(off_resonance_hz) and off_resonance_hz == 0.0:
        return echo / (1 - (e1 - e2) * np.cos(a) - e1 * e2)
    theta = np.pi + 2 * np.pi * off_resonance_hz * TR_ms / 1000
    bottom = (1 - e1 * np.cos(a)) * (1 - e2 * np.cos(theta)) - e2 * (e1 - np.cos(a)) * (e2 - np.cos(theta))
    return echo * np.sqrt(np.maximum(1 - 2 * e2 * np.cos(theta) + e2**2, 0)) / bottom


def tse_signal(t1, t2, pd, TR_ms, TE_ms):
    """Turbo spin echo without stimulated echoes: PD (1 - exp(-TR/T1)) exp(-TE/T2). Times in ms."""
    return pd * (1 - np.exp(-TR_ms / t1)) * np.exp(-TE_ms / t2)


def signal(scanner: Scanner, t1, t2, pd, off_resonance_hz=0.0, flip_factor=1.0):
    """Magnitude of the transverse magnetisation under `scanner`'s protocol.

    Raises:
        ValueError: unknown sequence.
    """
    if scanner.sequence == "bSSFP":
        flip = scanner.flip_deg * flip_factor
        return bssfp_signal(t1, t2, pd, scanner.TR_ms, scanner.TE_ms, flip, off_resonance_hz)
    if scanner.sequence == "TSE":
        # refocusing by 180 deg pulses: flip errors enter at both pulses, to first order sin^3 of the nominal
        # 90 deg
        return tse_signal(t1, t2, pd, scanner.TR_ms, scanner.TE_ms) * np.abs(np.sin(np.pi / 2 * flip_factor)) ** 3
    raise ValueError(f"unknown sequence {scanner.sequence!r}; choose 'bSSFP' or 'TSE'")


def _table(scanner: Scanner) -> np.ndarray:
    table = relaxation(scanner.field_T)
    if scanner.sequence == "TSE":
        table[IS_FAT, 1] *= FAT_TSE_T2_FACTOR
    return table


@lru_cache(maxsize=64)
def tissue_signals(scanner: Scanner) -> dict[str, float]:
    """Signal of every tissue of the table under `scanner`, before coil and noise."""
    values = signal(scanner, *_table(scanner).T) * np.where(IS_FAT, 1 - scanner.fat_suppression, 1.0)
    return {name: float(value) for name, value in zip(NAMES, values)}


def fat_sign(scanner: Scanner) -> float:
    """Phase of fat against water: bSSFP flips it in every second pass band (dark rims at fat)."""
    if scanner.sequence != "bSSFP":
        return 1.0
    cycles = FAT_SHIFT_PPM * 42.577 * scanner.field_T * scanner.TR_ms / 1000
    return -1.0 if int(np.floor(cycles + 0.5)) % 2 else 1.0


def coil_profile(scanner: Scanner, x_mm: np.ndarray, y_mm: np.ndarray, endorectal_mm=(0.0, 28.0)) -> np.ndarray:
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
    scanner: Scanner,
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


@lru_cache(maxsize=64)
def contrast_exponent(scanner: Scanner, reference: Scanner) -> float:
    """Exponent of the power law that turns the tissue signals under `reference` into those under `scanner`.

    Least squares over the soft tissues of the table, in logarithms: the best monotone one-parameter curve,
        because an
    image alone does not say which tissue a grey value is. Limited to 0.5-2.
    """
    names = ["blood", "myocardium", "fat", "muscle", "liver"]
    if scanner.sequence == "TSE":
        names = ["prostate", "peripheral zone", "muscle", "fat", "fluid"]
    old = np.log([tissue_signals(reference)[name] for name in names])
    new = np.log([max(tissue_signals(scanner)[name], 1e-3) for name in names])
    slope = np.sum((old - old.mean()) * (new - new.mean())) / np.sum((old - old.mean()) ** 2)
    return float(np.clip(slope, 0.5, 2.0))


def reacquire(image: np.ndarray, scanner: Scanner, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """A real magnitude image (H, W) float32 as `scanner` would have shown it, from the image alone.

    Contrast curve (monotone, by `contrast_exponent` against the organ's source scanner), coil profile,
    k-space resolution, ghosting and noise. No mask is used and no tissue contrast invented; resolution that
    the image never had cannot return, and its own noise stays under the added one. Noise is relative to the
    image's mean, because nothing says where the reference tissue lies.

    Raises:
        ValueError: the image is not two-dimensional or not finite.
    """
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or not np.isfinite(image).all():
        raise ValueError(f"reacquire needs one finite 2D image, got shape {image.shape}; remove NaN and infinity first")
    from advconf_lite.data.scanner_tables import source_scanner  # the tables are built from Scanner

    reference = source_scanner("cardiac" if scanner.sequence == "bSSFP" else "prostate")
    image = np.maximum(image, 0)
    top = max(float(np.percentile(image, 99.5)), 1e-12)
    curved = top * (image / top) ** contrast_exponent(scanner, reference)
    side = max(image.shape)
    square = np.zeros((side, side))
    square[: image.shape[0], : image.shape[1]] = curved
    rows, columns = (np.arange(side) - (n - 1) / 2 for n in image.shape)
    x, y = np.meshgrid(columns * spacing_mm, rows * spacing_mm)
    received = square * coil_profile(scanner, x, y)
    result = through_kspace(received, scanner, spacing_mm, float(curved.mean()) / scanner.snr, rng)
    return result[: image.shape[0], : image.shape[1]].astype(np.float32)
