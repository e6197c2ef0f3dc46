"""The widgets: their numbers, a picture that follows every control to its ends, and how long that takes."""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from teaching import predictions
from torch import nn

from advconf_lite.course import explore as exploring
from advconf_lite.course.answers import outcome_of
from advconf_lite.course.explore import Slider
from advconf_lite.course.pictures import judged
from advconf_lite.course.widgets.console import COILS, rescanned, scan, scanner_console
from advconf_lite.course.widgets.desk import MINE, own_order, triage, triage_desk
from advconf_lite.course.widgets.fooling import (
    DIRECTIONS,
    LOSS,
    OWN,
    RANDOM,
    direction_of,
    fool_the_segmenter,
    fooled,
    heads_to_fool,
)
from advconf_lite.course.widgets.seeds import seed_fan
from advconf_lite.course.widgets.widget import Case, good_cases
from advconf_lite.data.slices import write_slice_set
from advconf_lite.evaluation.fan import Fan
from advconf_lite.evaluation.paired import compare
from advconf_lite.experiment.run import Run
from advconf_lite.figures.kept import KeptFigure
from advconf_lite.figures.promises import risk_curve
from advconf_lite.quality import Quality
from advconf_lite.settings import Settings
from advconf_lite.support.errors import BadInput

SECONDS = 2.0  # of a change, processor time; what is promised on an idle core is in benchmarks/bench_widgets.py


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A disc in a ring on an image that is no square, eight subjects; heads and samples of a few steps."""
    folder, rng = tmp_path_factory.mktemp("widgets"), np.random.default_rng(0)
    yy, xx = np.mgrid[:48, :40]
    masks = np.stack([_disc(yy, xx, i) for i in range(16)])
    images = (np.array([0.0, 3.0, 1.5])[masks] + 5 + 0.3 * rng.normal(size=masks.shape)).astype(np.float32)
    splits = ["train"] * 8 + ["val"] * 4 + ["test"] * 4
    table = pd.DataFrame({"dataset": "mine", "domain": "here", "subject": [f"p{i // 2}" for i in range(16)], "phase": "",
                          "slice": [i % 2 for i in range(16)], "spacing_mm": 3.0, "split": splits})  # fmt: skip
    info = {"name": "mine", "class_names": ["core", "ring"], "source_domain": "here", "tolerance_mm": 3.0}
    write_slice_set(folder / "mine", images, masks, table, info)
    made = Run(folder / "run", str(folder / "mine"), "smoke", ["dice"], progress=False)
    made.predict_heads()
    made.predict_agreement()
    return made


def _disc(yy, xx, number):
    distance = (yy - 24) ** 2 + (xx - 20 - number % 3) ** 2
    return np.where(distance < 60 + 2 * number, 1, np.where(distance < 160, 2, 0)).astype(np.uint8)


@pytest.fixture
def nine():
    """Predictions of nine pairs of seeds, and of a method that only ranks."""
    table = predictions(noise=0.1, seeds=[(s, h) for s in range(3) for h in range(3)])
    ranks = table[table["method"] == "plain"].assign(method="agreement-15", estimates=False)
    return pd.concat([table, ranks], ignore_index=True)


WIDGETS = {
    "console": lambda run, table: scanner_console(run, run.segmenter()),
    "fooling": lambda run, table: fool_the_segmenter(run, run.segmenter()),
    "desk": lambda run, table: triage_desk(run, run.segmenter(), mine=[2, 1]),
    "seeds": lambda run, table: seed_fan(table, resamples=50),
}


class Linear(nn.Module):
    """A network whose features are the image itself, and whose masks are its bright pixels."""

    def forward(self, x):
        return torch.cat([0.5 - x, x - 0.5], 1), x

    def logits(self, x):
        return self(x)[0]

    def masks(self, x):
        return self(x)[0].argmax(1)


@pytest.fixture
def bench():
    x = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = nn.Sequential(nn.Flatten(), nn.Linear(144, 1))
    return Linear(), head, x, y, Quality("dice", 2)


# ---- numbers -------------------------------------------------------------------------------------------------------


def test_a_scanner_that_does_nothing_changes_nothing_and_each_knob_something(bench):
    segmenter, _, x, y, g = bench
    x = (x - x.mean()) / x.std(correction=0)
    assert torch.allclose(rescanned(x, 2.0), x, atol=1e-4)
    home = scan(segmenter, x, (x[:, 0] > 0.5).long(), g, 2.0)
    assert home.quality == 1.0 and home.change < 1e-4
    for knob in ({"noise": 0.5}, {"ghost": 0.3}, {"resolution": 3.0}, {"contrast": 2.0}, {"coil": "surface array"}):
        there = rescanned(x, 2.0, **knob)
        assert torch.isfinite(there).all() and abs(there.mean()) < 1e-4 and abs(there.std(correction=0) - 1) < 1e-4
        assert torch.equal(there, rescanned(x, 2.0, **knob))  # the same draw of the noise
        assert scan(segmenter, x, y, g, 2.0, **knob).change > 0.05, knob
    changes = [scan(segmenter, x, y, g, 2.0, noise=noise).change for noise in (0.0, 0.1, 0.3, 0.6)]
    assert changes == sorted(changes)


@pytest.mark.parametrize("kind", DIRECTIONS)
def test_a_perturbation_has_the_size_that_was_asked_for(kind, bench):
    segmenter, head, x, y, g = bench
    effect = fooled(segmenter, head, x, y, direction_of(kind, segmenter, head, x, y, Settings()), 0.1, g)
    delta = effect.x[1] - effect.x[0]
    assert float(delta.norm() / x.norm()) == pytest.approx(0.1, rel=1e-4)
    weight = head[1].weight.detach().view_as(x)
    if kind == OWN:  # a linear head believes to lose exactly what the step and its slope say
        assert effect.predicted_drop.item() == pytest.approx(float(0.1 * x.norm() * weight.norm()), rel=1e-4)
    else:
        assert abs(effect.predicted_drop.item()) < 0.9 * float(0.1 * x.norm() * weight.norm())
    if kind == LOSS:
        assert effect.true_drop.item() > 0


def test_no_size_is_no_perturbation_and_other_names_are_refused(bench):
    segmenter, head, x, y, g = bench
    effect = fooled(segmenter, head, x, y, torch.ones_like(x), 0.0, g)
    assert torch.equal(*effect.x) and effect.predicted_drop.item() == effect.true_drop.item() == 0
    with pytest.raises(BadInput, match="sideways.*choose from head's gradient"):
        direction_of("sideways", segmenter, head, x, y, Settings())


def test_a_class_that_nobody_has_is_right(run, bench):
    nothing, quality = torch.zeros(1, 1, 12, 12), Quality("surface_dice", 2, 3.0)
    (case,) = judged(run, bench[0], nothing, nothing[:, 0].long(), ["nothing"], quality="surface_dice")
    assert case.true == 1 and scan(bench[0], nothing, nothing[:, 0].long(), quality, 3.0).quality == 1


def test_triage_by_hand():
    true, confidence = np.array([0.9, 0.3, 0.8, 0.5]), np.array([0.9, 0.2, 0.4, 0.6])
    one = triage(confidence, true, 1)
    assert one.sent_back.tolist() == [0, 1, 0, 0] and (one.caught, one.failures) == (1, 2)
    assert one.released == pytest.approx((0.9 + 0.8 + 0.5) / 3) and one.coverage == 0.75
    assert triage(confidence, true, 0).released == pytest.approx(true.mean())
    assert triage(np.array([np.nan, 0.2, np.inf, 0.3]), true, 2).sent_back.tolist() == [1, 0, 1, 0]  # no answer goes first
    everything = triage(confidence, true, 4)
    assert everything.caught == 2 and np.isnan(everything.released) and everything.coverage == 0
    tied = triage(np.zeros(4), true, 2)  # any two of the four
    assert tied.caught == 1 and tied.released == pytest.approx(true.mean())
    for budget in (-1, 5):
        with pytest.raises(BadInput, match="give 0 to 4"):
            triage(confidence, true, budget)


def test_triage_lies_on_the_risk_coverage_curve():
    rng = np.random.default_rng(0)
    true, confidence = rng.uniform(size=30), rng.integers(0, 8, 30) / 8
    curve = risk_curve(confidence, true)
    for budget in range(30):
        assert triage(confidence, true, budget).risk == pytest.approx(curve[29 - budget])


def test_ones_own_order_goes_first():
    assert own_order([3, 1, 3], 4).tolist() == [1, 4, 0, 4]
    assert np.ptp(own_order([], 4)) == 0
    with pytest.raises(BadInput, match="no slice 5; give numbers from 1 to 4"):
        own_order([1, 5], 4)


def test_the_fan_is_compare_of_the_pairs_so_far(nine):
    nine.loc[(nine["segmenter_seed"] == 2) & (nine["method"] == "plain") & (nine["slice"] == 0), "predicted_score"] = np.nan
    fan = Fan(nine, "adversarial", "plain", "t0", resamples=40)
    table = fan.opened("mae", [(0, 1), (1, 0), (2, 2)])
    for number, pairs in enumerate([[(0, 1)], [(0, 1), (1, 0)], [(0, 1), (1, 0), (2, 2)]]):
        some = nine[nine[["segmenter_seed", "head_seed"]].apply(tuple, axis=1).isin(pairs)]
        row = compare(some, "adversarial", ["plain"], "t0", resamples=40).set_index("metric").loc["mae"]
        expected = row[["difference", "low", "high"]].to_numpy(float)
        assert np.allclose(table.loc[number, ["difference", "low", "high"]].to_numpy(float), expected, equal_nan=True)
    assert table["alone"].notna().tolist() == [True, True, False]
    assert fan.metrics == ["pearson", "eaurc", "mae"] and Fan(nine, "adversarial", "agreement-15").metrics == fan.metrics[:2]


# ---- pictures and controls ------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(monkeypatch):
    """What a notebook would be shown."""
    shown = []
    monkeypatch.setattr(exploring, "_in_notebook", lambda: True)
    monkeypatch.setattr(exploring, "show", lambda fig, caption, alt, dpi, display_id: shown.append((display_id, caption)))
    for name in ("_display", "_update"):
        monkeypatch.setattr(exploring, name, lambda bundle, place, alt=None: shown.append((place, bundle)))
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append(("box", a)))
    monkeypatch.delenv(exploring.VARIABLE, raising=False)
    return shown


def ends_of(control):
    if isinstance(control, Slider):
        return [control.low, control.high]
    return control if isinstance(control, list) else [not control, control]


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_to_its_ends(name, run, nine, kernel):
    pytest.importorskip("ipywidgets")
    widget = WIDGETS[name](run, nine)
    explorer = widget.explorer
    turned = {name: c for name, c in explorer.controls.items() if not isinstance(c, Slider) or c.low < c.high}
    assert explorer.error is None and set(explorer.widgets) == set(turned) and explorer.text
    hand = {"fooling": {"size": 0.1}, "desk": {"budget": 2}, "seeds": {"pairs": 3, "against": "plain"}}.get(name, {})
    for control, given in turned.items():
        explorer.move(**hand)
        pictures, taken = set(), []
        for value in ends_of(given):
            began = time.process_time()
            explorer.widgets[control].value = value
            taken.append(time.process_time() - began)
            assert explorer.error is None, (control, value, explorer.error)
            assert explorer.values[control] == value
            pictures.add(explorer.picture)
        assert len(pictures) > 1, control
        assert np.median(taken) < SECONDS
    for control, given in turned.items():  # all at their last ends together
        explorer.move(**{control: ends_of(given)[-1]})
        assert explorer.error is None


@pytest.mark.parametrize("name", WIDGETS)
@pytest.mark.parametrize("missing", ["front end", "ipywidgets"])
def test_a_picture_without_a_front_end(name, missing, run, nine, capsys, monkeypatch):
    if missing == "ipywidgets":
        monkeypatch.setattr(exploring, "_in_notebook", lambda: True)
        for shown in ("_display", "_update"):
            monkeypatch.setattr(exploring, shown, lambda bundle, place, alt=None: None)
        monkeypatch.setattr(exploring, "show", lambda fig, caption, alt, dpi, display_id: print(caption))
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
    widget = WIDGETS[name](run, nine)
    assert widget.explorer.error is None and not widget.explorer.widgets
    caption = capsys.readouterr().out
    assert len(caption.split()) > 15
    first = widget.explorer.text
    control, given = [(c, g) for c, g in widget.explorer.controls.items() if isinstance(g, Slider) and g.low < g.high][-1]
    widget.move(**{control: given.high})
    assert widget.explorer.values[control] == given.high and widget.explorer.picture[:4] == b"\x89PNG" and first


@pytest.mark.parametrize("name", WIDGETS)
def test_what_is_kept_is_what_would_be_drawn_anew(name, run, nine):
    kept, anew = (WIDGETS[name](run, nine) for _ in range(2))
    control, given = [(c, g) for c, g in kept.explorer.controls.items() if isinstance(g, Slider) and g.low < g.high][-1]
    for value in (given.high, given.low, given.high):
        kept.draw(**{**kept.explorer.values, control: value})
    pixels = kept.figure.kept.picture()
    if name == "console":  # which also shows what was tried before
        return
    anew.figure.kept = None
    fresh = anew.draw(**{**kept.explorer.values, control: value})[0]
    drawn = exploring._png(fresh)
    assert np.abs(_read(drawn).astype(int) - pixels).mean() < 1.0


def _read(png):
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_kept_figure_finds_its_layout_once(run):
    figure = scanner_console(run, run.segmenter()).figure.kept
    assert isinstance(figure, KeptFigure)
    where = [ax.get_position().bounds for ax in figure.fig.axes]
    pixels = figure.picture()
    assert pixels.dtype == np.uint8 and where == [ax.get_position().bounds for ax in figure.fig.axes]
    assert pixels.shape == (round(figure.fig.get_figheight() * 120), round(figure.fig.get_figwidth() * 120), 3)


# ---- what lessons read ----------------------------------------------------------------------------------------------


def test_console_challenge(run):
    console = scanner_console(run, run.segmenter())
    assert console.answer is None and console.mildest is None
    assert outcome_of("halve_the_dice", console.answer, before=console.before).status == "not yet"
    console.move(noise=0.02)
    assert outcome_of("halve_the_dice", console.answer, before=console.before).status == "hint"
    strong = {"coil": "surface array", "noise": 0.6, "resolution": 4.0, "contrast": 0.4, "ghost": 0.5}
    console.move(**strong)
    if console.now.quality <= console.before / 2:  # of a network of 30 steps nobody knows
        assert outcome_of("halve_the_dice", console.answer, before=console.before).status == "right"
        assert console.mildest == console.now.change and "mildest change" in console.explorer.text
    assert len(console.tries) == 3


def test_fooling_challenges_ask_about_what_is_shown(run):
    fooling = fool_the_segmenter(run, run.segmenter())
    assert fooling.answer is None and outcome_of("fool_the_head", fooling.answer).status == "not yet"
    fooling.move(head="untrained", size=0.15)
    assert fooling.answer == {"grade": fooling.grade_lost, "dice": fooling.quality_lost}
    assert fooling.grade_lost > 0.1  # nothing has taught that head what harms
    fooling.move(direction=LOSS)
    assert fooling.quality_lost > 0 and outcome_of("fool_the_segmenter", fooling.answer).status in ("right", "hint")
    before = fooling.now.x[1]
    fooling.move(head="plain")
    assert torch.equal(before, fooling.now.x[1])  # which head is asked does not change this direction


def test_other_heads_and_slices_can_be_given(run):
    segmenter, part = run.segmenter(), run.experiment.targets["noisy"]
    heads = {f"adversarial, step {n}": run.heads()["adversarial", "dice"] for n in (20, 60)}
    cases = [Case("mine", part.images[:1], part.masks[:1])]
    fooling = fool_the_segmenter(run, segmenter, heads, cases)
    assert fooling.explorer.controls["head"] == list(heads) and fooling.explorer.controls["slice"].high == 1
    assert scanner_console(run, segmenter, cases).explorer.error is None
    with pytest.raises(BadInput, match="at least one"):
        fool_the_segmenter(run, segmenter, {}, cases)


def test_a_slice_that_has_been_segmented_is_not_segmented_again(run):
    segmenter, passes = run.segmenter(), []
    fooling = fool_the_segmenter(run, segmenter)
    hook = segmenter.net.register_forward_pre_hook(lambda *_: passes.append(1))
    counts = []
    for move in ({"size": 0.05}, {"head": "adversarial"}, {"direction": RANDOM}, {"head": "plain"}):
        passes.clear()
        fooling.move(**move)
        counts.append(len(passes))
    hook.remove()
    assert counts == [1, 2, 1, 1]  # what is perturbed; another head's gradient takes a pass of its own


def test_stages_of_training_can_be_fooled_where_a_run_has_kept_them(run, monkeypatch):
    names = [("plain", "early", 5), ("adversarial", "early", 5), ("plain", "middle", 9), ("adversarial", "end", 20)]
    stages = [SimpleNamespace(method=m, quality="dice", name=name, step=step) for m, name, step in names]
    monkeypatch.setattr(run, "stages_of_heads", stages, raising=False)
    monkeypatch.setattr(run, "stage_head", lambda stage: run.heads()[stage.method, "dice"], raising=False)
    found = list(heads_to_fool(run, run.segmenter()))
    assert found == ["untrained", "plain, step 5", "plain, step 9", "plain", "adversarial"]


def test_good_cases_are_different_slices_with_every_class(run):
    for n in (1, 3, 50):
        cases = good_cases(run, run.segmenter(), n, at_least=0.0)
        assert len({case.title for case in cases}) == len(cases) <= n
        assert all(set(case.y.unique().tolist()) == {0, 1, 2} for case in cases)
    assert len(good_cases(run, run.segmenter(), at_least=1.1)) == 1  # nothing is so good: the best


def test_the_desk_shows_the_slices_of_its_predictions(run):
    desk = triage_desk(run, run.segmenter(), "noisy", n=3)
    assert len(desk.cases) == 3 and list(desk.scores) == ["plain", "adversarial", "agreement-15", "constant", MINE]
    assert np.allclose([case.true for case in desk.cases], desk.true, atol=1e-5)
    desk.move(budget=3)
    assert "nothing is released" in desk.explorer.text and desk.now.caught == desk.now.failures
    table = run.predictions()
    assert list(triage_desk(run, run.segmenter(), predictions=table[table["method"] == "plain"]).scores) == [
        "plain", "constant", MINE
    ]  # fmt: skip
    more = pd.concat([table, table.assign(subject=table["subject"] + " of more")])  # predictions without their images
    assert len(triage_desk(run, run.segmenter(), "noisy", predictions=more).cases) == 4
    for wrong in ({"domain": "elsewhere"}, {"mine": [99]}, {"predictions": table[:0]}):
        with pytest.raises(BadInput):
            triage_desk(run, run.segmenter(), **wrong)


def test_seed_fan_says_what_the_interval_says(nine):
    fan = seed_fan(nine, resamples=60)
    fan.move(pairs=9, metric="mae")
    assert "adversarial is better" in fan.explorer.text and len(fan.now) == 9
    opened = fan.now
    fan.move(order=5)
    assert fan.now["alone"].tolist() != opened["alone"].tolist()
    assert np.allclose(fan.now.iloc[-1][["difference", "low", "high"]].astype(float),
                       opened.iloc[-1][["difference", "low", "high"]].astype(float))  # fmt: skip
    fan.move(against="agreement-15")
    assert fan.explorer.error is None and "only ranks" in fan.explorer.text
    with pytest.raises(BadInput, match="none of replay"):
        seed_fan(nine, against=["replay"])


def test_coils_are_those_of_the_scanners():
    assert set(COILS[1:]) == {"body array", "surface array", "endorectal"}
