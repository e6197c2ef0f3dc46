"""The prostate in axial T2-weighted slices and the pelvis around it: which tissue is where, in millimetres.

Label 1 is the whole gland, as in the multi-site prostate sets after merging their zones. Sizes are adult
textbook values with their spread, labelled choices. With an endorectal coil the rectum holds an inflated
balloon that flattens the gland.
"""

from __future__ import annotations

import numpy as np

from advconf_lite.phantom.texture import Plane
from advconf_lite.phantom.tissue import INDEX

CLASS_NAMES = ("prostate",)

PHASES = ("",)


def draw_prostate(rng: np.random.Generator) -> dict:
    """Everything that one subject's shape depends on: sizes (mm), pose, zones, nodules, rectal content."""
    U = rng.uniform
    enlarged = U(0, 1)  # benign hyperplasia: the transition zone grows, the peripheral zone is pressed flat
    width = U(36, 46) + 10 * enlarged  # healthy glands are about 40 mm wide
    # fmt: off
    gland = {
        "width": width, "height": width * U(0.62, 0.78) + 4 * enlarged, "length": U(36, 46) + 12 * enlarged,
        "centre": (U(-14, 14), U(-15, 12)), "angle": U(-0.2, 0.2), "build": U(0.85, 1.2),
        "lean": U(-0.15, 0.15), "square": U(2.1, 2.9), "notch": U(0, 2.5),
        "transition": 0.55 + 0.25 * enlarged + U(-0.05, 0.05), "capsule": U(-0.4, 1.0), "sheath": U(0.5, 4.0),
        "stroma": U(0.5, 1.0), "tumour": U(0, 1) < 0.45,
        "tumour_place": (U(-0.7, 0.7), U(0.3, 0.75), U(0.25, 0.8)), "tumour_size": U(4, 9),
        "reader": float(rng.standard_normal()), "prostatitis": U(0, 1) < 0.3,
        "rectum": (U(-6, 6), U(9, 16), U(7, 14)), "content": int(rng.integers(4)), "rectal_wall": U(2.5, 4.5),
        "bladder": (U(28, 42), U(18, 32), U(-1.0, 4.0)), "levator": U(3, 7), "levator_gap": U(0.5, 4.0),
        "obturator": U(13, 20), "pelvis": U(50, 60), "bone": U(18, 30), "fat_patches": U(0.9, 1.7),
        "vesicle": (U(10, 16), U(6, 10)), "balloon": U(15, 20), "plexus": U(0.6, 1.2), "symphysis": U(26, 38),
    }
    # fmt: on
    count = int(rng.integers(2, 4 + int(9 * enlarged)))
    # each nodule: place in units of the transition zone, depth in the gland, radius (mm), kind
    gland["nodules"] = [
        (U(-0.8, 0.8), U(-0.8, 0.8), U(0.1, 0.9), U(2.5, 5 + 5 * enlarged), int(rng.integers(3))) for _ in range(count)
    ]
    # readers draw a little inside or outside (mm, above), and differ in how narrow a slice of the gland they still
    # mark at apex and base: its half width in mm
    gland["reader_end"] = U(2.5, 8.0)
    gland["slices"] = int(rng.integers(6, 10))
    gland["first_mm"] = U(1.0, 3.5)
    gland["step_mm"] = (gland["length"] - 3) / gland["slices"]
    return gland


def slice_depths(gland: dict) -> np.ndarray:
    """Distance of each slice from the gland's base (bladder side), mm."""
    return gland["first_mm"] + gland["step_mm"] * np.arange(gland["slices"])


def _taper(depth: float, length: float) -> float:
    """Width of the gland at `depth` over its greatest width, which lies nearer to the base."""
    s = np.clip(depth / length, 0, 1)
    return float(np.clip(4 * (s**0.8) * (1 - s**0.8), 0, 1) ** 0.55)


def rectum_centre(gland: dict, endorectal: bool) -> tuple[float, float]:
    """Where the middle of the rectum's lumen lies (x, y in mm)."""
    radius = gland["balloon"] if endorectal else gland["rectum"][2]
    wall_y = gland["centre"][1] + 0.46 * gland["height"] + gland["rectal_wall"] + 1.0
    return gland["centre"][0] + gland["rectum"][0] * 0.5, wall_y + radius - (5.0 if endorectal else 0.0)


def coil_place(gland: dict) -> tuple[float, float]:
    """Where an endorectal coil's loop lies (x, y in mm): on the balloon's side towards the gland."""
    x, y = rectum_centre(gland, True)
    return x, y - 0.75 * gland["balloon"]


def prostate_planes(gland: dict, plane: Plane, offsets_mm: tuple, endorectal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tissue numbers and labels, (P, H, W) uint8 each, at `offsets_mm` from the slice's middle `plane`."""
    # the pelvis varies little across the slice, so it is made once
    tissue = pelvis(gland, plane, float(np.clip(plane.depth_mm / gland["length"], 0, 1)), endorectal)
    tissues, masks = (
        np.stack([tissue] * len(offsets_mm)),
        np.zeros((len(offsets_mm), *tissue.shape), np.uint8),
    )
    for offset, labels, mask in zip(offsets_mm, tissues, masks):
        index, part = plane.window(*gland["centre"], 48.0, offset)
        _gland(gland, part, endorectal, labels[index], mask[index])
    return tissues, masks


def _gland(gland: dict, plane: Plane, endorectal: bool, tissue: np.ndarray, mask: np.ndarray) -> None:
    """Paint the gland and its sheath into `tissue` and `mask` (H, W)."""
    depth, relative = plane.depth_mm, np.clip(plane.depth_mm / gland["length"], 0, 1)
    scale = _taper(depth, gland["length"])
    cos, sin = np.cos(gland["angle"]), np.sin(gland["angle"])
    x0 = plane.x - gland["centre"][0] + 2.4 * plane.field("shift_x") + 0.5 * plane.field("medium")
    y0 = plane.y - gland["centre"][1] + 2.4 * plane.field("shift_y") + 0.5 * plane.field("medium2")
    x, y = x0 * cos + y0 * sin, -x0 * sin + y0 * cos
    half_width, half_height = 0.5 * gland["width"] * scale, 0.5 * gland["height"] * (0.3 + 0.7 * scale)
    rectum_x, rectum_y = rectum_centre(gland, endorectal)
    radius = gland["balloon"] if endorectal else gland["rectum"][2]
    to_rectum = np.hypot((plane.x - rectum_x) / (1.0 if endorectal else 1.25), plane.y - rectum_y) - radius

    gap = 0.55 * (gland["rectal_wall"] + 0.6)
    u, v = x / max(half_width, 1.0), y / max(half_height, 1.0)
    power = gland["square"]
    level = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power) - 1 + 0.045 * plane.field("medium")
    level = level + 0.06 * gland["notch"] * np.exp(-((u / 0.25) ** 2)) * (v > 0)  # midline sulcus behind
    mean = 0.5 * (half_width + half_height)
    distance = np.maximum(level * mean, gap - to_rectum)  # mm outside the gland; the rectum presses into it
    inside = distance < 0
    reader = distance < gland["reader"]
    small, medium, fine = plane.field("small"), plane.field("medium"), plane.field("fine")

    # around the gland: venous plexus and fat in front and at the sides, nerves and vessels at five and seven
    # o'clock
    shell = (distance >= 0) & (distance < gland["sheath"] + 2 * medium)  # thin in the lean: muscle touches the gland
    tissue[shell & (to_rectum > gland["rectal_wall"] * 0.5)] = INDEX["fat"]
    tissue[shell & (small > gland["plexus"]) & (v < 0.5)] = INDEX["vein"]
    for side in (-1, 1):
        bundle = np.hypot(u - side * 0.85, v - 0.85) < 0.28
        tissue[shell & bundle & (small > 0.2)] = INDEX["vein"]
        tissue[shell & bundle & (small < -0.8)] = INDEX["muscle"]

    tissue[inside] = INDEX["peripheral zone"]
    if gland["prostatitis"]:  # diffuse inflammation darkens the peripheral zone, so that it looks like its neighbours
        tissue[inside & (medium + 0.5 * small > -0.5)] = INDEX["prostate"]
    tissue[inside & (np.abs(small) < 0.08)] = INDEX["prostate"]  # septa
    zone = gland["transition"] * (1.0 if relative < 0.7 else 0.75)
    inner = np.hypot(u / (zone + 0.12), (v + 0.22) / zone) + 0.05 * medium
    tissue[inside & (inner < 1.05)] = INDEX["stromal nodule"]  # surgical capsule
    tissue[inside & (inner < 1)] = INDEX["prostate"]
    tissue[inside & (inner < 1) & (small + 0.5 * medium > 1.0)] = INDEX["glandular nodule"]
    tissue[inside & (inner < 1) & (small - 0.5 * medium > 1.1)] = INDEX["stromal nodule"]
    if relative < 0.35:  # central zone around the ejaculatory ducts: dark, symmetric, at the base
        tissue[inside & (np.hypot(u / 0.4, (v - 0.45) / 0.3) < 1)] = INDEX["stromal nodule"]
    for nx, ny, nz, size, kind in gland["nodules"]:
        height = (nz - relative) * gland["length"]
        if abs(height) >= size:
            continue
        r = np.sqrt(size**2 - height**2)
        d = np.hypot(x - nx * zone * half_width, y + 0.22 * half_height - ny * zone * half_height) + 0.5 * small
        where = inside & (inner < 1.1)
        tissue[where & (d < r + 1.0)] = INDEX["stromal nodule"]
        body = ("glandular nodule", "stromal nodule", "prostate")[kind]
        tissue[where & (d < r)] = INDEX[body]
        tissue[where & (d < r) & (small > 0.8)] = INDEX["glandular nodule"]
    # fibromuscular stroma in front, as dark as muscle and continuous with it
    tissue[inside & (v < -0.62 * gland["stroma"] - 0.25 + 0.12 * medium) & (np.abs(u) < 0.6)] = INDEX["muscle"]
    if gland["tumour"]:
        tx, ty, tz = gland["tumour_place"]
        height = (tz - relative) * gland["length"]
        d = np.sqrt((x - tx * half_width) ** 2 + (y - ty * half_height) ** 2 + height**2) + 0.8 * small
        tissue[(distance < 1.0) & (d < gland["tumour_size"])] = INDEX["tumour"]  # may grow through the capsule
    urethra = np.hypot(x, y + 0.1 * half_height)
    tissue[inside & (urethra < 3.2)] = INDEX["muscle"]
    tissue[inside & (urethra < 1.6)] = INDEX["fluid" if relative < 0.5 else "stromal nodule"]
    rim = (np.abs(distance) < 0.6) & (medium > gland["capsule"])
    tissue[rim] = INDEX["muscle"]  # the fibrous capsule: thin, dark, seen only in places
    tissue[reader & (fine > 3.2)] = INDEX["cortical bone"]  # calcifications
    if half_width >= gland["reader_end"]:
        mask[reader] = 1


def pelvis(gland: dict, plane: Plane, relative: float, endorectal: bool) -> np.ndarray:
    """Everything except the gland: tissue numbers (H, W) uint8."""
    cx, cy = gland["centre"]
    u = plane.x - cx * 0.6 + 2.5 * plane.field("shift_y") + 0.6 * plane.field("medium")
    v = plane.y - cy * 0.6 + 2.5 * plane.field("shift_x") + 0.6 * plane.field("medium2")
    # the pelvis is wider or narrower and leans, independently of the gland
    cos, sin = np.cos(gland["lean"]) / gland["build"], np.sin(gland["lean"]) / gland["build"]
    x, y = cos * u + sin * v, cos * v - sin * u
    small, medium, medium2, fine = (plane.field(k) for k in ("small", "medium", "medium2", "fine"))
    tissue = np.full(x.shape, INDEX["fat"], np.uint8)
    tissue[small + 0.6 * medium > gland["fat_patches"]] = INDEX["vein"]
    tissue[small - 0.6 * medium2 > gland["fat_patches"] + 0.1] = INDEX["muscle"]

    # muscles and bone on both sides, from the middle outwards: levator ani, obturator internus, ischium
    side = np.abs(x)
    wall = gland["pelvis"] - 0.12 * np.maximum(y, 0) - 10 * relative + 0.004 * y**2
    gluteus = (y > 38 + 0.25 * side) & (side > 22)
    tissue[gluteus] = INDEX["muscle"]
    tissue[gluteus & (np.abs(medium) < 0.12)] = INDEX["fat"]
    bone = (side > wall) & (y < 32 + 4 * medium) & (y > -60)
    tissue[bone] = INDEX["cortical bone"]
    tissue[bone & (side > wall + 2.2) & (y < 30 + 4 * medium)] = INDEX["marrow"]
    tissue[(side > wall + gland["bone"]) & (y < 40)] = INDEX["muscle"]
    obturator = (side < wall - 0.8) & (side > wall - gland["obturator"]) & (np.abs(y - 2) < 34 + 3 * medium2)
    tissue[obturator] = INDEX["muscle"]
    tissue[obturator & (np.abs(small + medium) < 0.07)] = INDEX["fat"]
    pubis = (y < -gland["symphysis"] - 0.25 * side + 20 * max(0.55 - relative, 0) * -1) & (side < 40)
    tissue[pubis] = INDEX["cortical bone"]
    tissue[pubis & (side > 2.5) & (y < -gland["symphysis"] - 3 - 0.25 * side - 20 * max(0.55 - relative, 0))] = INDEX[
        "marrow"
    ]
    front = (y < -gland["symphysis"] - 26) & (side < 45)
    tissue[front] = INDEX["muscle"]

    gland_half = 0.5 * gland["width"] * _taper(plane.depth_mm, gland["length"])
    levator_at = gland_half + gland["levator_gap"] + 2 + 0.02 * (y - cy * 0.6) ** 2 * -0.35
    levator = (np.abs(side - levator_at - 0.5 * gland["levator"]) < 0.5 * gland["levator"]) & (y > -14) & (y < 44)
    tissue[levator & (relative > 0.2)] = INDEX["muscle"]

    if relative < 0.45:  # bladder in front of and above the base
        bx, by, start = gland["bladder"]
        grow = np.sqrt(max(1 - relative / 0.45, 0))
        level = np.hypot(x / bx, (y + 0.35 * gland["height"] + by * 0.75) / by) / max(grow, 0.05) + 0.03 * medium
        tissue[level < 1] = INDEX["muscle"]
        tissue[level < 1 - 0.13 * (1 + start / 4)] = INDEX["fluid"]
    if relative < 0.3:  # seminal vesicles: coiled tubes behind the base
        vx, vy = gland["vesicle"]
        for sign in (-1, 1):
            d = np.hypot((x - sign * vx * 1.1) / vx, (y - 0.42 * gland["height"] - 2) / vy)
            tissue[d < 1] = INDEX["muscle"]
            tissue[(d < 1) & (np.abs(small) > 0.4)] = INDEX["seminal vesicle"]

    rectum_x, rectum_y = rectum_centre(gland, endorectal)
    radius = gland["balloon"] if endorectal else gland["rectum"][2]
    stretch = 1.0 if endorectal else 1.25
    level = np.hypot((plane.x - rectum_x) / stretch, plane.y - rectum_y) + (0.0 if endorectal else 0.9 * medium)
    thickness = gland["rectal_wall"] * (0.5 if endorectal else 1.0)  # the balloon stretches the wall thin
    tissue[level < radius + thickness + 3] = INDEX["fat"]
    tissue[level < radius + thickness] = INDEX["muscle"]
    tissue[level < radius + 0.55 * thickness] = INDEX["rectal wall"]
    lumen = level < radius
    if endorectal:
        tissue[lumen] = INDEX["air"]  # the balloon's filling gives no signal
        return tissue
    kind = gland["content"]
    tissue[lumen] = INDEX[("air", "content", "content", "rectal wall")[kind]]
    tissue[lumen & (small + medium > 0.8)] = INDEX[("content", "air", "fat", "fluid")[kind]]
    if kind == 0:
        tissue[lumen & (plane.y > rectum_y + radius * 0.5)] = INDEX["content"]  # stool lies below the air
    return tissue
