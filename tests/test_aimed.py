"""Methods with another line 21: what they ask for, what they reach, what it costs, and that nothing else differs."""

import json
import math
from dataclasses import replace

import pytest
import torch
from kill_resume import same
from test_methods import new_runs
from test_training import SMOKE, TRAIN, VAL, Killed, new_net
from torch import nn

from advconf_lite.adversarial import Half, segment
from advconf_lite.experiment.heads import own_profile
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.head_training import Turn, new_algorithm, train_heads
from advconf_lite.methods.aimed import Aimed, AimedMethod, Pixels
from advconf_lite.methods.appearance import Appearance
from advconf_lite.methods.augmented import strongly_augmented
from advconf_lite.methods.overconfidence import Overconfident, segment_whole
from advconf_lite.methods.registry import find_method
from advconf_lite.methods.severity import Severe
from advconf_lite.methods.soft_dice import soft_dice
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Settings
from advconf_lite.support.randomness import derived_seed
from advconf_lite.training import load_checkpoint

NEW = ["severity", "overconfidence", "severity-appearance", "overconfidence-appearance"]
NEW += ["random-appearance", "adversarial+strong"]
B, WARM, STEPS = SMOKE.settings.batch_size, SMOKE.settings.warmup_batches, SMOKE.head_steps
SHORT = WARM + round((STEPS - WARM) * 3 / 7)


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(new_net()).freeze()


def train(segmenter, names, path=None, on_step=None, data=(TRAIN, VAL), quality="dice", **changes):
    runs = new_runs(segmenter, names, **changes)
    for name, run in runs.items():
        run.steps, run.g = find_method(name).adjust(SMOKE).head_steps, Quality(quality, 3, tolerance=1.0)
        run.algorithm.g = run.g
    schedule = replace(SMOKE, settings=replace(SMOKE.settings, **changes))
    train_heads(segmenter, list(runs.values()), *data, schedule, 0, path, progress=False, on_step=on_step)
    return runs


@pytest.fixture(scope="module")
def everyone(segmenter, tmp_path_factory):
    """All new methods beside `adversarial` and `strong-augmentation`, and a copy of their checkpoint."""
    path, strengths = tmp_path_factory.mktemp("aimed") / "all.pt", []

    def look(step):
        if WARM <= step < SHORT:
            control, pair = (runs[name].algorithm for name in ("random-appearance", "severity-appearance"))
            strengths.append((pair.p.flatten(1).norm(dim=1), control.delta, pair.delta))

    runs = new_runs(segmenter, ["adversarial", "strong-augmentation", *NEW])
    for name, run in runs.items():
        run.steps = find_method(name).adjust(SMOKE).head_steps
    train_heads(segmenter, list(runs.values()), TRAIN, VAL, SMOKE, 0, path, progress=False, on_step=look)
    return runs, load_checkpoint(path, "cpu")["learners"], strengths


# ---- by hand: z is the image, and the head is linear or nearly so


class Identity(nn.Module):
    """Logits and z are the image."""

    def forward(self, x, whole=False):
        return x, x


class Bent(nn.Module):
    """(B, 2): a linear score that saturates, so that its slope changes on the way; `bend` 0 is linear."""

    def __init__(self, bend, pixels=2 * 8 * 8):
        super().__init__()
        self.bend, self.linear = bend, nn.Linear(pixels, 2, bias=False)
        torch.manual_seed(0)
        nn.init.normal_(self.linear.weight, std=0.02)

    def forward(self, z):
        s = self.linear(z.flatten(1))
        return 0.8 + (torch.tanh(s * self.bend) / self.bend if self.bend else s)


def loop_of(kind, bend=0.0, **changes):
    settings = replace(SMOKE.settings, head_lr=0.0, **changes)
    loop = new_algorithm(Bent(bend), Quality("dice", 2, include_background=True), settings, kind)
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(B, 2, 8, 8, generator=draw), torch.randint(0, 2, (B, 8, 8), generator=draw)
    loop.turn, loop.settings = Turn(Identity(), lambda word: (x, y), 7, 0, True), settings
    return loop, x, y


@pytest.mark.parametrize(("steps", "objective"), [(1, "mean"), (1, "sum"), (3, "mean"), (4, "sum")])
def test_of_a_linear_head_each_image_falls_by_exactly_what_is_asked(steps, objective):
    loop, x, y = loop_of(Severe, severity_steps=steps, objective=objective, alpha=0.2, eps=0.0)
    loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    w = loop.head.linear.weight.sum(0) if objective == "sum" else loop.head.linear.weight.mean(0)
    alpha = 0.2 * loop.asked / loop.settings.delta_s
    assert 0 < loop.asked.min() and loop.asked.max() <= 2 * loop.settings.delta_s and len(set(loop.asked.tolist())) == B
    expected = x.flatten(1) - alpha[:, None] * w / w.square().sum()
    assert torch.allclose(loop.x_adv.flatten(1), expected, atol=1e-5)


def test_with_one_step_and_the_same_drop_for_all_it_is_algorithm_1(segmenter):
    runs = new_runs(segmenter, ["adversarial"])
    runs["aimed"] = new_runs(segmenter, ["adversarial"])["adversarial"]
    runs["aimed"].method = AimedMethod("aimed")
    runs["aimed"].__post_init__()
    assert type(runs["aimed"].algorithm) is Aimed
    train_heads(segmenter, list(runs.values()), TRAIN, VAL, SMOKE, 0, progress=False)
    one, other = (run.head.state_dict() for run in runs.values())
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)
    for a, b in zip(*(run.history for run in runs.values())):
        assert all(b[k] == pytest.approx(v, abs=1e-5, nan_ok=True) for k, v in a.items())


def test_steps_with_new_gradients_reach_what_one_scaled_step_misses():
    def missed(steps):
        loop, x, y = loop_of(Severe, bend=1.5, severity_steps=steps, objective="mean", alpha=0.1)
        loop.drops = lambda s_hat: torch.full((B,), 0.3)
        loop.step(Identity(), segment(Identity(), x, y, gradient=True))
        return ((loop.head(x) - loop.head(loop.x_adv)).mean(1) - 0.3).abs().max().item()

    assert missed(1) > 0.02 and missed(4) < 0.25 * missed(1)


def test_a_gradient_that_vanishes_does_not_send_the_image_to_infinity():
    loop, x, y = loop_of(Severe, eps=1e-30)
    nn.init.normal_(loop.head.linear.weight, std=1e-7)
    loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    assert (loop.delta.flatten(1).norm(dim=1) <= 1.001 * x.flatten(1).norm(dim=1)).all()
    nn.init.zeros_(loop.head.linear.weight)
    loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    assert torch.equal(loop.delta, torch.zeros_like(x))


def test_the_heads_running_statistics_see_no_image_that_is_only_passed_through(segmenter):
    loops = {}
    for name in ("adversarial", "severity"):
        run = new_runs(segmenter, [name], warmup_batches=0, head_lr=0.0)[name]
        loops[name] = run.algorithm
        run.head.train()
        run.method.step(Turn(segmenter, lambda word: (TRAIN[0][:B], TRAIN[1][:B]), 5, 0, True), run)
    one, other = (dict(loop.head.named_buffers()) for loop in loops.values())
    assert len(one) > 3 and same(one, other)


# ---- the range of severity


def test_the_range_grows_as_true_scores_follow_and_shrinks_when_they_do_not():
    loop, x, y = loop_of(Severe, severity_top=0.6, eta=0.1)
    tops = []
    for turn in range(60):
        clean = segment(Identity(), x, y, gradient=True)
        follows = turn < 40
        asked = 0.0 if loop.asked is None or not follows else loop.asked.mean().item()
        scores = iter([torch.full((B, 2), 0.9), torch.full((B, 2), 0.9 - asked)])
        loop.true_scores = lambda half, scores=scores: next(scores)
        loop.s_before = None if loop.s_before is None else torch.full((B, 2), 0.9)
        row = loop.step(Identity(), clean)
        most = loop.drops(torch.full((B, 2), 0.9)) / loop.drops(torch.full((B, 2), 0.05)) * 0.05
        tops.append(most.max().item())
        assert 0 <= row["aligned"] <= 1
    assert tops[0] == pytest.approx(0.2, abs=1e-6) and tops[39] > 0.55 and sorted(tops[:40]) == pytest.approx(tops[:40])
    assert tops[-1] < 0.3
    assert loop.alpha < 10 and row["asked_drop"] == pytest.approx(loop.delta_s)


def test_no_score_is_asked_to_fall_below_0_and_odd_settings_do_no_harm():
    loop, *_ = loop_of(Severe)
    loop.aligned = 1.0
    s_hat = torch.tensor([[0.9, 0.7], [0.2, 0.0], [-0.5, -0.5], [0.3, 0.3]])
    asked = loop.drops(s_hat)
    assert (asked <= s_hat.mean(1).clamp(0, 0.6)).all() and asked[2] == 0
    for changes in ({"delta_s": 0.0}, {"severity_top": 0.0}, {"severity_top": 0.05}):
        loop, x, y = loop_of(Severe, **changes)
        for _ in range(3):
            row = loop.step(Identity(), segment(Identity(), x, y, gradient=True))
        assert loop.x_adv.isfinite().all() and math.isfinite(loop.alpha) and math.isfinite(row["aligned"])


def test_line_20_compares_with_what_was_asked():
    loop, x, y = loop_of(Severe, eta=0.5, alpha=0.2, objective="mean")
    loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    asked, alpha = loop.asked.mean().item(), loop.alpha
    row = loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    assert row["predicted_drop"] == pytest.approx(2 * asked, rel=1e-3)  # alpha is twice delta_s, and the head is linear
    assert row["alpha"] == pytest.approx(alpha - 0.5 * (row["predicted_drop"] - asked), abs=1e-7)


# ---- overconfidence


def test_predicted_minus_soft_true_score_rises_by_alpha_at_first_order():
    loop, x, y = loop_of(Overconfident, alpha=1e-3, objective="mean")
    gap = lambda x: (loop.head(x) - soft_dice(x.softmax(1), y, True)).mean(1)  # noqa: E731
    x = x.double()
    loop.head.double()
    loop.step(Identity(), segment_whole(Identity(), x, y))
    assert torch.allclose(gap(loop.x_adv) - gap(x), torch.full((B,), 1e-3, dtype=x.dtype), rtol=1e-2)
    slope = torch.autograd.grad(gap(leaf := x.clone().requires_grad_()).sum(), leaf)[0]
    assert torch.nn.functional.cosine_similarity(slope.flatten(1), loop.delta.flatten(1)).min() > 0.999


def test_alpha_follows_the_rise_of_predicted_minus_true_and_rests_where_nothing_is_true():
    loop, x, y = loop_of(Overconfident, eta=0.5, alpha=0.1)
    for _ in range(2):
        before = loop.alpha
        row = loop.step(Identity(), segment_whole(Identity(), x, y))
    rise = row["true_drop"] - row["predicted_drop"]
    assert row["alpha"] == pytest.approx(before - 0.5 * (rise - 0.1), abs=1e-7)
    loop.true_scores, before = lambda half: torch.full((B, 2), torch.nan), loop.alpha
    assert loop.step(Identity(), segment_whole(Identity(), x, y))["alpha"] == pytest.approx(before, abs=1e-8)


def test_certain_pixels_and_absent_classes_leave_a_finite_gradient():
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 0] = 200.0  # class 0, certainly
    logits[1, 1, 0, 0] = 400.0
    logits.requires_grad_()
    masks = torch.zeros(2, 4, 4, dtype=torch.long)
    masks[0, 1] = 1
    soft_dice(logits.softmax(1), masks).sum().backward()
    assert logits.grad.isfinite().all()


def test_a_pass_that_is_recorded_to_the_logits_is_the_same_pass(segmenter):
    x, y = VAL
    short, whole = segment(segmenter, x, y, gradient=True), segment_whole(segmenter, x, y)
    assert torch.equal(short.z, whole.z) and torch.equal(short.y_hat, whole.y_hat)
    one, other = (torch.autograd.grad(half.z.square().sum(), half.x, retain_graph=True)[0] for half in (short, whole))
    assert torch.equal(one, other)
    assert torch.autograd.grad(whole.logits.square().sum(), whole.x)[0].abs().sum() > 0
    assert all(weight.grad is None for weight in segmenter.parameters())
    assert isinstance(whole, Half)


# ---- training: lengths, batches, neighbours, resuming


def test_lengths_match_the_passes_of_adversarial(everyone):
    runs, *_ = everyone
    quick = PROFILES["quick"]
    for name, passes, steps in (("severity", 7, 226), ("overconfidence", 3, 500), ("severity-appearance", 7, 226)):
        own = own_profile(name, quick)
        assert find_method(name).passes(own.settings) == passes and own.head_steps == steps
    tuned = replace(quick, method_settings={"severity": {"severity_steps": 1}})
    assert own_profile("severity", tuned).head_steps == 500
    assert own_profile("severity", replace(quick, head_steps=9)).head_steps == 9
    assert own_profile("random-appearance", quick).head_steps == 226
    for name in ("severity", "severity-appearance", "random-appearance"):
        assert len(runs[name].history) == SHORT and runs[name].stopped, name
        assert not math.isnan(runs[name].history[-1]["val_loss"])
    total = {name: sum(row["passes"] for row in run.history) for name, run in runs.items()}
    assert total["adversarial"] == WARM + 3 * (STEPS - WARM) == total["overconfidence"] == total["adversarial+strong"]
    assert abs(total["severity"] - total["adversarial"]) <= 4 and runs["strong-augmentation"].history[-1]["passes"] == 2


def test_they_see_the_batches_of_adversarial(everyone):
    runs, *_ = everyone
    expected = runs["adversarial"].seen["clean"]
    for name in NEW[:5]:
        length = len(runs[name].history)
        assert runs[name].seen["clean"] == expected[: length * B], name
        assert len(runs[name].seen["perturbed"]) == (length - WARM) * B
        first = runs[name].history[: WARM + 1]  # up to the first perturbation nothing differs
        assert [row["loss"] for row in first[:WARM]] == [row["loss"] for row in runs["adversarial"].history[:WARM]]


def test_adversarial_strong_sees_the_images_of_strong_augmentation(everyone, segmenter):
    runs, *_ = everyone
    seen, control = runs["adversarial+strong"].seen, runs["strong-augmentation"].seen
    assert seen["clean"] != runs["adversarial"].seen["clean"]
    # what the control has in its second half, a turn later, is the clean half here
    assert seen["clean"][WARM * B : -B] == control["perturbed"][B:]
    run = new_runs(segmenter, ["adversarial+strong"])["adversarial+strong"]
    turn = Turn(segmenter, lambda word: (TRAIN[0][:B], TRAIN[1][:B]), WARM, 3, False)
    run.method.step(turn, run)
    strong = strongly_augmented(turn.x, derived_seed("strong augmentation", 3, WARM), run.settings.strong_probability)
    assert torch.allclose(run.algorithm.x_adv - run.algorithm.delta, strong, atol=1e-6)


def test_random_appearance_has_the_strengths_of_severity_appearance_in_other_directions(everyone):
    runs, _, strengths = everyone
    assert runs["random-appearance"].pair is runs["severity-appearance"] and len(strengths) == SHORT - WARM
    for p, random, aimed in strengths:
        assert (p > 0).all() and random.abs().amax((1, 2, 3)).min() > 0
        assert not torch.allclose(random, aimed, atol=1e-2)


@pytest.mark.parametrize("name", ["severity", "overconfidence-appearance", "random-appearance", "adversarial+strong"])
def test_a_method_does_not_depend_on_its_neighbours(everyone, segmenter, name):
    runs, *_ = everyone
    few = train(segmenter, [name, *([find_method(name).pair] if find_method(name).pair else [])])
    assert same(few[name].head.state_dict(), runs[name].head.state_dict()) and same(few[name].history, runs[name].history)


def test_every_one_resumes_to_the_same_bits(everyone, segmenter, tmp_path):
    """From the checkpoint behind the first perturbations, before the shorter ones end."""
    _, whole, _ = everyone

    def stop(step):
        if step == WARM + 2:
            raise Killed

    names = ["adversarial", "strong-augmentation", *NEW]
    with pytest.raises(Killed):
        train(segmenter, names, tmp_path / "parts.pt", stop)
    train(segmenter, names, tmp_path / "parts.pt")
    parts = load_checkpoint(tmp_path / "parts.pt", "cpu")["learners"]
    assert parts.keys() == whole.keys() and "aligned" in parts["severity/dice"]["loop"]
    for key in parts:
        assert same(parts[key], whole[key]), key


def test_absent_classes_surface_dice_and_mixed_precision(segmenter):
    lacking = TRAIN[0], TRAIN[1].clamp(max=1)  # class 2 is nowhere
    changes = {"absent_surface": "masked", "mixed_precision": True}
    runs = train(segmenter, NEW, data=(lacking, VAL), quality="surface_dice", **changes)
    for name, run in runs.items():
        assert all(math.isfinite(row["loss"]) and math.isfinite(row.get("alpha", 0)) for row in run.history), name
        assert run.algorithm.x_adv.dtype == torch.float32 and run.algorithm.x_adv.isfinite().all()


def test_a_folder_from_before_there_were_such_settings_goes_on(slice_set, tmp_path):
    Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    path = tmp_path / "r" / "config.json"
    config = json.loads(path.read_text())
    del config["profile"]["settings"]["severity_steps"], config["profile"]["settings"]["severity_top"]
    path.write_text(json.dumps(config))
    assert Run(tmp_path / "r", str(slice_set), "smoke", ("dice",), ("severity",), progress=False).settings == SMOKE.settings
    assert json.loads(path.read_text())["profile"]["settings"]["severity_steps"] == Settings().severity_steps


def test_spaces_and_aims_are_two_choices():
    kinds = {name: find_method(name).algorithm for name in NEW[:4]}
    assert all(issubclass(kind, Aimed) for kind in kinds.values())
    assert [kinds[name].space for name in NEW[:4]] == [Pixels, Pixels, Appearance, Appearance]
    assert issubclass(kinds["severity-appearance"], Severe) and issubclass(kinds["overconfidence-appearance"], Overconfident)
