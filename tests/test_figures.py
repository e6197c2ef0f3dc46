"""The course's pictures: each counts what it says, and says it in letters as well as in colours."""

import subprocess
import sys
from itertools import product

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbconvert import HTMLExporter

from advconf_lite.agreement import score_agreement
from advconf_lite.course import pictures
from advconf_lite.evaluation.fan import intervals_by_seeds
from advconf_lite.evaluation.paired import compare
from advconf_lite.experiment.run import Run
from advconf_lite.figures.captions import as_html_alone, bundle, plain_caption
from advconf_lite.figures.controls import OPEN, forest
from advconf_lite.figures.diagram import network_and_head
from advconf_lite.figures.fan import seed_fan
from advconf_lite.figures.fooling import as_it_grows
from advconf_lite.figures.images import Lost, perturbed_slices
from advconf_lite.figures.outlines import (
    Outlined,
    Sampled,
    disagreement,
    disagreement_map,
    one_subject_all_scanners,
    quality_grid,
)
from advconf_lite.figures.overlays import boundaries, empty_class, overlay
from advconf_lite.figures.promises import broken_promises, promises, risk_coverage, risk_curve
from advconf_lite.figures.style import BROKEN, DPI, FONT, METHODS, STYLE, WIDTH, half_cue, method_cue, png
from advconf_lite.methods.registry import find_method, known_names
from advconf_lite.metrics import aurc, eaurc
from advconf_lite.quality import Quality, dice, surface_dice
from advconf_lite.support.errors import BadInput

SIZE = 40


def disk(row, column, radius, size=SIZE):
    y, x = np.mgrid[:size, :size]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def slice_of(seed=0, classes=1):
    """Image, truth and a prediction that is a little off; class k lies inside class k + 1."""
    rng = np.random.default_rng(seed)
    truth, prediction = np.zeros((2, SIZE, SIZE), int)
    for label in range(classes, 0, -1):
        truth[disk(20, 20, 5 + 3 * label)] = label
        prediction[disk(20 + rng.integers(1, 3), 21, 4 + 3 * label)] = label
    return rng.normal(size=(SIZE, SIZE)) + truth, truth, prediction


def table(methods=("plain", "adversarial"), seeds=((0, 0),), subjects=5, ties=False):
    rng = np.random.default_rng(1)
    rows = []
    for domain, subject, number in product(("home", "near", "far"), range(subjects), range(4)):
        true = rng.random()
        for method, (s, h) in product(methods, seeds):
            predicted = np.clip(true + 0.25 * rng.standard_normal() + (domain != "home") * 0.1, -0.1, 1.1)
            predicted = round(predicted, 1) if ties else predicted
            rows.append({
                "dataset": "toy", "domain": domain, "subject": f"{domain}{subject}", "phase": "", "slice": number,
                "quality": "dice", "method": method, "segmenter_seed": s, "head_seed": h,
                "estimates": not method.startswith("agreement"), "true_score": true, "predicted_score": predicted,
            })  # fmt: skip
    return pd.DataFrame(rows)


def outlined(n, **more):
    image, truth, prediction = slice_of()
    return [Outlined(f"scanner {k}", image, np.roll(prediction, k, 0), truth, 0.95 - 0.1 * k, **more) for k in range(n)]


def lost(drop, classes=1):
    image, before, after = slice_of(1, classes)
    return Lost(image, before, after, 0.1, drop)


def growing(*heads):
    rows = [(h, s, 2 * s, s * k, 0.0) for k, h in enumerate(heads) for s in (0.0, 0.05, 0.1)]
    return pd.DataFrame(rows, columns=["head", "size", "believed", "lost", "lost at random"])


def fan(pairs=((0, 0), (0, 1), (1, 0), (1, 1))):
    return intervals_by_seeds(table(seeds=pairs), "adversarial", "plain", "home", resamples=30)


def sampled(shift=0):
    image, truth, prediction = slice_of()
    masks = np.stack([np.roll(prediction, k % 3 + shift, 0) for k in range(5)])
    return Sampled(image, masks, truth, 0.9, 0.8)


def both_organs():
    rows = [compare(table(methods=("adversarial", "plain", other)), "adversarial", ["plain", other], "home", resamples=30)
            for other in ("replay", "agreement-15")]  # fmt: skip
    return pd.concat([rows[0].assign(organ="prostate"), rows[1].assign(organ="heart")])


SCORES = {"Dice": [0.9, 0.8, 0.0], "surface Dice": [0.95, np.nan, 0.0]}
IMAGES = {
    "overlay": lambda: overlay(*slice_of(), ["prostate"], 2.0, 3.0),
    "overlay, third class of three": lambda: overlay(*slice_of(1, 3), ["LV", "MYO", "RV"], 2.0, 3.0, label=3),
    "overlay, nothing drawn": lambda: overlay(*slice_of()[:2], np.zeros((SIZE, SIZE), int), ["prostate"], 1.0, 1.5),
    "overlay, nothing there": lambda: overlay(slice_of()[0], *np.zeros((2, SIZE, SIZE), int), ["prostate"], 1.0, 1.5),
    "overlay, Dice alone": lambda: overlay(*(torch.from_numpy(a)[None] for a in slice_of()), ["prostate"]),
    "empty class": lambda: empty_class(slice_of()[0], slice_of(0, 2)[1], slice_of(0, 3)[2], ["LV", "MYO", "RV"], SCORES),
    "scanners": lambda: one_subject_all_scanners(outlined(7, predicted={"plain": 0.9}), ["prostate"], 2.0),
    "one scanner, three classes": lambda: one_subject_all_scanners(
        [Outlined("source", slice_of(1, 3)[0], slice_of(1, 3)[2])], ["LV", "MYO", "RV"]
    ),
    "twelve": lambda: quality_grid(outlined(12), ["prostate"], 2.0),
    "twelve revealed": lambda: quality_grid(outlined(12), ["prostate"], 2.0, revealed=True, picked=(1, 12)),
    "disagreement": lambda: disagreement_map({"good": sampled(), "bad": sampled(4)._replace(truth=None)}),
    "perturbed slices": lambda: perturbed_slices([lost(0.01 * n) for n in range(8)], ["prostate"], 2.0, marked=3),
    "perturbed slices, three classes": lambda: perturbed_slices([lost(0.2, 3)] * 5, ["LV", "MYO", "RV"]),
    "one perturbed slice": lambda: perturbed_slices([lost(-0.1)], ["prostate"]),
    "diagram": network_and_head,
    "diagram, three classes": lambda: network_and_head(3, (8, 16, 32, 64)),
}
CURVES = {
    "promises": lambda: promises(table(), "dice", None, "home"),
    "promises, four methods": lambda: promises(table(("plain", "adversarial", "replay", "mine"), ((0, 0), (0, 1)))),
    "promises, agreement alone": lambda: promises(table(("agreement-15",)), source_domain="home"),
    "as it grows": lambda: as_it_grows(growing("yours, step 20", "plain", "adversarial")),
    "as it grows, one head": lambda: as_it_grows(growing("replay"), "surface Dice"),
    "risk": lambda: risk_coverage(table(), "far", points={"you": (0.5, 0.2), "a coin": (0.2, 0.5)}),
    "risk, one method, ties": lambda: risk_coverage(table(("agreement-2",), ties=True), "near"),
    "risk, four": lambda: risk_coverage(table(("plain", "adversarial", "agreement-2", "constant")), "near"),
    "fan": lambda: seed_fan(fan()),
    "fan, one pair": lambda: seed_fan(fan(((0, 0),)), metric="mae"),
    "fan, no interval": lambda: seed_fan(fan().assign(low=np.nan, high=np.nan)),
    "forest, both organs": lambda: forest(both_organs()),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [*IMAGES, *CURVES])
def test_each_is_small_and_fits_and_has_large_letters(name):
    fig = (IMAGES | CURVES)[name]()
    content = png(fig)
    assert len(content) < 110_000  # the output holds it twice, in base64
    assert fig.get_size_inches()[0] <= WIDTH and WIDTH * DPI <= 1280 * 0.85
    (width, height), box = fig.get_size_inches(), fig.get_tightbbox()  # nothing is cut off
    assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01, box
    texts = [text for text in fig.findobj(match=lambda a: hasattr(a, "get_fontsize") and a.get_text().strip())]
    scale_bars = {"mm"}
    for text in texts:
        assert text.get_fontsize() >= FONT or text.get_text().split()[-1] in scale_bars, text.get_text()
        assert not any(len(word.split(".")[-1]) > 4 for word in text.get_text().split() if word.replace(".", "").isdigit())
    if name in CURVES:
        assert all(fig.get_supxlabel() or ax.get_xlabel() for ax in fig.axes if ax.axison)
        assert fig.get_supylabel() or fig.axes[0].get_ylabel()


# ---- one colour for one thing


def test_every_method_has_a_colour_of_its_own_wherever_it_stands():
    names = [name for name in known_names() if " " not in name and "," not in name]
    assert {"plain", "adversarial", "replay"} <= set(names) <= set(METHODS)
    for name in (*METHODS, "clean"):
        assert half_cue(name, 0) == half_cue(name, 5)
    assert half_cue("perturbed") == method_cue("adversarial") and half_cue("clean").colour == "0.45"
    assert find_method("plain") and method_cue("plain").colour == "#E69F00" and method_cue("adversarial").colour == "#0072B2"
    assert STYLE["font.size"] == FONT == 11 and DPI == 120


# ---- what is counted


@pytest.mark.parametrize(("seed", "tolerance", "spacing"), [(0, 3.0, 2.0), (1, 1.5, 0.5), (2, 0.0, 1.0), (3, 3.3, 1.1)])
def test_the_overlays_numbers_are_those_of_the_core(seed, tolerance, spacing):
    rng = np.random.default_rng(seed)
    image, truth, prediction = slice_of(seed)
    truth, prediction = truth | (rng.random(truth.shape) > 0.98), prediction | (rng.random(truth.shape) > 0.98)
    found = boundaries(truth == 1, prediction == 1, tolerance, spacing)
    maps = [torch.from_numpy(m.astype(int))[None] for m in (prediction, truth)]
    surface = surface_dice(*maps, 2, tolerance, spacing).item()
    assert found.near / found.all == pytest.approx(surface, abs=1e-6)
    (text,) = overlay(image, truth, prediction, ["x"], spacing, tolerance).axes[5].texts
    ends = [line for line in text.get_text().splitlines() if line.startswith("= ") and "/" not in line]
    assert ends == [f"= {dice(*maps, 2).item():.2f}", f"= {surface:.2f}"]
    hits = int(((truth == 1) & (prediction == 1)).sum())
    assert f"2·{hits}" in text.get_text()


def test_overlay_says_what_two_empty_masks_get_and_refuses_a_label_that_is_not_there():
    (text,) = IMAGES["overlay, nothing there"]().axes[5].texts
    assert text.get_text().count("it counts as 1") == 2
    (text,) = IMAGES["overlay, nothing drawn"]().axes[5].texts
    assert text.get_text().count("= 0.00") == 2
    with pytest.raises(BadInput, match="label is 2"):
        overlay(*slice_of(), ["prostate"], label=2)


def test_an_empty_class_is_named_and_its_scores_stand_out():
    fig = IMAGES["empty class"]()
    assert fig.axes[0].get_title() == "truth: no RV" and fig.axes[1].get_title().startswith("prediction: RV\n(")
    texts = {text.get_text(): text for text in fig.axes[2].texts}
    assert texts["0.00"].get_bbox_patch() is not None and texts["0.90"].get_bbox_patch() is None
    assert "in neither" in texts and "0.57" in texts and "0.65" in texts  # means; NaN counts as 1
    with pytest.raises(BadInput, match="Dice has 1 values"):
        empty_class(*slice_of(), ["a", "b"], {"Dice": [1.0]})


def test_twelve_outlines_hide_the_truth_until_it_is_revealed():
    hidden, shown = IMAGES["twelve"](), IMAGES["twelve revealed"]()
    assert [ax.get_title() for ax in hidden.axes] == [str(n) for n in range(1, 13)]
    assert {ax.get_xlabel() for ax in hidden.axes} == {""} and {len(ax.collections) for ax in hidden.axes} == {1}
    assert {len(ax.collections) for ax in shown.axes} == {2} and shown.axes[0].get_xlabel() == "Dice 0.95"
    failed = [ax.spines["top"].get_visible() for ax in shown.axes]
    assert failed == [False] * 3 + [True] * 9  # below 0.7
    assert [any(text.get_text() == "✗" for text in ax.texts) for ax in shown.axes] == failed
    with pytest.raises(BadInput, match="no outline 13"):
        quality_grid(outlined(12), ["x"], picked=(13,))
    with pytest.raises(BadInput, match="no slice to draw"):
        quality_grid([], ["x"])


def test_disagreement_is_the_share_that_differs_from_the_majority():
    masks = np.array([[[0, 1, 2]], [[0, 1, 1]], [[0, 2, 0]], [[0, 1, 1]]])
    assert disagreement(masks).tolist() == [[0, 0.25, 0.5]]


def test_broken_promises_are_counted_and_listed():
    rows = table()
    fig = promises(rows, "dice", ("plain",), "home")
    plain = rows[rows["method"] == "plain"]
    excess = plain["predicted_score"] - plain["true_score"]
    away = plain["domain"] != "home"
    assert fig.axes[0].get_title() == f"plain\nbroken: {int((excess[away] > 0.2).sum())} of {int(away.sum())}"
    drawn = [len(c.get_offsets()) for c in fig.axes[0].collections[-3:]]
    assert drawn == [int((~away & (excess <= 0.2)).sum()), int((away & (excess <= 0.2)).sum()), int((excess > 0.2).sum())]
    red = fig.axes[0].collections[-1].get_facecolor()[0, :3]
    assert tuple(np.round(red * 255)) == tuple(int(BROKEN.colour[i : i + 2], 16) for i in (1, 3, 5))
    worst = broken_promises(plain)
    assert len(worst) == (excess > 0.2).sum() and worst["excess"].is_monotonic_decreasing
    assert len(promises(table(("plain", "agreement-2"))).axes) == 1  # what only ranks promises nothing
    with pytest.raises(BadInput, match="no predictions of iou"):
        promises(rows, "iou")


@pytest.mark.parametrize("ties", [False, True])
def test_the_shaded_area_is_the_eaurc(ties):
    rows = table(ties=ties)
    fig = risk_coverage(rows, "far")
    for ax, method in zip(fig.axes, ("plain", "adversarial")):
        here = rows[(rows["domain"] == "far") & (rows["method"] == method)]
        predicted, true = (here[c].to_numpy() for c in ("predicted_score", "true_score"))
        assert risk_curve(predicted, true).mean() == pytest.approx(aurc(predicted, true), abs=1e-6)
        x, y = ax.collections[0].get_paths()[0].vertices.T
        area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 100  # the polygon itself; x is in per cent
        assert area == pytest.approx(eaurc(predicted, true), abs=1e-6)
        assert ax.get_title() == f"{method}\neAURC {eaurc(predicted, true):.4f}"


def test_the_fan_ends_where_the_whole_comparison_ends():
    pairs = ((0, 0), (0, 1), (1, 0), (1, 1))
    found = fan(pairs)
    whole = compare(table(seeds=pairs), "adversarial", ["plain"], "home", resamples=30).set_index("metric").loc["pearson"]
    assert found[["difference", "low", "high"]].iloc[-1].tolist() == whole[["difference", "low", "high"]].tolist()
    assert list(zip(found["segmenter_seed"], found["head_seed"])) == [(0, 0), (1, 0), (0, 1), (1, 1)]  # segmenters first
    assert found["alone"].mean() == pytest.approx(found["difference"].iloc[-1])
    ax = seed_fan(found.assign(low=[-1, 0.1, -1, 0.2], high=[1, 0.3, 1, 0.4])).axes[0]
    filled, hollow = ax.lines[1], ax.lines[2]
    assert list(filled.get_xdata()) == [2, 4] and list(hollow.get_xdata()) == [1, 3]
    assert hollow.get_markerfacecolor() == "white" != filled.get_markerfacecolor()
    with pytest.raises(BadInput, match=r"no predictions of dice for the seeds \(5, 5\)"):
        intervals_by_seeds(table(), "adversarial", "plain", pairs=[(5, 5)])
    with pytest.raises(BadInput, match="no predictions of iou for the same seeds"):
        intervals_by_seeds(table(), "adversarial", "plain", quality="iou")
    with pytest.raises(BadInput, match="have no mae in common"):
        intervals_by_seeds(table(("adversarial", "agreement-2")), "adversarial", "agreement-2", metric="mae", resamples=5)


def test_a_forest_of_two_organs_has_a_row_of_panels_for_each():
    fig = CURVES["forest, both organs"]()
    titles = [ax.get_title() for ax in fig.axes]
    assert titles == [f"{organ}\n{metric}" for organ, metric in product(("prostate", "heart"), ("Pearson", "eAURC", "MAE"))]
    hollow = [line for ax in fig.axes for line in ax.lines if line.get_marker() == OPEN.marker]
    assert hollow and all(line.get_markerfacecolor() == "white" for line in hollow)
    assert any("not told apart" in text.get_text() for text in fig.legends[0].get_texts())


# ---- captions


def page(outputs):
    cell = nbformat.v4.new_code_cell("show(figure, 'caption')", outputs=outputs, execution_count=1)
    return HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))[0]


def test_alternative_text_and_caption_survive_the_default_page():
    data, metadata = bundle(png(CURVES["fan"]()), 3, "Dice < 0.7 in `far`.", 'a "fan" of 4', (888, 504))
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    html = page([output])
    assert html.count("<img") == 1 and "No description has been provided" not in html
    assert 'alt="a &quot;fan&quot; of 4"' in html or "alt='a \"fan\" of 4'" in html
    assert "<b>Figure 3.</b> Dice &lt; 0.7 in <code>far</code>." in html and "word-break:normal" in html
    alone = as_html_alone([output, nbformat.v4.new_output("stream", text="kept")])
    assert set(alone[0]["data"]) == {"text/html", "text/plain"} and alone[1]["text"] == "kept"
    nbformat.validate(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[nbformat.from_dict(alone[0])])])
    )


def test_captions_wrap_between_words():
    words = "adversarial minus each other head, 95 % paired intervals: eAURC and MAE, " * 4
    lines = plain_caption(12, words + "risk-coverage-and-a-very-long-word").splitlines()
    assert lines[0].startswith("Figure 12. adversarial") and max(map(len, lines)) <= 100
    assert " ".join(lines) == " ".join(f"Figure 12. {words}risk-coverage-and-a-very-long-word".split())


def test_numbers_start_again_in_each_kernel():
    code = """if True:
        from advconf_lite.figures.style import show
        from advconf_lite.figures.diagram import network_and_head
        for caption in ("One.", "Two."):
            show(network_and_head(), caption)
    """
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "Figure 1. One.\nFigure 2. Two.\n"


# ---- the slices behind the pictures


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("pictures"), "phantom:cardiac", "smoke", "dice", ["plain"], progress=False)
    return run, run.segmenter(0), run.heads(0, 0)


@pytest.mark.slow
def test_one_patient_is_the_same_on_every_scanner(run):
    run, segmenter, heads = run
    cases = pictures.on_all_scanners(run, segmenter, heads)
    assert len(cases) == 7 and cases[0].title.endswith("(source)") and len({case.title for case in cases}) == 7
    assert all((case.truth == cases[0].truth).all() for case in cases)  # the anatomy is the patient's
    images = np.stack([case.image for case in cases])
    assert len(np.unique(images.reshape(7, -1), axis=0)) == 7
    assert np.abs(images.mean((1, 2))).max() < 1e-5 and np.abs(images.std((1, 2)) - 1).max() < 1e-3
    case, g = cases[2], Quality("dice", run.experiment.num_classes)
    maps = (torch.from_numpy(each)[None] for each in (case.prediction, case.truth))
    assert case.true == pytest.approx(g(*maps).mean().item()) and set(case.predicted) == {"plain"}
    kept = list((run.folder / "data").glob("one-cardiac-0.npz"))
    assert len(kept) == 1
    again = pictures.subject_on_all_scanners(run)
    assert list(again) == [case.title.split("\n")[0] for case in cases]
    one_subject_all_scanners(cases, run.experiment.class_names, run.experiment.spacing_mm)


@pytest.mark.slow
def test_slices_come_from_the_domains_that_were_asked_for(run):
    run, segmenter, heads = run
    domains = list(run.experiment.evaluated())[:3]
    cases = pictures.drawn_slices(run, segmenter, heads, 6, domains)
    assert sorted({case.title for case in cases}) == sorted(domains) and len(cases) <= 6
    again = pictures.drawn_slices(run, segmenter, heads, 6, domains)
    assert [case.title for case in cases] == [case.title for case in again]
    with pytest.raises(BadInput, match="no domain elsewhere"):
        pictures.drawn_slices(run, segmenter, domains=["elsewhere"])
    predictions = run.predict_heads(0, 0)
    rows = predictions.sample(3, random_state=0)
    found = pictures.slices_of(run, segmenter, rows, heads)
    assert [case.true for case in found] == pytest.approx(rows["true_score"].tolist(), abs=1e-5)
    assert [case.predicted["plain"] for case in found] == pytest.approx(rows["predicted_score"].tolist(), abs=1e-4)


@pytest.mark.slow
def test_samples_and_an_empty_class_are_scored_by_the_core(run):
    run, segmenter, _ = run
    cases, tied = pictures.sampled_slices(run, segmenter, n=3)
    worst = [len(part) for name, part in run.experiment.evaluated().items()][1:]
    assert tied == sorted(tied) and list(cases.values())[1].agreement in tied and 1 <= len(tied) <= min(24, sum(worst))
    titles = list(cases)
    assert titles[0].startswith("best of the source\n") and titles[1].startswith("worst of the targets\n")
    assert list(cases.values())[0].true >= list(cases.values())[1].true
    for case in cases.values():
        masks = torch.from_numpy(case.masks)[:, None]
        assert case.agreement == pytest.approx(score_agreement(masks, run.quality("dice")).mean().item())
    found = pictures.empty_class_case(run, segmenter, n=3)
    if found is not None:  # the smallest networks may draw nothing where nothing is
        empty = [k for k in range(1, 4) if (found["prediction"] == k).any() and not (found["truth"] == k).any()]
        assert empty and all(found["scores"]["Dice"][k - 1] == 0 for k in empty)
        assert empty_class(**found).axes[0].get_title().startswith("truth: no ")


def test_only_a_phantom_can_be_put_into_another_scanner(slice_set, tmp_path):
    with pytest.raises(BadInput, match="is not a phantom"):
        pictures.subject_on_all_scanners(Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["plain"], progress=False))
