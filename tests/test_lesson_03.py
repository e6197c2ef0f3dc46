"""What lesson 03 shows: grades and their worth, what perturbations cost, and Algorithm 1's listing beside its code."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
import torch
from pages import ROOT

from advconf_lite.adversarial import Algorithm1
from advconf_lite.course.grades import judges, over_promised, rows_of, scores_of
from advconf_lite.course.listing import LISTING, algorithm1, code_of
from advconf_lite.course.probing import alpha_for_drop, as_it_grows, head_delta, losses, over_the_range
from advconf_lite.course.tables import alignment_table
from advconf_lite.course.timings import step_cost
from advconf_lite.data.slices import write_slice_set
from advconf_lite.experiment.run import Run
from advconf_lite.figures.images import Lost, perturbed_slices
from advconf_lite.figures.training import figure1, training_scores
from advconf_lite.head import head_scores
from advconf_lite.support.errors import BadInput

METHODS = ["plain", "adversarial"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Discs on two scanners, the second one dark; heads of a few steps."""
    folder, rng = tmp_path_factory.mktemp("lesson03"), np.random.default_rng(0)
    yy, xx = np.mgrid[:48, :48]
    masks = np.stack([((yy - 24) ** 2 + (xx - 20 - n % 3) ** 2 < 60 + 4 * n).astype(np.uint8) for n in range(20)])
    images = (3.0 * masks + 5 + 0.3 * rng.normal(size=masks.shape)).astype(np.float32)
    images[16:] *= rng.uniform(0, 1, (4, 48, 48)).astype(np.float32)
    splits = ["train"] * 8 + ["val"] * 4 + ["test"] * 8
    domains = ["here"] * 16 + ["there"] * 4
    table = pd.DataFrame({"dataset": "mine", "domain": domains, "subject": [f"{d}{n // 2}" for n, d in enumerate(domains)],
                          "phase": "", "slice": [n % 2 for n in range(20)], "spacing_mm": 3.0, "split": splits})  # fmt: skip
    info = {"name": "mine", "class_names": ["disc"], "source_domain": "here", "tolerance_mm": 3.0}
    write_slice_set(folder / "mine", images, masks, table, info)
    return Run(folder / "run", str(folder / "mine"), "smoke", ["dice"], METHODS, progress=False)


# ---- the listing


def test_each_line_of_the_listing_has_its_code_in_the_file():
    source = inspect.getsource(Algorithm1)
    for number, line in LISTING.items():
        assert len(code_of(number)) == len(line.keys)
        assert all(code in source for code in code_of(number))
    assert list(LISTING) == list(range(1, 25))


def test_the_listing_says_what_the_page_of_the_documentation_says():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \| .* \| `(.*)` \|$", page, flags=re.M)
    for numbers, snippet in rows:
        lines = [int(number) for number in numbers.split(",")]
        assert any(snippet in code or code in snippet for line in lines for code in code_of(line)), (numbers, snippet)
    documented = {int(number) for numbers, _ in rows for number in numbers.split(",")}
    assert {number for number, line in LISTING.items() if line.keys} <= documented


def test_the_listing_is_a_table_in_a_notebook_and_short_text_elsewhere():
    everything, one = algorithm1(), algorithm1(20)
    assert everything._repr_html_().count("<tr>") == 25 and "self.alpha -= self.eta" in one._repr_html_()
    assert "<script" not in everything._repr_html_() and "http" not in everything._repr_html_()
    for listing in (everything, one):
        lines = repr(listing).splitlines()
        assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert "self.alpha -= self.eta" in repr(one)
    asked = algorithm1(covered=(20, 21))
    assert asked._repr_html_().count("(yours)") == 2 and "loss = score_loss(" in asked._repr_html_()
    assert not any(
        code in text for number in (20, 21) for code in code_of(number) for text in (asked._repr_html_(), repr(asked))
    )
    with pytest.raises(BadInput, match="has no line 25; give numbers from 1 to 24"):
        algorithm1(21, 25)


# ---- grades


def test_the_worst_promise_of_each_scanner_is_found(run):
    table = run.predict_heads()
    rows = rows_of(table, "plain", "dice")
    # Of one slice per domain the prediction is made far too high; and of a slice that has no image, higher still.
    rows = rows.assign(predicted_score=rows["true_score"].astype(float))
    chosen = [rows.index[rows["domain"] == domain][1] for domain in ("here", "there")]
    rows.loc[chosen, "predicted_score"] += [5, 7]
    nowhere = rows.loc[chosen[:1]].assign(subject="of another set", predicted_score=99.0)
    cases = over_promised(run, run.segmenter(), run.heads(), pd.concat([rows, nowhere]))
    assert [case.title for case in cases] == ["there", "here"]
    assert [case.true for case in cases] == pytest.approx(rows.loc[chosen[::-1], "true_score"].tolist(), abs=1e-5)
    assert set(cases[0].predicted) == set(METHODS)


def test_scores_of_a_part_are_those_of_the_predictions(run):
    there = run.predict_heads()
    there = there[(there["method"] == "plain") & (there["domain"] == "there")]
    found = scores_of(run, run.segmenter(), run.experiment.evaluated()["there"], "dice")
    assert np.sort(found) == pytest.approx(np.sort(there["true_score"]), abs=1e-5)


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["adversarial", "replay", "plain"], ["plain", "adversarial"]),
        (["replay", "agreement-2"], ["replay"]),
        (["agreement-2"], []),
        (["plain-2b", "adversarial"], ["adversarial"]),
    ],
)
def test_which_heads_the_lesson_speaks_of(methods, expected):
    class Chosen:
        pass

    chosen = Chosen()
    chosen.methods = methods
    assert judges(chosen) == expected


# ---- perturbations


def test_the_search_for_alpha_takes_one_gradient_and_reaches_the_drop(run):
    segmenter, head = run.segmenter(), run.heads()["plain", "dice"]
    x = run.experiment.val.images
    for drop in (0.02, 0.05):
        alpha = alpha_for_drop(segmenter, head, x, drop, run.settings)
        delta = head_delta(segmenter, head, x, alpha, run.settings)
        with torch.no_grad():
            scores = [head_scores(head, segmenter(images)[1]) for images in (x, x + delta)]
        assert (scores[0] - scores[1]).mean().item() == pytest.approx(drop, rel=0.25)


def test_slices_over_the_range_are_in_order_and_have_the_one_that_was_asked_for(run):
    lost = losses(run, run.segmenter(), run.heads()["plain", "dice"], "dice", 0.05)
    assert len(lost.true_drop) == len(run.experiment.test) == 4
    for row in range(4):
        for n in (1, 2, 3, 8):
            cases, marked = over_the_range(lost, row, n)
            drops = [case.true_drop for case in cases]
            assert len(cases) == min(n, 4) and drops == sorted(drops)
            assert torch.equal(torch.as_tensor(cases[marked].image), lost.images[row])


def test_the_slice_of_the_figure_above_has_a_frame():
    image, mask = np.zeros((20, 20)), np.pad(np.ones((6, 6), int), 7)
    cases = [Lost(image, mask, mask, 0.1, 0.0)] * 3
    framed = [ax.spines["left"].get_visible() for ax in perturbed_slices(cases, ["disc"], 2.0, 1).axes[:3]]
    assert framed == [False, True, False]


def test_a_perturbation_has_the_sizes_that_were_asked_for_and_size_zero_costs_nothing(run):
    heads = {"plain": run.heads()["plain", "dice"]}
    table = as_it_grows(run, run.segmenter(), heads, "dice", sizes=(0.01, 0.05))
    assert table["size"].tolist() == [0, 0.01, 0.05] and (table.iloc[0, 2:] == 0).all()
    assert table["believed"].iloc[1] > 0  # a small step against its own gradient


def test_the_cost_of_a_step_is_measured_and_leaves_the_head_as_it_was(run):
    head = run.heads()["plain", "dice"]
    before = [weight.clone() for weight in head.state_dict().values()]
    cost = step_cost(run, run.segmenter(), head, repeats=1)
    assert set(cost) == {"plain", "adversarial"} and all(ms > 0 for ms in cost.values())
    assert all(torch.equal(a, b) for a, b in zip(before, head.state_dict().values())) and not head.training


# ---- training


def history(true):
    rows = {"stage": "head", "method": "adversarial", "quality": "dice", "segmenter_seed": 0, "head_seed": 0}
    steps = np.arange(len(true)) + 21
    return pd.DataFrame({**rows, "step": steps, "true_drop": true, "predicted_drop": 0.1, "delta_norm": 0.03, "alpha": 0.1})


@pytest.mark.parametrize(
    ("true", "steps"),
    [(np.r_[np.zeros(60), np.full(40, 0.08)], 60), (np.full(100, 0.06), 0), (np.full(100, 0.04), None)],
)
def test_how_long_alignment_took(true, steps):
    (found,) = alignment_table(history(true), 0.1)["steps to half of delta_s"]
    assert np.isnan(found) if steps is None else found == pytest.approx(steps, abs=3)


def test_a_head_seed_has_one_marker_in_both_panels():
    both = pd.concat([history(np.full(100, 0.06)), history(np.full(100, 0.01)).assign(head_seed=1)])
    left, right = figure1(both).axes
    of_alpha = [line.get_marker() for line in right.lines]
    assert len(set(of_alpha)) == 2
    true = [line for line in left.lines if line.get_linestyle() == "--"]
    assert [line.get_marker() for line in true] == of_alpha


def test_histograms_say_whose_scores_they_are():
    scores = {"source, training": [0.9, 0.8], "targets": [0.1, 0.2]}
    assert training_scores(scores, "dice", "a slice").get_supxlabel() == "true Dice of a slice"
    assert training_scores(scores).get_supxlabel() == "true Dice of a training image"
