"""Numbers and label maps of whatever library: taken and right, or refused in one sentence that says what is allowed."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite import metrics
from advconf_lite.agreement import certainty, monte_carlo, score_agreement
from advconf_lite.evaluation.bootstrap import draw_subjects, seed_weights
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS, check_predictions
from advconf_lite.figures.scores import figure3, scatter
from advconf_lite.quality import Quality, dice, surface_dice
from advconf_lite.settings import Schedule, Settings
from advconf_lite.support.errors import BadInput

NAN = float("nan")


def maps(seed=0, classes=3):
    return torch.randint(0, classes, (2, 12, 14), generator=torch.Generator().manual_seed(seed))


P, Q = maps(0), maps(1)


def read_only(array):
    array.flags.writeable = False
    return array


def one_sentence(call, words):
    with pytest.raises(BadInput, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---- label maps

KINDS = {
    **{str(t): lambda x, t=t: x.to(t) for t in (torch.uint8, torch.int16, torch.uint16, torch.uint32, torch.uint64)},
    **{f"numpy {t}": lambda x, t=t: x.numpy().astype(t) for t in ("u1", "i2", "u2", "u4", "u8", ">i4")},
    "lists": lambda x: x.tolist(),
    "list of tensors": lambda x: [one for one in x],
    "read-only": lambda x: read_only(x.numpy().copy()),
    "Fortran order": lambda x: np.asfortranarray(x.numpy()),
    "negative strides": lambda x: x.numpy()[:, ::-1].copy()[:, ::-1],
    "a view": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_label_maps_of_any_kind_are_right(kind):
    pred, target = KINDS[kind](P), KINDS[kind](Q)
    assert torch.equal(dice(pred, target, 3), dice(P, Q, 3))
    assert torch.equal(surface_dice(pred, Q, 3, 1.5, (1.0, 2.0)), surface_dice(P, Q, 3, 1.5, (1.0, 2.0)))
    both = np.stack([KINDS[kind](P), KINDS[kind](Q)]) if "torch" not in kind else torch.stack([pred, target])
    g = Quality("dice", 3)
    assert torch.equal(score_agreement(both, g), score_agreement(torch.stack([P, Q]), g))


def test_booleans_are_two_classes():
    assert torch.equal(dice((P > 0).numpy(), Q > 0, 2), dice((P > 0).long(), (Q > 0).long(), 2))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (None, "pred has dtype object; give integer labels"),
        ("mask.nii", "give integer labels"),
        ([[[0, 1]], [[0]]], "pred is no array of numbers .*; give maps of one size"),
        (P.float(), "dtype torch.float32"),
        (P.numpy() / 2, "dtype float64"),
        (P.to(torch.complex64), "dtype torch.complex64"),
        (P.float().requires_grad_(), "dtype torch.float32"),
        (P.bfloat16(), "dtype torch.bfloat16"),
        (P[0], r"shape \(12, 14\)"),
        (P[:0], r"shape \(0, 12, 14\)"),
        (P.to("meta"), "pred is on the meta device"),
        (P.to_sparse(), "pred is stored as torch.sparse_coo"),
        (np.full((2, 12, 14), 2**63, np.uint64), "pred holds the label"),
        (P - 1, "pred holds the label -1"),
        (P[:, :5], r"shape \(2, 5, 14\) and target"),
        (np.array([["a"]]), "give integer labels"),
    ],
)
def test_other_label_maps_are_refused(wrong, words):
    one_sentence(lambda: dice(wrong, Q, 3), words)
    one_sentence(lambda: surface_dice(wrong, Q, 3, 1.0), words)


# ---- numbers beside them


@pytest.mark.parametrize(
    "spacing",
    [
        1.5,
        np.float32(1.5),
        np.array(1.5),
        torch.tensor(1.5),
        (1.5, 1.5),
        [1.5, np.float64(1.5)],
        np.array([1.5, 1.5]),
        torch.tensor([1.5, 1.5], requires_grad=True),
    ],
)
@pytest.mark.parametrize("tolerance", [2, np.float64(2), np.array(2.0), torch.tensor(2.0)])
def test_a_distance_is_one_number_of_any_library(spacing, tolerance):
    assert torch.equal(surface_dice(P, Q, 3, tolerance, spacing), surface_dice(P, Q, 3, 2.0, 1.5))
    g = Quality("surface_dice", np.int64(3), tolerance, spacing)
    assert torch.equal(g(P, Q), surface_dice(P, Q, 3, 2.0, 1.5)) and isinstance(hash(g), int)


@pytest.mark.parametrize(
    "spacing", [None, "1.5", b"1", 0, -1, NAN, math.inf, True, [1.5], (1, 2, 3), np.ones((1, 2)), [None, 1], {}]
)
def test_other_spacings_are_refused(spacing):
    one_sentence(lambda: surface_dice(P, Q, 3, 1.0, spacing), "spacing is .*; give one positive number, or two")
    one_sentence(lambda: Quality("surface_dice", 3, 1.0, spacing), "spacing is ")


@pytest.mark.parametrize("tolerance", [None, "2", -1, NAN, math.inf, [1, 1], True, torch.ones(2), 1j])
def test_other_tolerances_are_refused(tolerance):
    one_sentence(lambda: surface_dice(P, Q, 3, tolerance), "tolerance is .*; give a distance of at least 0")
    one_sentence(lambda: Quality("surface_dice", 3, tolerance), "tolerance is ")


@pytest.mark.parametrize("number", [3.0, "3", None, True, 1, 0, -3, 257, NAN, [3]])
def test_other_numbers_of_classes_are_refused(number):
    for call in (lambda: dice(P, Q, number), lambda: Quality("dice", number)):
        one_sentence(call, "num_classes is .*; give a whole number from 2 to 256")
    assert torch.equal(dice(P, Q, np.uint8(3)), dice(P, Q, torch.tensor(3)))


@pytest.mark.parametrize("name", ["Dice", "", None, 3, ["dice"], "nsd"])
def test_names_that_are_none_are_answered_with_those_that_there_are(name):
    one_sentence(lambda: Quality(name, 3), "choose from dice, surface_dice")
    one_sentence(lambda: score_agreement(torch.stack([P, Q]), Quality("dice", 3), name), "choose from one, zero, published")
    one_sentence(
        lambda: metrics.weighted_metrics(np.ones(3), np.ones(3), np.ones((1, 3)), [name]), "metric is .*choose from"
    )


# ---- scores

RNG = np.random.default_rng(0)
S, T = RNG.random(20), RNG.random(20)
SCORES = {
    "list": list,
    "tuple": tuple,
    "float32": lambda x: x.astype(np.float32),
    "tensor": torch.tensor,
    "with a graph": lambda x: torch.tensor(x, requires_grad=True),
    "half": lambda x: torch.tensor(x).half(),
    "bfloat16": lambda x: torch.tensor(x).bfloat16(),
    "series": lambda x: pd.Series(x, index=range(50, 70)),
    "nullable series": lambda x: pd.Series(x, dtype="Float64"),
    "objects": lambda x: x.astype(object),
    "strided": lambda x: np.repeat(x, 3)[::3],
    "read-only": lambda x: read_only(x.copy()),
}


@pytest.mark.parametrize("kind", SCORES)
def test_scores_of_any_kind_are_right(kind):
    predicted, true = SCORES[kind](S), SCORES[kind](T)
    coarse = {"half": 2e-2, "bfloat16": 2e-2, "float32": 1e-6}.get(kind, 1e-12)
    for name, metric in metrics.METRICS.items():
        assert metric(predicted, true) == pytest.approx(metric(S, T), abs=coarse), name


@pytest.mark.parametrize(
    "with_gap",
    [
        lambda x: [None, *x[1:]],
        lambda x: pd.Series([None, *x[1:]], dtype="Float64"),
        lambda x: np.ma.masked_array(x, [True] + [False] * 19),
        lambda x: torch.tensor([NAN, *x[1:]]),
    ],
)
def test_a_gap_is_no_answer(with_gap):
    assert metrics.aurc(with_gap(S), T) == pytest.approx(metrics.aurc([-9, *S[1:]], T))
    with pytest.warns(UserWarning, match="MAE is not defined: 1 of 20 predictions are not finite"):
        assert math.isnan(metrics.mae(with_gap(S), T))


@pytest.mark.parametrize(
    ("predicted", "true", "words"),
    [
        (S, 100 * T, "true_score holds .*; scores lie from 0 to 1: divide percentages by 100"),
        (S, T - 1, "true_score holds -"),
        (S, np.r_[T[:-1], np.inf], "true_score holds inf"),
        (S, T[:-1], r"shapes \(20,\) and \(19,\)"),
        (S[:, None], T, r"shapes \(20, 1\) and \(20,\)"),
        (0.5, 0.5, r"shapes \(\) and \(\)"),
        (S.astype(str), T, "predicted_score holds str.* values"),
        (["0.5"] * 20, T, "predicted_score holds str"),
        (S.astype(complex), T, "predicted_score holds complex128"),
        (None, T, "predicted_score holds object values"),
        ([[0.1, 0.2], [0.3]], T, "predicted_score is no array of numbers"),
        (torch.tensor(S, device="meta"), T, "predicted_score is no array of numbers"),
        (np.array(["2024-01-01"] * 20, "datetime64[D]"), T, "values; give one number per slice"),
    ],
)
def test_other_scores_are_refused_by_every_metric(predicted, true, words):
    for metric in metrics.METRICS.values():
        one_sentence(lambda metric=metric: metric(predicted, true), words)


@pytest.mark.parametrize("percent", [100 * S, (100 * S).round().astype(int), list(50 + 40 * S)])
def test_percentages_are_no_estimates(percent):
    one_sentence(lambda: metrics.mae(percent, T), "predicted_score has a median of .*; divide percentages by 100")
    assert metrics.eaurc(percent, T) == pytest.approx(metrics.eaurc(np.asarray(percent) / 100, T))
    assert math.isfinite(metrics.mae(S * 1.3 - 0.1, T))  # a head may leave [0, 1] a little


@pytest.mark.parametrize(
    ("predicted", "true", "why"),
    [
        ([], [], "there is no slice"),
        ([0.5, 0.6], [0.5, 0.7], "it needs at least 3 slices"),
        ([0.5] * 4, [0.1, 0.2, 0.3, 0.4], "all predicted, or all true scores are equal"),
        ([0.1, 0.2, 0.3], [0.1, NAN, 0.3], "1 of 3 true scores are NaN"),
    ],
)
def test_undefined_is_nan_with_a_word(predicted, true, why):
    with pytest.warns(UserWarning, match=f"Pearson is not defined: {why}"):
        assert math.isnan(metrics.pearson(predicted, true))


# ---- counts and names elsewhere


def a_table():
    rows = [
        ("set", domain, f"p{i // 2}", "", i % 2, "dice", method, 0, 0, True, T[i], S[i])
        for domain in ("a", "b")
        for method in ("plain", "adversarial")
        for i in range(8)
    ]
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


@pytest.mark.parametrize("count", [-1, 2.5, "100", None, True])
def test_counts_of_resamples_are_whole(count):
    for call in (
        lambda: metrics_table(a_table(), count),
        lambda: compare(a_table(), "adversarial", ["plain"], None, count),
        lambda: draw_subjects(a_table()["subject"], count),
        lambda: seed_weights([(0, 0)], count),
        lambda: metrics_table(a_table(), 5, seed=count),
    ):
        one_sentence(call, "(resamples|seed) is .*; give a whole number of at least 0")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: compare(a_table(), "nobody", ["plain"]),
        lambda: compare(a_table(), "plain", [3]),
        lambda: figure3(metrics_table(a_table(), 0), names=("Pearson",)),
        lambda: scatter(a_table(), "nsd"),
        lambda: scatter(a_table(), columns=0),
        lambda: check_predictions([1, 2]),
        lambda: check_predictions(a_table().assign(true_score=80.0)),
        lambda: check_predictions(a_table().assign(true_score=-0.2)),
        lambda: check_predictions(a_table().assign(predicted_score="good")),
    ],
)
def test_tables_and_figures_refuse_what_they_do_not_know(wrong):
    one_sentence(wrong, ".")


def test_percentages_in_a_table_are_said():
    with pytest.warns(UserWarning, match="plain predicts dice scores with a median of .* on a: divide percentages by 100"):
        metrics_table(a_table().assign(predicted_score=lambda t: 100 * t["predicted_score"]), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dropout": -0.1},
        {"dropout": 1.5},
        {"head_lr": NAN},
        {"head_lr": "1e-3"},
        {"segmenter_patience": 2.5},
        {"tolerance": -3.0},
        {"batch_size": 0},
        {"warmup_batches": -1},
        {"dice_background": "yes"},
        {"augmentations": ("flipp",)},
        {"alpha": math.inf},
        {"feature_norm": "between"},
        {"objective": None},
        {"strong_probability": 2.0},
    ],
)
def test_settings_that_are_none_are_refused(wrong):
    one_sentence(lambda: Settings(**wrong), next(iter(wrong)) if "augmentations" not in wrong else "augmentation is 'flipp'")


@pytest.mark.parametrize(
    "wrong", [{"head_steps": -1}, {"segmenter_batch": 0}, {"steps_per_epoch": 0}, {"segmenter_steps": 1e3}]
)
def test_schedules_that_are_none_are_refused(wrong):
    one_sentence(lambda: Schedule(**wrong), next(iter(wrong)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"n": 2.5},
        {"n": "3"},
        {"images_per_pass": 0},
        {"mean_of": (5,)},
        {"images": None},
        {"images": torch.zeros(0, 1, 8, 8)},
        {"images": torch.zeros(1, 8, 8)},
    ],
)
def test_samples_of_nonsense_are_refused(wrong):
    given = {"images": torch.zeros(2, 1, 8, 8), "n": 3, "seed": 0, **wrong}
    one_sentence(lambda: monte_carlo(torch.nn.Dropout(0.5), **given), "give ")


@pytest.mark.parametrize("wrong", [torch.ones(2, 1, 4, 4), torch.ones(2, 4, 4), np.ones((2, 3, 4, 4)), None])
def test_certainty_needs_classes(wrong):
    one_sentence(lambda: certainty(wrong), "probabilities are .*at least 2")
