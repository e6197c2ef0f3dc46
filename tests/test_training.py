"""Training: resumed runs equal uninterrupted ones, and each loop does what the paper says."""

from dataclasses import replace

import pytest
import torch
from kill_resume import same

from advconf_lite.augmentation import Augmenter
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.head import ConfidenceHead, head_scores
from advconf_lite.head_training import Learner, train_heads
from advconf_lite.methods.registry import find_method
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, build_unet
from advconf_lite.support.randomness import derived_seed
from advconf_lite.training import draw_batch, load_checkpoint, segmenter_lr, train_segmenter

SMOKE = replace(PROFILES["smoke"], segmenter_steps=9, head_steps=12, steps_per_epoch=3, checkpoint_steps=2)


def discs(n: int, seed: int):
    """Bright discs (label 1) with a core (label 2) on noise: learnable in a few steps."""
    draw = torch.Generator().manual_seed(seed)
    yy, xx = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    centres = torch.rand(n, 2, generator=draw) * 12 + 10
    r2 = (yy - centres[:, :1, None]) ** 2 + (xx - centres[:, 1:, None]) ** 2
    masks = (r2 < 49).long() + (r2 < 12).long()
    images = masks.float()[:, None] + 0.3 * torch.randn(n, 1, 32, 32, generator=draw)
    return (images - images.mean()) / images.std(), masks


TRAIN, VAL = discs(12, 0), discs(6, 1)


def new_net():
    torch.manual_seed(0)
    return build_unet(SMOKE.channels, 3, SMOKE.num_res_units)


def new_run(name, segmenter, settings=SMOKE.settings):
    torch.manual_seed(1)
    return Learner(find_method(name), ConfidenceHead(segmenter.feature_shape(32), 2), Quality("dice", 3), settings)


def new_runs(segmenter):
    return [new_run(name, segmenter) for name in ("plain", "adversarial")]


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 2, 4])
def test_segmenter_resumes_to_the_same_weights(tmp_path, monkeypatch, at):
    whole, parts = new_net(), new_net()
    expected = train_segmenter(whole, TRAIN, VAL, SMOKE, 0, tmp_path / "whole.pt", progress=False)
    calls = 0

    def dying(*arguments):
        nonlocal calls
        calls += 1
        if calls == at * 2:
            raise Killed
        return draw_batch(*arguments)

    monkeypatch.setattr("advconf_lite.training.draw_batch", dying)
    with pytest.raises(Killed):
        train_segmenter(parts, TRAIN, VAL, SMOKE, 0, tmp_path / "parts.pt", progress=False)
    monkeypatch.undo()
    parts = new_net()
    got = train_segmenter(parts, TRAIN, VAL, SMOKE, 0, tmp_path / "parts.pt", progress=False)
    assert got == expected and same(whole.state_dict(), parts.state_dict())
    assert same(load_checkpoint(tmp_path / "whole.pt", "cpu"), load_checkpoint(tmp_path / "parts.pt", "cpu"))


def test_heads_resume_to_the_same_weights_alpha_and_buffer(tmp_path):
    segmenter = Segmenter(new_net()).freeze()
    whole, parts = new_runs(segmenter), new_runs(segmenter)
    train_heads(segmenter, whole, TRAIN, VAL, SMOKE, 0, tmp_path / "whole.pt", progress=False)

    def stop(step):
        if step == 8:  # behind the checkpoint of step 8, before that of step 10
            raise Killed

    with pytest.raises(Killed):
        train_heads(segmenter, parts, TRAIN, VAL, SMOKE, 0, tmp_path / "parts.pt", progress=False, on_step=stop)
    parts = new_runs(segmenter)
    train_heads(segmenter, parts, TRAIN, VAL, SMOKE, 0, tmp_path / "parts.pt", progress=False)
    a, b = (load_checkpoint(tmp_path / f"{name}.pt", "cpu") for name in ("whole", "parts"))
    assert a["learners"]["adversarial/dice"]["loop"]["x_adv"] is not None
    assert same(a, b)
    assert all(same(one.head.state_dict(), two.head.state_dict()) for one, two in zip(whole, parts))


def test_a_head_does_not_depend_on_its_neighbours(tmp_path):
    segmenter = Segmenter(new_net()).freeze()
    together = new_runs(segmenter)
    train_heads(segmenter, together, TRAIN, VAL, SMOKE, 0, tmp_path / "a.pt", progress=False)
    alone = new_runs(segmenter)[1:]
    train_heads(segmenter, alone, TRAIN, VAL, SMOKE, 0, tmp_path / "b.pt", progress=False)
    assert same(together[1].head.state_dict(), alone[0].head.state_dict())
    assert same(together[1].history, alone[0].history)


def test_warm_up_is_plain_and_perturbation_starts_after_it(tmp_path):
    segmenter = Segmenter(new_net()).freeze()
    plain, adversarial = new_runs(segmenter)
    train_heads(segmenter, [plain, adversarial], TRAIN, VAL, SMOKE, 0, tmp_path / "c.pt", progress=False)
    warm = SMOKE.settings.warmup_batches
    assert plain.history[:warm] == adversarial.history[:warm]
    assert "alpha" not in adversarial.history[warm - 1] and adversarial.history[warm]["alpha"] == SMOKE.settings.alpha
    assert "true_drop" not in adversarial.history[warm] and "true_drop" in adversarial.history[warm + 1]
    B = SMOKE.settings.batch_size
    assert len(plain.seen["clean"]) == 12 * B and plain.seen["perturbed"] == []
    assert len(adversarial.seen["perturbed"]) == (12 - warm) * B


def test_training_leaves_the_segmenter_alone(tmp_path):
    segmenter = Segmenter(new_net()).freeze()
    before = {k: v.clone() for k, v in segmenter.state_dict().items()}
    train_heads(segmenter, new_runs(segmenter), TRAIN, VAL, SMOKE, 0, tmp_path / "d.pt", progress=False)
    assert same(before, dict(segmenter.state_dict()))


def test_training_leaves_the_callers_random_state_alone(tmp_path):
    state = torch.random.get_rng_state()
    net = new_net()
    torch.random.set_rng_state(state)
    train_segmenter(net, TRAIN, VAL, SMOKE, 0, tmp_path / "e.pt", progress=False)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.slow
def test_segmenter_learns(tmp_path):
    profile = replace(SMOKE, segmenter_steps=240, steps_per_epoch=80, channels=(8, 16, 16, 16))
    net = build_unet(profile.channels, 3, profile.num_res_units)
    history = train_segmenter(net, TRAIN, VAL, profile, 0, tmp_path / "f.pt", progress=False)
    assert history[-1]["val_dice"] > 0.6
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]


def test_best_weights_are_kept_and_patience_ends_training():
    run = Learner(
        find_method("plain"),
        ConfidenceHead((8, 4, 4), 2),
        Quality("dice", 3),
        replace(SMOKE.settings, head_patience=2),
    )
    z, s = torch.randn(5, 8, 4, 4), torch.rand(5, 2)
    best = None
    for epoch in range(1, 5):
        with torch.no_grad():  # the first epoch's last layer is best: every later one is pushed away from the target
            run.head.score[4].bias += 0.0 if epoch == 1 else 5.0
        run.history.append({"step": epoch, "epoch": epoch})
        run.end_of_epoch(head_scores(run.head, z), s, eligible=True)
        best = best or {k: v.clone() for k, v in run.best.items()}
        assert run.stopped == (epoch >= 3)
    assert run.best_epoch == 1 and same(run.best, best)


def test_warm_up_epochs_cannot_be_the_best():
    run = Learner(find_method("plain"), ConfidenceHead((8, 4, 4), 2), Quality("dice", 3), SMOKE.settings)
    run.history.append({"step": 1, "epoch": 1})
    run.end_of_epoch(torch.rand(5, 2), torch.rand(5, 2), eligible=False)
    assert run.best_epoch == 0 and run.history[-1]["val_loss"] > 0


def test_seeds_and_batches_are_functions_of_their_key():
    assert derived_seed("head batch", 0, 1) == derived_seed("head batch", 0, 1)
    keys = [derived_seed(word, s, t) for word in ("a", "b") for s in range(3) for t in range(3)]
    assert len(set(keys)) == len(keys)
    augment = Augmenter(SMOKE.settings.augmentations)
    one, two, other = (draw_batch(TRAIN, 4, augment, "batch", 0, step) for step in (5, 5, 6))
    assert same(one, two) and not same(one, other)


def test_cosine_schedule_rises_and_ends_at_zero():
    profile = PROFILES["quick"]
    rates = [segmenter_lr(profile, step) for step in range(profile.segmenter_steps)]
    assert max(rates) <= profile.settings.segmenter_lr and rates[-1] < 1e-3 * max(rates)
    assert rates[0] < rates[10] and rates[-1] < rates[len(rates) // 2]
