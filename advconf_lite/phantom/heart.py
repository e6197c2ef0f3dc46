"""The heart in short axis and what lies around it: which tissue is where, in millimetres.

Sizes are adult textbook values with their spread (choices, labelled by the comment beside them). Labels
follow M&Ms-2: 1 LV cavity, 2 myocardium, 3 RV cavity; papillary muscles and trabeculae belong to the cavity,
as annotators draw it.
"""

from __future__ import annotations

import numpy as np

from advconf_lite.phantom.texture import Plane
from advconf_lite.phantom.tissue import INDEX

CLASS_NAMES = ("LV", "MYO", "RV")

PHASES = ("ED", "ES")

# share of subjects; systolic over diastolic cavity radius; cavity radius (mm), wall (mm)
PATHOLOGIES = {
    "normal": (0.40, (0.62, 0.72), (21.0, 26.0), (8.0, 10.5)),
    "dilated": (0.20, (0.82, 0.92), (28.0, 34.0), (7.0, 9.0)),
    "hypertrophic": (0.20, (0.45, 0.60), (18.0, 23.0), (12.0, 16.0)),
    "infarct": (0.20, (0.74, 0.86), (24.0, 30.0), (7.5, 9.5)),
}


def draw_heart(rng: np.random.Generator) -> dict:
    """Everything that one subject's shape depends on: pathology, sizes (mm), pose, neighbours."""
    u = rng.random()
    names, shares = list(PATHOLOGIES), np.cumsum([value[0] for value in PATHOLOGIES.values()])
    pathology = names[min(int(np.searchsorted(shares, u)), len(names) - 1)]
    _, contraction, radius, wall = PATHOLOGIES[pathology]
    U = rng.uniform
    # fmt: off
    heart = {
        "pathology": pathology,
        "radius": U(*radius), "wall": U(*wall), "contraction": U(*contraction), "length": U(78, 100),
        "turn": U(-1.0, 1.0),  # how the short-axis plane is turned in the chest (rad)
        "rv_direction": np.pi + U(-1.0, 1.2),  # image angle, y down: the RV lies to the left and in front
        "rv_width": U(20, 36) * (1.25 if U(0, 1) < 0.2 else 1.0), "rv_height": U(0.95, 1.25),
        "rv_contraction": U(0.6, 0.85), "rv_end": U(0.72, 0.92),
        "centre": (U(-24, 24), U(-20, 20)), "tilt": U(-0.5, 0.5, 2),
        "harmonics": U(-1, 1, (2, 4)) * np.array([0.06, 0.035, 0.02, 0.015]),  # cavity shape, orders 2 to 5
        "wall_harmonics": U(-1, 1, (2, 2)) * np.array([0.14, 0.08]),
        "lesion": U(0, 2 * np.pi), "lesion_width": U(0.5, 0.9), "lesion_thinning": U(0.35, 0.65),
        "lesion_depth": U(0.2, 0.8),
        "papillary": (U(0.8, 1.2), U(-1.2, -0.8)), "papillary_size": U(3.5, 6.0, 2),
        "trabeculae": U(0.3, 1.5), "rv_trabeculae": U(0.2, 1.4), "fat": U(0, 5.5), "fat_patchiness": U(1, 4),
        "torso": (U(-5, 30), U(48, 72), U(135, 165), U(108, 130), U(-0.45, 0.45)),
        "skin_fat": U(5, 24), "rib_phase": U(0, 6.3), "anterior_pad": U(-6, 14),
        "diaphragm": U(0.75, 1.25), "diaphragm_rise": U(0.1, 0.45), "dome": U(40, 110),
        "liver_end": U(-18, 40), "spleen": (U(55, 85), U(15, 50)),
        "stomach": (U(20, 55), U(28, 60), U(16, 30), U(12, 24), int(rng.integers(4))),
        "aorta": (U(-30, 45), U(46, 84), U(8, 13)), "cava": (U(-70, -34), U(24, 64), U(7, 12)),
        "vessels": U(1.9, 2.5), "atrium": U(-3, 7), "outflow": U(0, 14),
        "reader": 0.5 * rng.standard_normal(3),
        # readers differ most in where a ventricle begins and ends: depth (mm) of the first slice that they mark, and
        # how small a ventricle they still mark (outer radius in mm of the left; taper of the right)
        "lv_base": U(-8, 2), "rv_base": U(-7, 4), "lv_apex": U(6, 12), "rv_apex": U(0.15, 0.5),
    }
    # fmt: on
    heart["rv_direction"] += 0.7 * heart["turn"]
    heart["slices"] = int(rng.integers(5, 9))
    heart["first_mm"] = U(-5, 6)
    heart["step_mm"] = heart["length"] * U(0.92, 1.04) / heart["slices"]
    return heart


def slice_depths(heart: dict) -> np.ndarray:
    """Distance of each slice from the base at end diastole, mm. The same planes are used at end systole."""
    return heart["first_mm"] + heart["step_mm"] * np.arange(heart["slices"])


def _taper(depth: float, length: float) -> float:
    """Radius of the ventricle's shell over its radius at the base; 0 below the apex."""
    s = np.clip((depth + 0.15 * length) / (1.15 * length), 0, 1)
    return float(np.sqrt(max(1 - s**2.4, 0.0)))


def _sizes(heart: dict, phase: str) -> dict:
    inner, wall, length, base = heart["radius"], heart["wall"], heart["length"], 0.0
    rv_width = heart["rv_width"]
    if phase == "ES":
        area = (inner + wall) ** 2 - inner**2
        inner *= heart["contraction"]
        wall = np.sqrt(inner**2 + 1.08 * area) - inner  # muscle keeps its volume while the ventricle shortens
        shortening = 0.4 * (1 - heart["contraction"])
        base, length = shortening * length, length * (1 - shortening)  # the base moves, the apex stays
        rv_width = rv_width * heart["rv_contraction"]
    return {"inner": inner, "wall": wall, "length": length, "base": base, "rv_width": rv_width}


def heart_planes(heart: dict, plane: Plane, offsets_mm: tuple, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """Tissue numbers and labels, (P, H, W) uint8 each, at `offsets_mm` from the slice's middle `plane`."""
    size = _sizes(heart, phase)
    x, y = (heart["centre"][axis] + heart["tilt"][axis] * plane.depth_mm for axis in (0, 1))
    # what lies around varies little across the slice, so it is made once
    tissue = surroundings(heart, plane, x, y, _shell(size, plane.depth_mm))
    tissues, masks = (
        np.stack([tissue] * len(offsets_mm)),
        np.zeros((len(offsets_mm), *tissue.shape), np.uint8),
    )
    for offset, labels, mask in zip(offsets_mm, tissues, masks):
        index, part = plane.window(x, y, 80.0, offset)
        _ventricles(heart, size, part, phase, labels[index], mask[index])
    return tissues, masks


def _shell(size: dict, depth_mm: float) -> float:
    """Mean outer radius of the left ventricle."""
    taper = _taper(depth_mm - size["base"], size["length"] + 0.8 * size["wall"])
    return (size["inner"] + size["wall"]) * taper


def _ventricles(heart: dict, size: dict, plane: Plane, phase: str, tissue: np.ndarray, mask: np.ndarray) -> None:
    """Paint both ventricles and what touches them into `tissue` and `mask` (H, W)."""
    depth = plane.depth_mm - size["base"]
    shell = _shell(size, plane.depth_mm)
    x, y = (heart["centre"][axis] + heart["tilt"][axis] * plane.depth_mm for axis in (0, 1))
    x = plane.x - x + 2.2 * plane.field("shift_x") + 0.45 * plane.field("medium")
    y = plane.y - y + 2.2 * plane.field("shift_y") + 0.45 * plane.field("medium2")
    rho = np.hypot(x, y) + 1e-9
    direction = heart["rv_direction"]
    turn = (x + 1j * y) / rho  # exp(i theta); its powers are the angular harmonics

    shape, wall, power = np.ones_like(rho), np.ones_like(rho), turn
    for a, b in heart["wall_harmonics"].T:
        wall += a * power.real + b * power.imag
        power = power * turn
    power = turn * turn
    for a, b in heart["harmonics"].T:
        shape += a * power.real + b * power.imag
        power = power * turn
    inner = size["inner"] * _taper(depth, size["length"]) * shape
    relative = float(np.clip(depth / size["length"], 0, 1))
    wall = wall * size["wall"] * (1 - 0.35 * relative)
    near = turn.real * np.cos(heart["lesion"]) + turn.imag * np.sin(heart["lesion"])
    if heart["pathology"] == "infarct" and abs(relative - heart["lesion_depth"]) < 0.35:
        wall *= 1 - heart["lesion_thinning"] / (1 + np.exp(-(near - np.cos(heart["lesion_width"])) / 0.06))
    if heart["pathology"] == "hypertrophic":  # the septum is thickest
        septum = turn.real * np.cos(direction) + turn.imag * np.sin(direction)
        wall *= 1 + 0.45 * np.maximum(septum, 0) ** 2
    outer = inner + wall if inner.max() > 0 else shell * shape  # below the cavity only the muscular cap is left
    lv, epicardium = rho < inner, rho < outer
    present = depth > heart["lv_base"]  # above it lies the atrium, which looks the same and carries no label

    along = x * np.cos(direction) + y * np.sin(direction)
    across = -x * np.sin(direction) + y * np.cos(direction)
    rv_taper = np.sqrt(max(1 - (max(depth, 0) / (heart["rv_end"] * size["length"])) ** 2, 0.0))
    half_width = 0.5 * (shell * 0.9 + size["rv_width"] * rv_taper)
    half_height = heart["rv_height"] * (shell + 3) * (0.45 + 0.55 * rv_taper)
    offset = half_width + shell * 0.1
    bend = across / half_height
    # the free wall's ends curl round the left ventricle, so the ellipse is bent towards it
    rv_level = np.hypot((along - offset + 6 * bend**2) / half_width, bend) - 1 + 0.04 * plane.field("medium2")
    thickness = 3.2 / np.maximum(half_width, 6.0)
    rv_body = (rv_level < 0) & ~epicardium if rv_taper > 0.12 else np.zeros_like(lv)
    rv_wall = (rv_level < thickness) & ~epicardium if rv_taper > 0.12 else rv_body

    _epicardial_fat(heart, plane, tissue, rho - outer, rv_level * half_width if rv_taper > 0.12 else None)
    small, medium, fine = plane.field("small"), plane.field("medium"), plane.field("fine")
    tissue[rv_wall & (small + medium > -2.1)] = INDEX["myocardium"]  # the thin free wall is broken in places
    tissue[epicardium] = INDEX["myocardium"]
    tissue[rv_body] = INDEX["blood"]
    # trabeculae grow from the free wall inwards and towards the apex
    spongy = 1.5 - heart["rv_trabeculae"] * (0.35 + relative) * np.exp(np.minimum(rv_level, 1) * 2.2)
    tissue[rv_body & (small > np.maximum(spongy, 0.5))] = INDEX["myocardium"]
    tissue[lv] = INDEX["blood"]
    _papillary(heart, plane, tissue, lv, rho, inner, x, y, relative, phase)
    _basal_vessels(heart, tissue, plane, x, y, shell, depth, direction, epicardium | rv_body)
    tissue[epicardium & ~lv & (fine + 0.6 * small > 3.4)] = INDEX["blood"]  # septal branches

    if present:
        # every reader draws a little inside or outside: one offset per subject and class
        reader = heart["reader"]
        mask[rho < outer + reader[1]] = 2
        mask[rho < inner + reader[0]] = 1
        rv_reader = (rv_level * half_width < reader[2]) & (mask == 0)
        if rv_taper > heart["rv_apex"] and depth > heart["rv_base"]:
            mask[rv_reader] = 3
        if inner.max() < 3.0:
            mask[mask == 1] = 2  # no reader marks a cavity of one or two pixels
        if shell < heart["lv_apex"]:
            mask[:] = 0


def _epicardial_fat(heart, plane, tissue, lv_distance, rv_distance):
    distance = lv_distance if rv_distance is None else np.minimum(lv_distance, rv_distance - 3.0)
    groove = np.exp(-(((lv_distance - 2) / 7) ** 2) - ((0 if rv_distance is None else rv_distance / 9) ** 2))
    width = heart["fat"] + heart["fat_patchiness"] * plane.field("medium") + 4 * groove
    fat = distance < np.maximum(width, 0)
    tissue[fat] = INDEX["fat"]
    tissue[fat & (plane.field("small") > 1.7)] = INDEX["blood"]  # coronary arteries and veins
    sac = (distance > np.maximum(width, 0)) & (distance < np.maximum(width, 0) + 1.3) & (plane.field("medium2") > -0.4)
    tissue[sac] = INDEX["cortical bone"]  # the pericardium: fibrous, as dark as cortical bone


def _papillary(heart, plane, tissue, lv, rho, inner, x, y, relative, phase):
    small, fine = plane.field("small"), plane.field("fine")
    mean = float(inner.mean())
    if 0.15 < relative < 0.85:
        for offset, width in zip(heart["papillary"], heart["papillary_size"]):
            angle = heart["rv_direction"] + np.pi + offset
            place = mean * (0.62 if phase == "ED" else 0.55)
            d = np.hypot(x - place * np.cos(angle), y - place * np.sin(angle)) + 0.9 * small
            tissue[lv & (d < width * min(1.0, mean / 18))] = INDEX["myocardium"]
    depth_in = (inner - rho) / 6.0
    threshold = 1.3 + depth_in * 1.6 - heart["trabeculae"] * (0.4 + relative)
    tissue[lv & (0.8 * small + 0.6 * fine > threshold)] = INDEX["myocardium"]


def _basal_vessels(heart, tissue, plane, x, y, shell, depth, direction, ventricles):
    """Atria and great vessels near the base: blood like the ventricles', without a label."""

    def disc(angle, distance, radius, over=False):
        level = np.hypot(x - distance * np.cos(angle), y - distance * np.sin(angle)) + 1.2 * plane.field("medium")
        free = np.ones_like(ventricles) if over else ~ventricles
        tissue[free & (level < radius + 1.8)] = INDEX["myocardium"]
        tissue[free & (level < radius)] = INDEX["blood"]

    if depth < heart["outflow"] + 4:  # pulmonary trunk and outflow tract, in front of the RV
        disc(direction + 0.85, shell * 1.25, 9 + 0.35 * (heart["outflow"] - depth))
    if depth < heart["atrium"] + 3:  # right atrium, behind the RV
        disc(direction - 0.9, shell * 1.35, 8 + 0.8 * (heart["atrium"] - depth))
    if depth < heart["atrium"]:  # left atrium: its wall breaks the ring of muscle at the posterior base
        disc(direction - 2.1, shell * 0.95, min(0.7 * (heart["atrium"] - depth), 14), over=True)


def surroundings(heart: dict, plane: Plane, centre_x: float, centre_y: float, shell: float) -> np.ndarray:
    """Chest wall, lungs, diaphragm, liver, stomach, spleen, great vessels: tissue numbers (H, W) uint8."""
    cos, sin = np.cos(heart["turn"]), np.sin(heart["turn"])
    u = plane.x - centre_x + 3.5 * plane.field("shift_y")
    v = plane.y - centre_y + 3.5 * plane.field("shift_x")
    x, y = cos * u + sin * v, cos * v - sin * u
    fine, small, medium, medium2, large = (plane.field(k) for k in ("fine", "small", "medium", "medium2", "large"))
    tissue = np.full(x.shape, INDEX["lung"], np.uint8)
    # pulmonary vessels, denser towards the heart
    dense = heart["vessels"] + np.hypot(x, y) / 120
    tissue[(fine + 0.7 * small) > 1.2 * dense] = INDEX["blood"]

    below = y - (
        shell * heart["diaphragm"] + heart["diaphragm_rise"] * (45 - plane.depth_mm) + (x + 20) ** 2 / (8 * heart["dome"])
    )
    below = below + 1.5 * medium
    belly = below > 0
    tissue[belly] = INDEX["fat"]
    tissue[belly & (small + 0.8 * medium > 0.7)] = INDEX["muscle"]  # bowel wall, crura
    tissue[belly & (small - 0.8 * medium2 > 1.6)] = INDEX["blood"]
    sx, sy, sa, sb, kind = heart["stomach"]
    stomach = np.hypot((x - sx) / sa, (y - sy - shell * 0.4) / sb) + 0.1 * medium
    tissue[belly & (stomach < 1)] = INDEX["muscle"]
    inside = belly & (stomach < 0.82)
    tissue[inside] = INDEX[("content", "fluid", "lung", "content")[kind]]
    tissue[inside & (small + medium2 > 0.9)] = INDEX[("fat", "content", "content", "muscle")[kind]]
    spleen = np.hypot((x - heart["spleen"][0]) / 22, (y - heart["spleen"][1] - 15) / 30) + 0.08 * medium2
    tissue[belly & (spleen < 1)] = INDEX["spleen"]
    liver = belly & (x + 4 * medium2 < heart["liver_end"] + 0.25 * below)
    tissue[liver] = INDEX["liver"]
    # portal and hepatic veins run along the zero lines of a smooth field
    tissue[liver & (np.abs(medium) < 0.13) & (large > -0.3) & (below > 6)] = INDEX["blood"]
    tissue[(np.abs(below) < 1.3) & (medium2 > -0.8)] = INDEX["muscle"]

    pad = np.hypot((x + 28) / 40, (y + 34) / 26) + 0.22 * medium + 0.1 * small
    tissue[~belly & (pad < 0.55 + 0.03 * heart["anterior_pad"])] = INDEX["fat"]  # mediastinal fat behind the sternum

    for name, wall in (("cava", 0.7), ("aorta", 1.3)):
        vx, vy, radius = heart[name]
        level = np.hypot(x - vx, y - vy) + 0.7 * medium
        tissue[level < radius + wall + 2 * np.maximum(medium2, 0)] = INDEX["fat"]
        tissue[level < radius + wall] = INDEX["muscle"]
        tissue[level < radius] = INDEX["blood"]
    spine = np.hypot((x - heart["aorta"][0] + 34) / 24, (y - heart["aorta"][1] - 22) / 18)
    tissue[spine < 1] = INDEX["cortical bone"]
    tissue[spine < 0.93] = INDEX["marrow"]
    return _chest_wall(heart, plane, x, y, tissue)


def _chest_wall(heart, plane, x, y, tissue):
    tx, ty, a, b, angle = heart["torso"]
    u = (x - tx) * np.cos(angle) + (y - ty) * np.sin(angle)
    v = -(x - tx) * np.sin(angle) + (y - ty) * np.cos(angle)
    level = np.hypot(u / a, v / b)
    depth = (1 - level) * (0.5 * (a + b)) + 0.8 * plane.field("medium")  # mm below the skin, nearly
    fat = heart["skin_fat"]
    wall = 15.0
    small, medium = plane.field("small"), plane.field("medium")
    chest = depth < fat + wall
    tissue[depth < fat + wall + 2.0] = INDEX["fat"]
    tissue[chest] = INDEX["muscle"]
    tissue[chest & (np.abs(depth - fat - 5 + medium) < 0.8)] = INDEX["fat"]  # planes of fat between muscles
    tissue[chest & (small > 1.4)] = INDEX["fat"]
    near = np.nonzero(chest & (np.abs(depth - fat - 9) < 5.0))  # where ribs can be
    # nine ribs in a full turn
    turn = np.cos(9 * np.arctan2(v[near] / b, u[near] / a) + heart["rib_phase"] + 0.12 * plane.depth_mm)
    rib = np.hypot((depth[near] - fat - 9) / 5.0, np.arccos(np.clip(turn, -1, 1)) / 1.1)
    bone = tissue[near]
    bone[rib < 1] = INDEX["cortical bone"]
    bone[rib < 0.72] = INDEX["marrow"]
    tissue[near] = bone
    tissue[depth < fat] = INDEX["fat"]
    tissue[(depth < fat) & (np.abs(small + 0.5 * medium) < 0.06)] = INDEX["muscle"]  # septa in the fat
    tissue[depth < 2.0] = INDEX["skin"]
    tissue[depth < 0] = INDEX["air"]
    return tissue
