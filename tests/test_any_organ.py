"""Images of anything: the set says its grid, nothing guesses an organ, nothing is cut off unsaid."""

import json
import re
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgba

from advconf_lite.__main__ import main
from advconf_lite.data.cropping import labels_lost
from advconf_lite.data.grid import Grid
from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.experiment.parts import check_spec, first_look, load_experiment
from advconf_lite.experiment.predict import predict
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.figures.images import samples
from advconf_lite.figures.style import class_cue
from advconf_lite.methods.oracle import rescanned
from advconf_lite.phantom import any_image, scanner_tables
from advconf_lite.phantom.any_image import RANGES, ImageScanner, draw_scanner
from advconf_lite.phantom.offered import draw_offered, offered_scanners
from advconf_lite.phantom.reacquire import reacquire
from advconf_lite.support.errors import BadInput
from data_download.__main__ import main as data_main

SMOKE = PROFILES["smoke"]
OF_AN_ORGAN = re.compile(r"cardia|heart|prostat|gland|ventric|endorect|\bLV\b|\bMYO\b|\bRV\b", re.IGNORECASE)


def disc(shape, row, column, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - row, columns - column) < radius


def write(folder, masks, subjects, splits, domains="here", pixel_mm=1.0, **info):
    """Noisy images of `masks` (N, H, W), brighter with every label."""
    masks = np.asarray(masks, np.uint8)
    images = np.random.default_rng(0).normal(0, 12, masks.shape) + 40 * masks
    columns = {"dataset": info["name"], "domain": domains, "subject": subjects, "phase": "", "spacing_mm": pixel_mm}
    table = pd.DataFrame({**columns, "slice": range(len(masks)), "split": splits})
    info = {"source_domain": table["domain"][0], **info}
    grid = {key: info.pop(key) for key in ("size", "spacing_mm") if key in info}
    write_slice_set(folder, images.astype(np.float32), masks, table, info)
    path = folder / "dataset.json"  # by hand, for the writer refuses a grid that cuts off much
    path.write_text(json.dumps(json.loads(path.read_text()) | grid))
    return read_slice_set(folder)


@pytest.fixture
def lungs(tmp_path):
    """One class, one domain, 128 x 128 pixels of 0.7 mm; dataset.json says nothing of organ, grid and tolerance."""
    shape, subjects, masks = (128, 128), [f"p{number // 2}" for number in range(16)], []
    for number in range(16):
        shift = number % 5 - 2
        masks.append(disc(shape, 64 + shift, 36, 22 + shift) | disc(shape, 64 - shift, 92, 20))
    splits = ["train"] * 8 + ["val"] * 4 + ["test"] * 4
    return write(tmp_path / "lungs", masks, subjects, splits, pixel_mm=0.7, name="lungs", class_names=["lung"])


@pytest.fixture
def brains(tmp_path):
    """Four nested classes, three domains, 128 x 96 pixels; dataset.json says organ and grid."""
    shape, masks = (128, 96), []
    domains = ["north"] * 14 + ["south"] * 2 + ["east"] * 2
    subjects = [f"{domain}-{number // 2}" for number, domain in enumerate(domains)]
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 8
    for number in range(18):
        mask = disc(shape, 64, 48, 40 + number % 3).astype(int) + disc(shape, 64, 48, 32)
        mask[disc(shape, 56, 48, 10)], mask[disc(shape, 82, 48, 7)] = 3, 4
        masks.append(mask)
    return write(
        tmp_path / "brains", masks, subjects, splits, domains, name="brains", organ="brain", tolerance_mm=2.0,
        class_names=["grey", "white", "fluid", "stem"], size=[128, 96], spacing_mm=1.0,
    )  # fmt: skip


# ---- the grid


def test_a_set_that_says_nothing_has_its_own_pixels_and_a_grid_that_holds_every_image(lungs):
    assert (lungs.grid, lungs.tolerance_mm, lungs.organ) == (Grid(128, 128, 0.7), pytest.approx(2.1), None)
    written = json.loads((lungs.folder / "dataset.json").read_text())
    assert not {"size", "spacing_mm", "tolerance_mm", "organ"} & set(written)  # a rule is no statement of the author's
    grid, notes = first_look(str(lungs.folder), SMOKE)
    assert str(grid) == "48 x 48 pixels of 1.87 mm" and notes == [
        "dataset.json says no spacing_mm: 0.7 mm, the images' own",
        "dataset.json says no size: 128 x 128 pixels, which hold every image",
        "dataset.json says no tolerance_mm: 2.1 mm for the surface Dice, 3 pixels of the set's own grid",
    ]


def test_a_set_that_says_its_grid_is_taken_at_its_word(brains):
    assert (brains.grid.size, brains.tolerance_mm, brains.organ) == ((128, 96), 2.0, "brain")
    grid, notes = first_look(str(brains.folder), PROFILES["full"])
    assert str(grid) == "128 x 96 pixels of 1 mm" and notes == []


@pytest.mark.parametrize(
    ("shape", "spacings", "said", "expected"),
    [
        ((100, 140), [1.0] * 3, {}, Grid(112, 144, 1.0)),
        ((129, 120), [1.0] * 3, {}, Grid(144, 144, 1.0)),  # nearly a square
        ((64, 64), [1.0, 1.0, 2.0], {}, Grid(128, 128, 1.0)),  # the middle spacing; the coarsest image is 128 wide then
        ((64, 64), [1.0, 2.0], {}, Grid(128, 128, 1.0)),  # a spacing that exists, not the mean of two
        ((64, 64), [1.0] * 3, {"spacing_mm": 2.0}, Grid(32, 32, 2.0)),
        ((64, 64), [0.5] * 3, {"size": 40}, Grid(40, 40, 0.5)),
        ((64, 64), [0.5] * 3, {"size": [40, 72], "spacing_mm": 0.4}, Grid(40, 72, 0.4)),
        ((5, 5), [1.0] * 3, {}, Grid(16, 16, 1.0)),
    ],
)
def test_the_grid_by_hand(tmp_path, shape, spacings, said, expected):
    n = len(spacings)
    slices = write(tmp_path / "s", np.ones((n, *shape)), list("abc"[:n]), ["train"] * n, pixel_mm=spacings, name="s",
                   class_names=["c"], **said)  # fmt: skip
    assert slices.grid == expected
    assert slices.select("here").take([n - 1]).grid == expected  # of the whole set, whatever is selected


@pytest.mark.parametrize(
    ("grid", "limit", "expected"),
    [
        (Grid(256, 256, 1.0), 96, Grid(96, 96, 256 / 96)),
        (Grid(384, 384, 0.5), 96, Grid(96, 96, 2.0)),
        (Grid(112, 144, 1.0), 96, Grid(80, 96, 1.5)),  # 74.7 rows would do, 80 are a multiple of 16
        (Grid(512, 40, 1.0), 48, Grid(48, 16, 512 / 48)),
        (Grid(96, 96, 2.0), 96, Grid(96, 96, 2.0)),
        (Grid(64, 32, 3.0), 96, Grid(64, 32, 3.0)),  # never made finer
        (Grid(640, 640, 0.3), None, Grid(640, 640, 0.3)),
    ],
)
def test_a_profile_makes_a_grid_coarser_over_the_same_field_of_view(grid, limit, expected):
    got = grid.within(limit)
    assert (got.rows, got.columns) == (expected.rows, expected.columns)
    assert got.spacing_mm == pytest.approx(expected.spacing_mm)
    assert got.rows * got.spacing_mm >= grid.rows * grid.spacing_mm - 1e-9
    assert got.columns * got.spacing_mm >= grid.columns * grid.spacing_mm - 1e-9


def test_no_side_of_any_grid_is_cut_when_it_is_made_coarser():
    rng = np.random.default_rng(0)
    for _ in range(500):
        rows, columns = (16 * int(n) for n in rng.integers(1, 60, 2))
        grid = Grid(rows, columns, float(rng.uniform(0.05, 5)))
        for limit in (48, 96):
            coarse = grid.within(limit)
            for side, new in ((rows, coarse.rows), (columns, coarse.columns)):
                assert new % 16 == 0 and round(side * grid.spacing_mm / coarse.spacing_mm) <= new <= max(limit, 16)


# ---- labels that a crop would lose


def lopsided(folder, size, lost_of=("b",), bits=12, number=6, **info):
    """Discs in the middle of 64 x 96, and for some subjects `bits` labelled pixels 40 columns to the right of it."""
    names = [chr(97 + i) for i in range(number)]
    masks = np.stack([disc((64, 96), 32, 48, 20) for _ in names]).astype(np.uint8)
    for row, name in enumerate(names):
        if name in lost_of:
            masks[row, 30 : 30 + bits, 88] = 1
    return write(folder, masks, names, ["train"] * number, name="l", class_names=["c"], size=size, **info)


def test_nothing_is_said_where_nothing_is_lost(lungs, brains, tmp_path):
    for slices in (lungs, brains, lopsided(tmp_path / "l", [64, 96]), lopsided(tmp_path / "m", 64, lost_of=())):
        assert labels_lost(slices, slices.grid) is None


def test_a_little_that_is_cut_off_is_counted_and_named(tmp_path):
    slices = lopsided(tmp_path / "l", 64)
    area = int(np.asarray(slices.masks).sum())
    one = int(np.asarray(slices.masks)[1].sum())
    text = labels_lost(slices, slices.grid)
    assert f"{100 * 12 / area:.2g} % of the labelled area" in text and f"subject b ({100 * 12 / one:.2g} %)" in text
    assert "\n" not in text and text in first_look(str(slices.folder), SMOKE)[1]
    both = lopsided(tmp_path / "m", 64, ("b", "e"), 6, domains=["x"] * 3 + ["y"] * 3)
    assert "b of x (" in labels_lost(both, both.grid) and "e of y (" in labels_lost(both, both.grid)
    many = lopsided(tmp_path / "n", 64, "abcdefgh", 3, number=9)
    assert labels_lost(many, many.grid).endswith("and 3 others")


def test_a_lot_is_refused_with_the_size_that_would_hold_it(tmp_path, capsys):
    slices = lopsided(tmp_path / "l", 64, "bc", 30)
    with pytest.raises(BadInput, match=r"write size \[64, 96\] into its dataset.json, which holds everything") as caught:
        labels_lost(slices, slices.grid)
    assert "\n" not in str(caught.value) and "subject b (" in str(caught.value)
    code = main(["run", "--data", str(slices.folder), "--profile", "smoke", "--out", str(tmp_path / "r")])
    assert code == 2 and "which holds everything" in capsys.readouterr().err


def test_the_size_in_the_refusal_is_the_smallest_that_holds_everything(tmp_path):
    for column in (70, 75, 80, 88, 94):
        masks = np.zeros((1, 64, 96), np.uint8)
        masks[0, 32, column] = 1
        slices = write(tmp_path / str(column), masks, ["a"], ["train"], name="l", class_names=["c"], size=32)
        with pytest.raises(BadInput, match="holds everything") as caught:
            labels_lost(slices, slices.grid)
        rows, columns = json.loads(re.search(r"write size (\[.*?\])", str(caught.value))[1])
        assert rows == 32 and labels_lost(slices, Grid(rows, columns, 1.0)) is None
        with pytest.raises(BadInput):
            labels_lost(slices, Grid(rows, columns - 16, 1.0))


def test_what_is_cut_is_counted_at_the_grids_spacing(tmp_path):
    """A 48-pixel image of 2 mm becomes 96 of 1 mm, so a grid of 64 cuts where the stored pixels would have fitted."""
    masks = np.zeros((2, 48, 48), np.uint8)
    masks[:, 2:46, 2:46] = 1
    info = {"name": "s", "class_names": ["c"], "size": 64, "spacing_mm": 1.0}
    slices = write(tmp_path / "s", masks, ["a", "b"], ["train"] * 2, pixel_mm=[1.0, 2.0], **info)
    with pytest.raises(BadInput, match=r"subject b \(47 %\); write size 96"):  # 64 of 88 pixels each way are left
        labels_lost(slices, slices.grid)


def test_a_part_without_a_label_is_named(lungs, tmp_path):
    masks = np.asarray(lungs.masks).copy()
    masks[8:12] = 0
    write_slice_set(lungs.folder, lungs.images[:], masks, lungs.table, lungs.info)
    with pytest.raises(BadInput, match="no label on any slice with domain here and split val"):
        load_experiment(str(lungs.folder), tmp_path / "r", SMOKE, progress=False)


# ---- images that are not square


def test_tensors_of_a_pair_of_sizes(brains):
    x, y = brains.tensors((128, 96), 1.0)
    assert x.shape == (18, 1, 128, 96) and y.shape == (18, 128, 96)
    np.testing.assert_array_equal(y, np.asarray(brains.masks))
    cut, padded = brains.tensors((64, 112), 1.0)[1], brains.tensors(128, 1.0, "domain")[1]
    np.testing.assert_array_equal(cut[:, :, 8:104], y[:, 32:96])
    np.testing.assert_array_equal(padded[:, :, 16:112], y)


def test_an_experiment_that_is_not_square(brains, tmp_path):
    made = load_experiment(str(brains.folder), tmp_path / "r", replace(SMOKE, max_size=64), progress=False)
    assert made.size == (64, 48) and made.spacing_mm == 2.0 and not made.reacquired
    assert made.train.images.shape == (8, 1, 64, 48) and set(made.targets) == {"south", "east"}
    # The nearest pixel to the middle of two by two is the last of them.
    np.testing.assert_array_equal(
        made.train.masks, np.asarray(brains.masks)[:8, 1::2, 1::2]
    )  # nothing cut, nothing stretched


# ---- scanners for any image


def test_an_organ_with_scanners_keeps_them_and_no_other_gets_them():
    for organ in ("cardiac", "prostate"):
        own = {"val": scanner_tables.validation_scanners(organ), "test": scanner_tables.target_scanners(organ)}
        assert offered_scanners(organ, 1.0) == own
        assert draw_offered(organ, 1.0, np.random.default_rng(2)) == scanner_tables.draw_scanner(
            organ, np.random.default_rng(2)
        )
    for organ in (None, "brain", "Cardiac"):
        offered = offered_scanners(organ, 1.5)
        assert len(offered["val"]) == 3 and len(offered["test"]) == 6
        assert all(type(scanner) is ImageScanner for each in offered.values() for scanner in each)
        assert type(draw_offered(organ, 1.5, np.random.default_rng(0))) is ImageScanner


def test_scanners_for_any_image_lie_in_the_ranges_differ_and_are_named_for_what_they_do():
    every = [scanner for each in offered_scanners(None, 2.0).values() for scanner in each]
    drawn = [draw_scanner(2.0, np.random.default_rng(seed)) for seed in range(40)]
    for scanner in every + drawn:
        assert scanner.coil in any_image.COILS and not OF_AN_ORGAN.search(scanner.name)
        values = vars(scanner) | {"voxel": scanner.resolution_mm / 2.0}
        assert all(low <= values[key] <= high for key, (low, high) in RANGES.items()), scanner
    assert len({replace(scanner, name="") for scanner in every}) == len({scanner.name for scanner in every}) == 9
    assert len(set(drawn)) == 40 and draw_scanner(2.0, np.random.default_rng(3)) == drawn[3]


def test_a_scanner_for_any_image_does_what_its_name_says():
    rows, columns = np.mgrid[:64, :64] - 31.5
    image = (100.0 * (np.hypot(rows, columns) < 20) + 50.0 * (np.hypot(rows, columns) < 10) + 10).astype(np.float32)
    seen = {s.name: reacquire(image, s, 1.0, np.random.default_rng(0)) for s in any_image.target_scanners(1.0)}
    inner, ring = np.hypot(rows, columns) < 8, (np.hypot(rows, columns) > 12) & (np.hypot(rows, columns) < 18)
    assert seen["noisy"][inner].std() > 3 * seen["flat-contrast"][inner].std() > 0
    edge = {name: np.abs(np.diff(shown[31])).max() for name, shown in seen.items()}
    assert edge["low-resolution"] < 0.7 * min(edge["flat-contrast"], edge["steep-contrast"])
    sides = {name: shown[:16, 24:40].max() / shown[inner].mean() for name, shown in seen.items()}
    assert sides["bright-coil"] > 1.3 * sides["flat-contrast"]
    ratio = {name: (shown[inner].mean() - 10) / (shown[ring].mean() - 10) for name, shown in seen.items()}
    assert ratio["flat-contrast"] < 1.35 < 1.45 < ratio["noisy"] < 1.55 < 1.65 < ratio["steep-contrast"]  # 1.5 to a power
    outside = (np.abs(columns) < 8) & (np.abs(rows) > 26)  # the ghosts lie above and below
    assert seen["ghosting"][outside].mean() > 2 + seen["flat-contrast"][outside].mean() - 10 * 0.9


def test_negative_values_and_millimetres_do_not_matter_to_a_scanner_for_any_image():
    image = np.random.default_rng(1).normal(0, 1, (40, 56)) + 4 * disc((40, 56), 20, 28, 12)
    for scanner in any_image.target_scanners(1.0):
        seen = reacquire(image, scanner, 1.0, np.random.default_rng(0))
        lower = reacquire(image - 1000.0, scanner, 1.0, np.random.default_rng(0))
        np.testing.assert_allclose(lower + 1000.0, seen, atol=1e-3)  # CT numbers, for one
        small = reacquire(image, replace(scanner, resolution_mm=scanner.resolution_mm / 8), 1 / 8, np.random.default_rng(0))
        np.testing.assert_allclose(small, seen, atol=1e-5)


def test_the_oracle_needs_no_organ():
    x = torch.randn(4, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    for organ in (None, "brain"):
        seen = rescanned(x, organ, 1.9, 7)
        assert seen.shape == x.shape and torch.equal(seen, rescanned(x, None, 1.9, 7))
        torch.testing.assert_close(seen.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-4, rtol=0)
        assert (seen - x).flatten(1).norm(dim=1).min() > 1
    assert not torch.equal(seen, rescanned(x, "cardiac", 1.9, 7))


def test_targets_of_a_set_with_one_domain_keep_masks_and_subjects(lungs, tmp_path):
    made = load_experiment(str(lungs.folder), tmp_path / "r", SMOKE, progress=False)
    assert made.reacquired and made.size == 48 and made.spacing_mm == pytest.approx(0.7 * 128 / 48)
    assert set(made.targets) == {scanner.name for scanner in any_image.target_scanners(1.0)} and len(made.validation) == 3
    for part in made.targets.values():
        assert torch.equal(part.masks, made.test.masks) and set(part.table["subject"]) == {"p6", "p7"}
        assert not torch.allclose(part.images, made.test.images, atol=0.05)


def test_a_domain_with_the_name_of_a_scanner_is_refused(lungs, tmp_path):
    table, info = lungs.table.assign(domain="noisy"), {**lungs.info, "source_domain": "noisy"}
    write_slice_set(tmp_path / "noisy", lungs.images[:], lungs.masks[:], table, info)
    with pytest.raises(BadInput, match="one domain, noisy, and so has one of the virtual scanners"):
        load_experiment(str(tmp_path / "noisy"), tmp_path / "r", SMOKE, progress=False)


# ---- what a user meets


def test_sentences_name_no_organ(lungs):
    with pytest.raises(BadInput) as caught:
        check_spec(str(lungs.folder) + "-")
    assert not OF_AN_ORGAN.search(str(caught.value))
    assert not OF_AN_ORGAN.search(" ".join(first_look(str(lungs.folder), PROFILES["quick"])[1]))
    assert not OF_AN_ORGAN.search(json.dumps(SMOKE.as_dict()))


def test_sixteen_classes_look_different_and_all_stand_in_the_legend():
    cues = [class_cue(label) for label in range(1, 17)]
    assert len({(cue.colour, str(cue.line)) for cue in cues}) == 16
    assert [(cue.colour, cue.line) for cue in cues[:4]] == [("#D55E00", "-"), ("#56B4E9", "--"), ("#F0E442", "-."),
                                                          ("#009E73", ":")]  # fmt: skip
    names = [f"region {label}" for label in range(1, 8)]
    mask = np.repeat(np.arange(8), 4)[None, None] * np.ones((1, 16, 1), int)
    figure = samples(np.zeros((1, 16, 32)), mask, ["x"], names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_an_outline_inside_another_is_drawn_on_top():
    mask = np.zeros((1, 24, 24), int)
    mask[0, 4:20, 4:20], mask[0, 8:16, 8:16], mask[0, 10:14, 10:14] = 1, 3, 2
    figure = samples(np.zeros((1, 24, 24)), mask, None, ["outer", "inmost", "middle"])
    drawn = [tuple(lines.get_edgecolor()[0]) for lines in figure.axes[0].collections]
    assert drawn == [to_rgba(class_cue(label).colour) for label in (1, 3, 2)]


def said_by(run):
    """All that a run's files say: tables, settings, and the outputs (not the prose) of its notebooks."""
    texts = [path.read_text() for kind in ("csv", "json") for path in run.rglob(f"*.{kind}")]
    for path in run.rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                texts.append(output.get("text", "") + str(output.get("data", {}).get("text/plain", "")))
    return "\n".join(texts)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["lungs", "brains"])
def test_a_whole_run_names_no_organ_that_is_not_there(which, request, tmp_path, capsys):
    slices = request.getfixturevalue(which)
    run, scores = tmp_path / "run", tmp_path / "scores.csv"
    assert data_main(["verify", str(slices.folder)]) == 0
    methods = ["--methods", "plain", "adversarial", "oracle-augmentation", "agreement-2"]
    assert main(["run", "--data", str(slices.folder), "--profile", "smoke", "--out", str(run), *methods]) == 0
    assert main(["predict", "--run", str(run), "--data", str(slices.folder), "--out", str(scores)]) == 0
    text = "".join(capsys.readouterr())
    assert re.search(r"^grid +48 x 48 pixels of ", text, flags=re.M) and "finished in" in text
    assert not OF_AN_ORGAN.findall(text + said_by(run) + scores.read_text())
    table = pd.read_csv(scores)
    assert len(table) == len(slices) and all(f"predicted_dice_{name}" in table for name in slices.class_names)
    domains = set(pd.read_csv(run / "metrics.csv")["domain"])
    targets = {"south", "east"} if which == "brains" else {scanner.name for scanner in any_image.target_scanners(1.0)}
    assert domains == targets | {slices.source_domain}
    assert read_slice_set(slices.folder).info.get("organ") == {"lungs": None, "brains": "brain"}[which]


@pytest.mark.slow
def test_images_that_are_not_square_go_through_training_and_prediction(brains, tmp_path):
    run = Run(tmp_path / "r", str(brains.folder), replace(SMOKE, max_size=64), "dice", ["adversarial"], progress=False)
    segmenter = run.segmenter()
    assert segmenter.feature_shape(run.experiment.size)[1:] == (16, 12)
    assert np.isfinite(run.predict_heads()["predicted_score"]).all()
    table = predict(run.folder, brains.folder, tmp_path / "scores.csv", progress=False)
    assert len(table) == len(brains) and np.isfinite(table["predicted_dice_stem"]).all()


def test_a_size_that_the_network_does_not_take_is_said_before_anything_is_trained(tmp_path):
    masks = [disc((100, 100), 50, 50, 20)] * 6
    slices = write(tmp_path / "set", masks, list("abcdef"), ["train"] * 3 + ["val", "test", "test"], name="s",
                   class_names=["c"], size=100, spacing_mm=1.0, tolerance_mm=3.0)  # fmt: skip
    run = Run(tmp_path / "run", str(slices.folder), replace(SMOKE, max_size=None), "dice", ["plain"], progress=False)
    with pytest.raises(BadInput) as caught:
        run.segmenter(0)
    text = str(caught.value)
    assert "does not take images of 1 x 100 x 100" in text and "multiples of 8" in text and "\n" not in text
    assert not (run.folder / "history.csv").exists()
