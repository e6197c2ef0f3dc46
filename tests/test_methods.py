"""Each method is what its name says: same batches, equal norms, nothing replayed that should not be."""

import ast
import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kill_resume import same
from test_training import SMOKE, TRAIN, VAL, Killed, discs, new_net

import advconf_lite
from advconf_lite.adversarial import segment
from advconf_lite.experiment.predict import predict
from advconf_lite.experiment.run import Run
from advconf_lite.head import ConfidenceHead, predict_scores
from advconf_lite.head_training import Learner, Turn, train_head, train_heads, with_pairs
from advconf_lite.methods.augmented import strongly_augmented
from advconf_lite.methods.controls import random_delta, random_phase_delta, segmenter_direction, with_norms
from advconf_lite.methods.finetuned import Twin, read_by
from advconf_lite.methods.oracle import rescanned
from advconf_lite.methods.registry import find_method, head_methods, known_names, parse_methods
from advconf_lite.phantom.scanner_tables import target_scanners
from advconf_lite.quality import Quality, dice
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.errors import BadInput
from advconf_lite.training import load_checkpoint, train_segmenter

PAIRED = ["random-direction", "random-phase", "segmenter-attack"]
AUGMENTED = ["strong-augmentation", "oracle-augmentation"]
CLEAN = ["plain", "plain-2b", "quality-regression"]
ALL = [*CLEAN, "replay", "adversarial", "adversarial-0.05", "finetuned", *PAIRED, *AUGMENTED]
FORKS = ["adversarial-after-update"]
B, WARM, STEPS = SMOKE.settings.batch_size, SMOKE.settings.warmup_batches, SMOKE.head_steps


def new_runs(segmenter, names, **changes):
    """Heads with the same first weights, linked to their pairs."""
    runs = {}
    for name in names:
        torch.manual_seed(1)
        head = find_method(name).build(ConfidenceHead(segmenter.feature_shape(32), 2), segmenter, Quality("dice", 3))
        settings = replace(find_method(name).adjust(SMOKE).settings, **changes)
        runs[name] = Learner(find_method(name), head, Quality("dice", 3), settings, "cardiac", spacing_mm=4.0)
    for run in runs.values():
        run.pair = runs.get(run.method.pair)
    return runs


def train(segmenter, runs, path, **options):
    train_heads(segmenter, list(runs.values()), TRAIN, VAL, SMOKE, 0, path, progress=False, **options)
    return runs


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(new_net()).freeze()


@pytest.fixture(scope="module")
def everyone(segmenter, tmp_path_factory):
    """All methods in lockstep: finished runs, perturbations per step, checkpoint, the segmenter's weights before."""
    before = {name: weight.clone() for name, weight in segmenter.state_dict().items()}
    runs, deltas = new_runs(segmenter, ALL), []
    path = tmp_path_factory.mktemp("all") / "all.pt"
    train(segmenter, runs, path, on_step=lambda step: deltas.append({n: r.algorithm.delta for n, r in runs.items()}))
    return runs, deltas, path, before


# ---- names


def test_an_unknown_name_is_answered_with_all_that_exist():
    with pytest.raises(BadInput) as error:
        parse_methods(["plain", "advresarial"])
    text = str(error.value)
    assert text.startswith("method 'advresarial' is unknown; choose from plain, plain-2b, adversarial") and "\n" not in text
    assert all(name in text for name in known_names())
    assert {name for name in ALL if name != "adversarial-0.05"} < set(known_names())


def test_names_hold_numbers_and_nonsense_is_refused():
    assert find_method("adversarial-0.05").delta_s == 0.05 and find_method("adversarial-.2").delta_s == 0.2
    assert head_methods(["plain", "agreement-2", "replay"]) == ["plain", "replay"]
    for bad in ("adversarial-0", "adversarial-2", "adversarial-", "Replay", "plain-3b"):
        with pytest.raises(BadInput):
            find_method(bad)


def test_adversarial_x_changes_delta_s_and_where_alpha_begins_at_it_alpha():
    quick = find_method("adversarial-0.2").adjust(SMOKE).settings
    assert quick == replace(SMOKE.settings, delta_s=0.2, alpha=0.2)
    paper = replace(SMOKE, settings=replace(SMOKE.settings, alpha=0.8))
    assert find_method("adversarial-0.2").adjust(paper).settings == replace(paper.settings, delta_s=0.2)


# ---- batches and norms


def test_paired_runs_see_the_same_clean_batches(everyone):
    runs, *_ = everyone
    expected = runs["adversarial"].seen["clean"]
    assert len(expected) == STEPS * B
    for name in ("plain", "replay", *PAIRED, *AUGMENTED, "adversarial-0.05"):
        assert runs[name].seen["clean"] == expected, name
        if name != "plain":
            assert torch.equal(runs[name].algorithm.y_adv, runs["adversarial"].algorithm.y_adv), name


def test_batches_are_the_same_tensors_whoever_is_trained(segmenter, tmp_path, monkeypatch):
    import advconf_lite.head_training as module

    drawn, real = {}, module.draw_batch

    def spy(data, size, augment, *key):
        drawn.setdefault(current, {})[key] = batch = real(data, size, augment, *key)
        return batch

    monkeypatch.setattr(module, "draw_batch", spy)
    for current in ("adversarial", "replay", "plain-2b"):
        train(segmenter, new_runs(segmenter, [current]), tmp_path / f"{current}.pt")
    assert len(drawn["adversarial"]) == STEPS and same(drawn["adversarial"], drawn["replay"])
    assert len(drawn["plain-2b"]) == 2 * STEPS
    assert all(same(drawn["plain-2b"][key], batch) for key, batch in drawn["adversarial"].items())


def test_plain_2b_sees_the_shared_batch_and_as_many_fresh_images(everyone):
    runs, *_ = everyone
    seen = np.reshape(runs["plain-2b"].seen["clean"], (STEPS, 2 * B))
    assert np.array_equal(seen[:, :B].ravel(), runs["plain"].seen["clean"])
    assert not np.array_equal(seen[:, :B], seen[:, B:]) and runs["plain-2b"].seen["perturbed"] == []


def test_norms_are_those_of_the_adversarial_run_image_by_image(everyone):
    runs, deltas, *_ = everyone
    assert all(delta is None for name, delta in deltas[WARM - 1].items() if name != "finetuned")  # the warm-up is plain
    for step in deltas[WARM:]:
        norm = step["adversarial"].flatten(1).norm(dim=1)
        for name in PAIRED:
            assert torch.allclose(step[name].flatten(1).norm(dim=1), norm, rtol=1e-5, atol=0)
            assert not torch.allclose(step[name], step["adversarial"], rtol=0.5)
    for name in PAIRED:
        for mine, adversarial in zip(runs[name].history[WARM + 1 :], runs["adversarial"].history[WARM + 1 :]):
            assert mine["delta_norm"] == pytest.approx(adversarial["delta_norm"], rel=1e-5)


def test_directions_differ_from_step_to_step(everyone):
    _, deltas, *_ = everyone
    one, two = (step["random-direction"].flatten() for step in deltas[-2:])
    assert abs(torch.nn.functional.cosine_similarity(one, two, dim=0)) < 0.2


def test_replay_is_algorithm_1_with_delta_0_bit_for_bit(segmenter, tmp_path):
    replay = train(segmenter, new_runs(segmenter, ["replay"]), tmp_path / "r.pt")["replay"]
    zero = train(segmenter, new_runs(segmenter, ["adversarial"], alpha=0.0, eta=0.0), tmp_path / "a.pt")["adversarial"]
    assert same(replay.head.state_dict(), zero.head.state_dict())
    assert replay.seen == zero.seen and len(replay.seen["perturbed"]) == (STEPS - WARM) * B
    one, other = ([{k: v for k, v in r.items() if k not in ("alpha", "passes")} for r in a.history] for a in (replay, zero))
    assert same(one, other) and (replay.history[-1]["passes"], zero.history[-1]["passes"]) == (2, 3)
    assert replay.history[-1]["delta_norm"] == 0


def test_what_the_buffer_holds_is_seen_one_step_later(everyone):
    runs, *_ = everyone
    clean, again = (np.reshape(runs["replay"].seen[half], (-1, B)) for half in ("clean", "perturbed"))
    assert np.array_equal(again[0], clean[WARM])  # the first turn: the clean batch itself (line 6)
    assert np.array_equal(again[1:], clean[WARM:-1])


def test_random_phases_keep_the_amplitudes_and_the_norm():
    for size in ((8, 8), (9, 7)):
        delta = torch.randn(3, 1, *size, generator=torch.Generator().manual_seed(0))
        shuffled = random_phase_delta(delta, seed=1)
        assert torch.allclose(torch.fft.fft2(shuffled).abs(), torch.fft.fft2(delta).abs(), atol=1e-4)
        assert torch.allclose(shuffled.flatten(1).norm(dim=1), delta.flatten(1).norm(dim=1), rtol=1e-5)
        assert not torch.allclose(shuffled, delta, atol=0.1) and torch.equal(shuffled, random_phase_delta(delta, seed=1))


def test_a_direction_that_is_zero_stays_zero():
    delta = torch.ones(2, 1, 4, 4)
    assert torch.equal(with_norms(torch.zeros_like(delta), delta), torch.zeros_like(delta))


def test_the_attack_lowers_the_true_score_more_than_a_random_direction(tmp_path):
    profile = replace(SMOKE, segmenter_steps=80, steps_per_epoch=40, checkpoint_steps=100)
    net = new_net()
    train_segmenter(net, TRAIN, VAL, profile, 0, tmp_path / "s.pt", progress=False)
    trained = Segmenter(net).freeze()
    x, y = discs(24, 2)
    size = 0.3 * x  # as long as 0.3 ||x||
    attack = with_norms(segmenter_direction(trained.logits, x, y), size)
    clean, attacked, random = (dice(trained.masks(x + d), y, 3).mean() for d in (0 * x, attack, random_delta(size)))
    assert clean > 0.3 and clean - attacked > 0.04 and clean - attacked > 3 * abs(clean - random)


def test_mixed_precision_trains_every_method(segmenter, tmp_path):
    profile = replace(SMOKE, head_steps=WARM + 2, settings=replace(SMOKE.settings, mixed_precision=True))
    runs = new_runs(segmenter, ALL)
    train_heads(segmenter, list(runs.values()), TRAIN, VAL, profile, 0, tmp_path / "m.pt", progress=False)
    assert all(np.isfinite(row["loss"]) for run in runs.values() for row in run.history)
    assert all(run.algorithm.x_adv.dtype == torch.float32 for name, run in runs.items() if name not in CLEAN)


# ---- fine-tuning


def test_finetuning_changes_its_copy_and_leaves_the_segmenter_alone(everyone, segmenter):
    runs, _, _, before = everyone
    assert same(before, dict(segmenter.state_dict()))
    copy = runs["finetuned"].head.copy
    changed = [name for name, weight in copy.state_dict().items() if not torch.equal(weight, before[name])]
    assert len(changed) > 5 and not any(name.startswith("net.model.2") for name in changed)  # nothing behind the tap
    assert not copy.training and all(not weight.requires_grad for weight in segmenter.parameters())


def test_the_original_gives_the_masks_and_the_copy_the_features(everyone, segmenter):
    runs, *_ = everyone
    head, x = runs["finetuned"].head, VAL[0]
    twin = read_by(head, segmenter)
    with torch.no_grad():
        (logits, z), (expected, z_frozen), (_, z_copy) = twin(x), segmenter(x), head.copy(x)
    assert torch.equal(logits, expected) and torch.equal(z, z_copy) and not torch.equal(z, z_frozen)
    assert torch.equal(find_method("finetuned").features(head, x, z_frozen, logits.argmax(1), 3), z_copy)
    plain = runs["plain"].head
    assert find_method("plain").features(plain, x, z_frozen, logits.argmax(1)) is z_frozen
    assert read_by(plain, segmenter) is segmenter


def test_finetuning_has_no_warm_up_and_perturbs(segmenter, tmp_path):
    run = train(segmenter, new_runs(segmenter, ["finetuned"]), tmp_path / "f.pt")["finetuned"]
    assert run.history[0]["alpha"] == SMOKE.settings.alpha
    assert all(np.isfinite(row["loss"]) for row in run.history) and run.history[-1]["delta_norm"] > 0


def test_a_twin_passes_gradients_to_the_image_and_to_the_copy_alone(segmenter):
    head = new_runs(segmenter, ["finetuned"])["finetuned"].head
    half = segment(Twin(segmenter, head.copy), *VAL, gradient=True)
    half.z.sum().backward()
    assert half.x.grad.abs().sum() > 0 and any(weight.grad is not None for weight in head.copy.parameters())
    assert all(weight.grad is None for weight in segmenter.parameters())


def test_finetuning_is_as_published_a_quarter_as_long_at_a_tenth_of_the_rate():
    profile = find_method("finetuned").adjust(SMOKE)
    assert profile.head_steps == 3 and profile.settings.warmup_batches == 0
    assert profile.settings.head_lr == pytest.approx(SMOKE.settings.head_lr / 10)
    assert profile.settings.alpha == SMOKE.settings.alpha
    published = replace(SMOKE, settings=replace(SMOKE.settings, finetune_alpha=1.0))
    assert find_method("finetuned").adjust(published).settings.alpha == 1.0


# ---- forks and the public call


def test_a_fork_trains_and_differs_from_algorithm_1_from_its_first_perturbation_on(segmenter, tmp_path):
    runs = train(segmenter, new_runs(segmenter, ["adversarial", *FORKS]), tmp_path / "forks.pt")
    ours = runs["adversarial"].history
    for name in FORKS:
        history = runs[name].history
        assert same(history[: WARM + 1], ours[: WARM + 1]), name  # the first buffer holds images as they are
        assert history[WARM + 1]["true_drop"] != ours[WARM + 1]["true_drop"] or history[-1]["loss"] != ours[-1]["loss"]


def test_train_head_is_the_adversarial_method(segmenter, tmp_path):
    learner = new_runs(segmenter, ["adversarial"])["adversarial"]
    torch.manual_seed(1)
    head = ConfidenceHead(segmenter.feature_shape(32), 2)
    train(segmenter, {"adversarial": learner}, tmp_path / "a.pt")
    history = train_head(segmenter, head, Quality("dice", 3), TRAIN, VAL, SMOKE, progress=False)
    assert same(history, learner.history) and same(head.state_dict(), learner.head.state_dict())
    scores = predict_scores(segmenter, head, VAL[0], batch=4)
    with torch.no_grad():
        assert torch.allclose(scores, head(segmenter(VAL[0])[1]), atol=1e-6) and scores.shape == (6, 2)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x, y: (x[:, 0], y), "shapes (12, 32, 32) and (12, 32, 32); give images (N, channels, H, W)"),
        (lambda x, y: (x, y[:5]), "shapes (12, 1, 32, 32) and (5, 32, 32)"),
        (lambda x, y: (x, y.float()), "label maps as integers"),
        (lambda x, y: (x[:0], y[:0]), "shapes (0, 1, 32, 32)"),
    ],
)
def test_train_head_refuses_what_does_not_fit(segmenter, spoil, words):
    head = ConfidenceHead(segmenter.feature_shape(32), 2)
    with pytest.raises(BadInput) as error:
        train_head(segmenter, head, Quality("dice", 3), spoil(*TRAIN), VAL, SMOKE)
    assert words in str(error.value) and str(error.value).startswith("train has")


# ---- augmentation


@pytest.mark.parametrize(
    "change",
    [
        lambda x, seed: strongly_augmented(x, seed, 1.0),
        lambda x, seed: rescanned(x, "cardiac", 4.0, seed),
        lambda x, seed: rescanned(x, "prostate", 4.0, seed),
    ],
    ids=["strong", "oracle-cardiac", "oracle-prostate"],
)
def test_augmented_images_differ_in_all_but_mean_and_spread(change):
    x = TRAIN[0][:6]
    one, again, other = change(x, 3), change(x, 3), change(x, 4)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == x.shape and one.dtype == x.dtype and torch.isfinite(one).all()
    assert ((one - x).flatten(1).norm(dim=1) > 0.05 * x.flatten(1).norm(dim=1)).sum() >= 5
    assert torch.allclose(one.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-4)
    assert torch.allclose(one.std((1, 2, 3)), x.std((1, 2, 3)), rtol=1e-3)


def test_an_image_that_becomes_flat_is_left_as_it_was():
    x = torch.ones(2, 1, 16, 16)
    assert torch.equal(strongly_augmented(x, 0, 0.0), x)
    assert torch.allclose(strongly_augmented(TRAIN[0][:2], 0, 0.0), TRAIN[0][:2], atol=1e-5)


def test_the_oracle_never_is_a_test_scanner(monkeypatch):
    import advconf_lite.methods.oracle as module

    used, real = [], module.reacquire
    monkeypatch.setattr(module, "reacquire", lambda x, scanner, *rest: used.append(scanner) or real(x, scanner, *rest))
    rescanned(TRAIN[0], "prostate", 4.0, 0)
    assert len(set(used)) == len(TRAIN[0])
    for test in target_scanners("prostate"):
        assert all((s.snr, s.resolution_mm, s.TE_ms) != (test.snr, test.resolution_mm, test.TE_ms) for s in used)


def imported(module: str, found: set[str]) -> set[str]:
    """Modules of the package that `module` imports, itself included, directly or not, inside functions or not."""
    path = Path(advconf_lite.__file__).parent.parent / (module.replace(".", "/") + ".py")
    if module not in found and path.exists():
        found.add(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("advconf_lite"):
                for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                    imported(name, found)
    return found


def test_strong_augmentation_never_imports_the_scanner():
    assert not any(name.startswith("advconf_lite.phantom") for name in imported("advconf_lite.methods.augmented", set()))
    assert "advconf_lite.phantom.scanner" in imported("advconf_lite.methods.oracle", set())  # the test can fail


# ---- lockstep, resuming, pairs


def test_every_method_resumes_to_the_same_weights(everyone, segmenter, tmp_path):
    _, _, whole, _ = everyone

    def stop(step):
        if step == 8:  # behind the checkpoint of step 8, before that of step 10
            raise Killed

    with pytest.raises(Killed):
        train(segmenter, new_runs(segmenter, ALL), tmp_path / "parts.pt", on_step=stop)
    train(segmenter, new_runs(segmenter, ALL), tmp_path / "parts.pt")
    a, b = (load_checkpoint(path, "cpu")["learners"] for path in (whole, tmp_path / "parts.pt"))
    assert list(a) == [f"{name}/dice" for name in ALL]
    for key in a:
        assert same(a[key], b[key]), key


@pytest.mark.parametrize("name", ["plain", "plain-2b", "random-direction", "strong-augmentation"])
def test_a_method_does_not_depend_on_its_neighbours(everyone, segmenter, tmp_path, name):
    runs, *_ = everyone
    names = [name, *([find_method(name).pair] if find_method(name).pair else [])]
    few = train(segmenter, new_runs(segmenter, names), tmp_path / "few.pt")
    for each in names:
        assert same(few[each].head.state_dict(), runs[each].head.state_dict()), each
        assert same(few[each].history, runs[each].history) and few[each].seen == runs[each].seen


def test_a_pair_that_stops_early_goes_on_for_its_partner_but_keeps_its_own_result(segmenter, tmp_path):
    def stops(names):
        runs = new_runs(segmenter, names)
        runs["adversarial"].settings = replace(runs["adversarial"].settings, head_patience=1)
        runs["adversarial"].best_loss, runs["adversarial"].best_epoch = 0.0, 1  # nothing is better than that
        return train(segmenter, runs, tmp_path / f"{len(names)}.pt")

    alone, both = stops(["adversarial"])["adversarial"], stops(["adversarial", "random-direction"])
    assert alone.stopped and len(alone.history) < STEPS
    assert same(alone.history, both["adversarial"].history) and alone.seen == both["adversarial"].seen
    assert same(alone.head.state_dict(), both["adversarial"].head.state_dict())
    assert len(both["random-direction"].history) == STEPS and both["random-direction"].history[-1]["delta_norm"] > 0


@pytest.mark.slow
def test_a_run_trains_what_its_methods_depend_on(slice_set, tmp_path, capsys):
    def run(folder, *names):
        made = Run(tmp_path / folder, str(slice_set), "smoke", "dice", names, progress=False)
        made.predict_heads(0, 0)
        return made

    alone = run("alone", "adversarial")
    weights = alone.head_path("adversarial", "dice", 0, 0).read_bytes()
    capsys.readouterr()
    both = run("both", "random-direction", "finetuned")
    assert "random-direction (dice), adversarial (dice)" in capsys.readouterr().out
    assert both.head_path("adversarial", "dice", 0, 0).read_bytes() == weights
    table = both.predictions()
    assert set(table["method"]) == {"random-direction", "finetuned"} and np.isfinite(table["predicted_score"]).all()
    segmenter, heads = both.segmenter(0), both.heads(0, 0)
    assert not torch.equal(heads["finetuned", "dice"].copy(VAL[0])[1], segmenter(VAL[0])[1])
    # asked for later, with the adversarial head there: the same result, and that head's file is not touched
    before = {path.name: path.stat().st_mtime_ns for path in alone.folder.glob("*.safetensors")}
    later = run("alone", "random-direction")
    assert "beside them adversarial (dice), whose perturbations" in capsys.readouterr().out
    name = later.head_path("random-direction", "dice", 0, 0).name
    assert (later.folder / name).read_bytes() == (both.folder / name).read_bytes()
    assert all((later.folder / path).stat().st_mtime_ns == time for path, time in before.items())
    history = later.history().query("stage == 'head'")
    assert not history.duplicated(["method", "step"]).any() and set(history["method"]) == {"adversarial", "random-direction"}
    scores = predict(both.folder, slice_set, tmp_path / "s.csv", "finetuned", progress=False)
    assert len(scores) == 16 and np.isfinite(scores["predicted_dice"]).all()


@pytest.mark.parametrize("name", head_methods([name for name in known_names() if " " not in name]))
def test_a_turn_is_freed_when_it_is_over(name):
    """Its graphs are large, and a ring of references would keep them until the collector comes: 3 GB in 500 steps."""
    segmenter = Segmenter(new_net()).freeze()
    pair = find_method(name).pair
    runs, gone = new_runs(segmenter, [name, *([pair] if pair else [])]), []
    gc.disable()
    try:
        for number in (WARM, WARM + 1):
            turn = Turn(segmenter, lambda word: (TRAIN[0][:B], TRAIN[1][:B]), number, 3, True)
            gone.append(weakref.ref(turn))
            for run in with_pairs(list(runs.values())):
                run.method.step(turn, run)
            del turn
        assert gone[0]() is None
    finally:
        gc.enable()
