"""Exercises: a solution passes, a stub is not yet there, a typical mistake gets its hint; and a cell never fails."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.adversarial import Algorithm1, Half
from advconf_lite.course.answers import check, choose, mine_or_ours, outcome_of
from advconf_lite.course.comparing import Band, difference
from advconf_lite.course.exercise import HINT, NOT_YET, RIGHT, Choice, Exercise
from advconf_lite.course.exercises import everything, files, find, of_lesson
from advconf_lite.quality import Quality
from advconf_lite.support.errors import BadInput

ROOT = Path(__file__).parent.parent

# ---- exercises: what a student would type, and what is then said
# name -> what the lesson hands over, solution, stub, and mistakes -> a word of the hint that each must get

CASES = {
    "how_many_failures": (
        {"dice": np.array([0.9, 0.5, 0.71, 0.69, 0.2])}, "3", "None",
        {"2": "good", "0.6": "share", "5": "too high", "'three'": "number"},
    ),
    "caught": (
        {},
        "def f(picks, dice):\n    return sum(dice[i] < 0.7 for i in set(picks))",
        "def f(picks, dice):\n    ...",
        {
            "def f(picks, dice):\n    return len(picks)": "sent back",
            "def f(picks, dice):\n    return (dice < 0.7).sum()": "nobody picked",
            "def f(picks, dice):\n    return (dice[picks] < 0.7).sum()": "twice",
            "def f(picks, dice):\n    return sum(dice[i - 1] < 0.7 for i in set(picks))": "from 0",
            "def f(picks, dice):\n    return sum(dice[i - 1] < 0.7 for i in picks)": "from 0",
        },
    ),
    "leaked_share": (
        {},
        "def f(train, val):\n    return len(set(train) & set(val)) / len(set(val))",
        "def f(train, val):\n    share = ...\n    return share",
        {
            "def f(train, val):\n    return sum(v in train for v in val) / len(val)": "count subjects",
            "def f(train, val):\n    return len(set(train) & set(val)) / len(set(train))": "validation",
            "def f(train, val):\n    return 100 * len(set(train) & set(val)) / len(set(val))": "per cent",
        },
    ),
    "slice_leak": (
        {"subjects": np.repeat([f"p{i}" for i in range(20)], 12)}, "1.0", "...",
        {"0.9": "training", "0": "several slices", "0.1": "validation"},
    ),
    "leak_gap": (
        {"by_slice": [0.9, 0.94], "by_subject": [0.8, 0.84, 0.82]}, "0.1", "None",
        {"-0.1": "sign", "1.122": "ratio", "0.92": "take off", "0.5": "too high"},
    ),
    "normalised": (
        {},
        "def f(x):\n    return (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True)",
        "def f(x):\n    ...",
        {
            "def f(x):\n    return (x - x.mean()) / x.std()": "whole batch",
            "def f(x):\n    return x - x.mean((1, 2), keepdims=True)": "scanner's",
            "def f(x):\n    return (x - x.mean((1, 2))) / x.std((1, 2))": "line 2",
            "def f(x):\n    return (x - x.mean(axis=(1, 2))) / x.std(axis=(1, 2))": "keepdims=True",
        },
    ),
    "my_dice": (
        {},
        "def f(a, b):\n    n = a.sum() + b.sum()\n    return 2 * (a & b).sum() / n if n else 1.0",
        "def f(a, b):\n    both = ...\n    return both",
        {
            "def f(a, b):\n    n = a.sum() + b.sum()\n    return 2 * (a & b).sum() / max(n, 1)": "two empty masks get",
            "def f(a, b):\n    return 2 * (a & b).sum() / (a.sum() + b.sum())": "NaN",
            "def f(a, b):\n    u = (a | b).sum()\n    return (a & b).sum() / u if u else 1": "Jaccard",
            "def f(a, b):\n    return 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() else 1": "only the first",
            "def f(a, b):\n    return 2 * (a & b).sum() / (a.sum() + b.sum()) if b.any() else 1": "only the second",
        },
    ),
    "silent_failures": (
        {"dice": np.linspace(0.1, 1, 40), "certainty": np.r_[np.full(20, 0.95), np.full(20, 0.99)]}, "26", "None",
        {"70": "too high", "40": "*or*", "14": "rightly sure"},
    ),
    "halve_the_dice": (
        {"before": 0.9}, "{'before': 0.9, 'after': 0.31}", "{'before': 0.9, 'after': ...}",
        {"{'before': 0.9, 'after': 0.6}": "not to one half", "{'before': 0.9, 'after': 0.9}": "turn on"},
    ),
    "slice_score": (
        {},
        "def f(scores):\n    return np.where(np.isnan(scores), 1, scores).mean()",
        "def f(scores):\n    ...",
        {
            "def f(scores):\n    return np.nanmean(scores)": "left the absent class out",
            "def f(scores):\n    return np.nan_to_num(scores).mean()": "became 0",
            "def f(scores):\n    return scores.mean()": "one NaN",
        },
    ),
    "plain_step": (
        {},
        """
        def f(segmenter, head, optimizer, x, s):
            with torch.no_grad():
                _, z = segmenter(x)
            loss = ((head(z) - s) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss
        """,
        "def f(segmenter, head, optimizer, x, s):\n    loss = ...\n    return loss",
        {
            """
            def f(segmenter, head, optimizer, x, s):
                loss = torch.nn.functional.mse_loss(head(segmenter(x)[1]), s)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                return loss.item()
            """: "cut the graph",
            """
            def f(segmenter, head, optimizer, x, s):
                loss = ((head(segmenter(x)[1]) - s) ** 2).mean()
                loss.backward()
                optimizer.step()
                return loss
            """: "two things",
            """
            def f(segmenter, head, optimizer, x, s):
                loss = ((head(segmenter(x)[1].detach()) - s) ** 2).mean()
                loss.backward()
                optimizer.step()
                return loss
            """: "zero_grad",
            """
            def f(segmenter, head, optimizer, x, s):
                loss = ((head(segmenter(x)[1].detach()) - s) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                return loss
            """: "optimizer.step()",
        },
    ),
    "constant_mae": (
        {"val_scores": np.array([0.9, 0.8, 0.7]), "target_scores": np.array([0.9, 0.1, 0.5, 0.85])}, "0.2875", "None",
        {"0.2876": "", "0.2125": "each slice first", "0.1481": "squared", "0.288e2": "too high"},
    ),
    "line_21": (
        {},
        "def f(g, alpha, eps):\n    return -alpha * g / ((g ** 2).sum((1, 2, 3), keepdim=True) + eps)",
        "def f(g, alpha, eps):\n    delta = ...\n    return delta",
        {
            "def f(g, alpha, eps):\n    return -alpha * g / ((g ** 2).sum() + eps)": "whole batch",
            "def f(g, a, eps):\n    return -a * g / (g.flatten(1).norm(dim=1)[:, None, None, None] + eps)": "not squared",
            "def f(g, alpha, eps):\n    return -alpha * g / (g.norm() + eps)": "whole batch, and",
            "def f(g, alpha, eps):\n    return -alpha * g / ((g ** 2).sum((1, 2, 3)) + eps)": "[:, None, None, None]",
            "def f(g, alpha, eps):\n    return alpha * g / ((g ** 2).sum((1, 2, 3), keepdim=True) + eps)": "sign",
        },
    ),
    "line_20": (
        {},
        "def f(alpha, eta, delta_s, before, after, now):\n    return alpha - eta * ((before - after).mean() - delta_s)",
        "def f(alpha, eta, delta_s, before, after, now):\n    ...",
        {
            "def f(a, eta, d, before, after, now):\n    return a + eta * ((before - after).mean() - d)": "sign",
            "def f(a, eta, d, before, after, now):\n    return a - eta * ((now - after).mean() - d)": "other images",
            "def f(a, eta, d, before, after, now):\n    return a - eta * (before - after).mean()": "delta_s is missing",
        },
    ),
    "relative_size": (
        {},
        "def f(delta, x):\n    return delta.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)",
        "def f(delta, x):\n    ...",
        {
            "def f(delta, x):\n    return (delta.norm() / x.norm()).repeat(len(x))": "whole batch",
            "def f(delta, x):\n    return (delta ** 2).sum((1, 2, 3)) / (x ** 2).sum((1, 2, 3))": "squared",
            "def f(delta, x):\n    return delta.norm() / x.norm()": "shape",
        },
    ),
    "replay_settings": (
        {}, "{'alpha': 0, 'eta': 0}", "{'alpha': ..., 'eta': ...}",
        {"{'alpha': 0, 'eta': 0.01}": "line 20", "{'alpha': 0.8, 'eta': 0}": "where it begins", "{'alpha': 0}": "lacks eta"},
    ),
    "fool_the_head": (
        {}, "{'grade': 0.25, 'dice': 0.01}", "{'grade': None, 'dice': None}",
        {"{'grade': 0.3, 'dice': 0.2}": "rightly", "{'grade': 0.05, 'dice': 0.0}": "larger size", "{'grade': 0.3}": "lacks"},
    ),
    "fool_the_segmenter": (
        {}, "{'grade': -0.01, 'dice': 0.124}", "None",
        {"{'grade': 0.3, 'dice': 0.2}": "noticed", "{'grade': 0.0, 'dice': 0.05}": "own loss", "0.2": "dict"},
    ),
    "aurc_by_hand": (
        {}, "(0.1 + 0.7/2 + 0.9/3 + 1.2/4 + 1.6/5) / 5", "None",
        {"(0.1 + 0.3/2 + 0.6/3 + 1.0/4 + 1.6/5) / 5": "oracle", "0.32": "mean risk", "1 - 0.274": "averaged scores"},
    ),
    "my_eaurc": (
        {},
        """
        def f(predicted, true):
            def area(by):
                risk = (1 - true)[np.argsort(-by)]
                return np.mean(np.cumsum(risk) / (np.arange(len(risk)) + 1))
            return area(predicted) - area(true)
        """,
        "def f(predicted, true):\n    ...",
        {
            """
            def f(predicted, true):
                risk = (1 - true)[np.argsort(-predicted)]
                return np.mean(np.cumsum(risk) / (np.arange(len(risk)) + 1))
            """: "oracle",
            """
            def f(predicted, true):
                def area(by):
                    risk = (1 - true)[np.argsort(by)]
                    return np.mean(np.cumsum(risk) / (np.arange(len(risk)) + 1))
                return area(predicted) - area(-true)
            """: "lowest promise",
        },
    ),
    "released_risk": (
        {},
        "def f(p, t, share):\n    return np.mean(1 - t[np.argsort(-p)[: round(share * len(t))]])",
        "def f(p, t, share):\n    ...",
        {
            "def f(p, t, share):\n    return np.mean(1 - t[np.argsort(p)[: round(share * len(t))]])": "least",
            "def f(p, t, share):\n    return np.mean(t[np.argsort(-p)[: round(share * len(t))]])": "mean score",
            "def f(p, t, share):\n    return np.mean(1 - np.sort(t)[::-1][: round(share * len(t))])": "true score",
            "def f(p, t, share):\n    return np.mean(1 - t[np.argsort(-p)[: int(share * len(t))]])": "nearest one",
            "def f(p, t, share):\n    return np.mean(1 - t[np.argsort(-p)[: int(np.ceil(share * len(t)))]])": "nearest one",
        },
    ),
    "mae_of_draws": (
        {}, "def f(weights, errors):\n    return np.average(np.tile(errors, (len(weights), 1)), axis=1, weights=weights)",
        "def f(weights, errors):\n    ...",
        {
            "def f(w, e):\n    return (w @ e) / len(e)": "not always n",
            "def f(w, e):\n    return w @ e": "the sum",
            "def f(w, e):\n    return np.full(len(w), e.mean())": "counts twice",
            "def f(w, e):\n    return (w @ e).sum() / w.sum()": "each row",
        },
    ),
    "pairs_of": (
        {}, "def f(n):\n    return n * (n - 1) // 2", "def f(n):\n    ...",
        {"def f(n):\n    return n * n": "itself", "def f(n):\n    return n * (n - 1)": "twice"},
    ),
    "my_agreement": (
        {},
        """
        def f(masks):
            import itertools
            pairs = itertools.combinations(masks, 2)
            return np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else 1 for a, b in pairs])
        """,
        "def f(masks):\n    ...",
        {
            """
            def f(masks):
                import itertools
                pairs = itertools.combinations(masks, 2)
                return np.mean([2 * (a & b).sum() / max(a.sum() + b.sum(), 1) for a, b in pairs])
            """: "count 1",
            """
            def f(m):
                return np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else 1 for a in m for b in m])
            """: "with itself",
            "def f(m):\n    return np.mean([2 * (m[0] & b).sum() / (m[0].sum() + b.sum()) for b in m[1:]])": "the first",
        },
    ),
    "which_control": (
        {},
        "{'plain-2b': [1], 'replay': [1, 2], 'random-direction': (1, 2, 3), 'segmenter-attack': [1, 2, 3, 4]}",
        "{'plain-2b': ...}",
        {
            "{'plain-2b': [1, 2], 'replay': [1, 2], 'random-direction': [1, 2, 3], 'segmenter-attack': [1, 2, 3, 4]}":
            "each of them once",
            "{'plain-2b': [1], 'replay': [2], 'random-direction': [2, 3], 'segmenter-attack': [2, 3, 4]}":
            "2B images a step",
            "{'plain-2b': [1], 'replay': [1, 2], 'random-direction': [1, 2, 3, 4], 'segmenter-attack': [1, 2, 3, 4]}":
            "harm",
            "{'plain-2b': [1], 'replay': [1, 2], 'random-direction': [1, 2, 3], 'segmenter-attack': [1, 2, 3, 4, 5]}":
            "the head is not asked",
            "{'plain-2b': [2], 'replay': [1, 2], 'random-direction': [1, 2, 3], 'segmenter-attack': [1, 2, 3, 4]}":
            "right in 3 of 4",
        },
    ),
    "false_alarms": (
        {}, "def f(n):\n    return n / 20", "def f(n):\n    ...",
        {"def f(n):\n    return 1 - 0.95 ** n": "at least one", "def f(n):\n    return 0.05": "one interval"},
    ),
    "worst_first": (
        {}, "def f(p, k):\n    return np.argsort(p)[:k]", "def f(p, k):\n    ...",
        {
            "def f(p, k):\n    return np.argsort(p)[::-1][:k]": "other end",
            "def f(p, k):\n    return sorted(p)[:k]": "grades",
            "def f(p, k):\n    return np.argsort(p)": "budget",
        },
    ),
    "planted_errors": (
        {"leak": 4, "label": 9, "constant": 2}, "{'leak': 4, 'label': 9, 'constant': 2}", "None",
        {
            "{'leak': 9, 'label': 4, 'constant': 2}": "exchanged",
            "{'leak': 5, 'label': 10, 'constant': 3}": "from 0",
            "{'leak': 4, 'label': 9, 'constant': 7}": "constant",
        },
    ),
}  # fmt: skip

RECORDS = {name: record for name, record in everything().items() if isinstance(record, Exercise)}
CHOICES = {name: record for name, record in everything().items() if isinstance(record, Choice)}


def typed(source):
    """The value of an expression, or the function that a cell defines."""
    source = textwrap.dedent(source).strip()
    if not source.startswith("def "):
        return eval(source, {"np": np})
    space = {"np": np, "torch": torch}
    exec(compile(source, "<cell>", "exec"), space)
    return space["f"]


def test_there_are_enough_and_each_is_tested():
    assert RECORDS.keys() == CASES.keys() and len(RECORDS) >= 16 and len(CHOICES) >= 4
    assert all(len(CASES[name][3]) >= 2 for name in RECORDS)
    assert len(files()) >= 8 and all(of_lesson(file) for file in files())


@pytest.mark.parametrize("name", RECORDS)
def test_solution_passes_stub_says_not_yet_and_mistakes_get_their_hints(name, capsys):
    given, solution, stub, mistakes = CASES[name]
    assert outcome_of(name, typed(solution), **given).status == RIGHT
    for nothing in (typed(stub), None, ...):
        assert outcome_of(name, nothing, **given) == (NOT_YET, find(name).asked)
    hinted = 0
    for source, word in mistakes.items():
        if not word:  # within the tolerance
            assert outcome_of(name, typed(source), **given).status == RIGHT
            continue
        status, text = outcome_of(name, typed(source), **given)
        assert status == HINT and word in text, text
        hinted += any(text == mistake.hint for mistake in find(name).mistakes)
    assert hinted >= 2 or name == "silent_failures"  # two of its three answers are typical mistakes with their own hint
    check(name, typed(solution), **given)
    assert f"[x] right · {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", RECORDS)
def test_whatever_is_given_a_cell_goes_on(name, capsys):
    given = CASES[name][0]
    cells = ("def f(*a):\n    raise SystemExit", "def f(*a):\n    return a[0].nothing", "def f():\n    return 1")
    odd = [object(), "text", [], {}, {"a": None}, np.nan, np.zeros((2, 3)), torch.zeros(3), pd.Series([1.0]), print, int]
    for answer in [*odd, *map(typed, cells)]:
        check(name, answer, **given)
    check(name, typed(CASES[name][1]), not_there=3)
    assert "[x]" not in capsys.readouterr().out


def test_the_core_agrees_with_line_20_and_with_the_settings_of_replay():
    class Linear(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, -x], 1), x

    def steps(**settings):
        torch.manual_seed(0)
        head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 1))
        loop = Algorithm1(head, torch.optim.SGD(head.parameters(), lr=1e-2), Quality("dice", 2), **settings)
        x, y = torch.randn(3, 1, 6, 6), torch.randint(2, (3, 6, 6))
        for _ in range(2):
            x_half = x.clone().requires_grad_()
            logits, z = Linear()(x_half)
            row = loop.step(Linear(), Half(x_half, y, logits.argmax(1), z))
        return loop, row

    loop, row = steps(alpha=0.5, eta=0.2)
    mine = find("line_20").right(0.5, 0.2, 0.1, torch.tensor(row["predicted_drop"]), torch.tensor(0.0), None)
    assert loop.alpha == pytest.approx(mine)
    assert steps(**find("replay_settings").right())[0].delta.abs().max() == 0
    for mistake in find("replay_settings").mistakes:
        assert steps(**mistake.does())[0].delta.abs().max() > 0


def test_code_that_changes_its_arguments_spoils_no_other_case():
    source = "def f(a, b):\n    n = a.sum() + b.sum()\n    a &= b\n    return 2 * a.sum() / n if n else 1.0"
    assert outcome_of("my_dice", typed(source)).status == RIGHT


def test_what_a_lesson_imports_waits_neither_for_torch_nor_for_widgets():
    code = "import sys, advconf_lite.course.teach as t; t.check('caught'); print({'torch', 'ipywidgets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.endswith("set()\n") and "not yet" in done.stdout, done.stderr


def test_an_exception_is_a_sentence_with_its_line_and_a_loop_ends(monkeypatch):
    status, text = outcome_of("my_dice", typed("def f(a, b):\n    n = 0\n    return a.sum() / n.x"))
    assert status == HINT and "line 3 of your cell" in text and "AttributeError" in text
    monkeypatch.setattr("advconf_lite.course.calling.call.__kwdefaults__", {"theirs": None, "seconds": 0.2})
    status, text = outcome_of("pairs_of", typed("def f(n):\n    while True:\n        pass"))
    assert status == HINT and "never end" in text
    status, text = outcome_of("pairs_of", typed("def f(n):\n    if n == 2:\n        return 1"))
    assert status == HINT and "for 15 samples, it returns nothing" in text


@pytest.mark.parametrize("name", CHOICES)
def test_each_option_has_its_feedback(name, capsys):
    record = CHOICES[name]
    assert [option.right for option in record.options.values()].count(True) == 1 and len(record.options) >= 3
    assert len({option.feedback for option in record.options.values()}) == len(record.options)
    for key, option in record.options.items():
        for written in (key, f" {key.upper()})", option.text):
            status, text = record.judge(written)
            assert (status == RIGHT) == option.right and option.feedback in text
    assert record.judge(None)[0] == NOT_YET and record.judge("z")[0] == HINT and record.judge(3.5)[0] == HINT
    choose(name)
    printed = capsys.readouterr().out
    assert "not yet" in printed and all(f"{key}) " in printed for key in record.options)


def test_an_unknown_name_is_a_sentence(capsys):
    check("line_12", 3)
    assert "line_21" in capsys.readouterr().out
    with pytest.raises(BadInput, match="my_dyce.*my_dice"):
        find("my_dyce")


def test_a_lesson_goes_on_with_ours_where_the_students_is_not_there(capsys):
    def wrong(a, b):
        return 0.5

    for answer in (None, ..., wrong, 3):
        assert mine_or_ours("my_dice", answer) is find("my_dice").right
    mine = typed(CASES["my_dice"][1])
    assert mine_or_ours("my_dice", mine) is mine
    assert mine_or_ours("constant_mae", None, **CASES["constant_mae"][0]) == pytest.approx(0.2875)
    assert "going on with your my_dice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("got", "right", "word"),
    [
        (1, 1.0, None), (np.float32(0.5), 0.5, None), (torch.tensor(0.5), 0.5, None), (np.nan, np.nan, None),
        (0.5, np.nan, "not nan"), ("1", 1, "number"), (True, True, None), (1, True, "not True"), ("a", "b", "not 'b'"),
        ([1, 2], np.array([1, 2]), None), ([1, 2], np.array([1, 3]), "at [1]"), ([1], np.array([1, 2]), "shape"),
        (pd.Series([1.0, np.nan]), np.array([1.0, np.nan]), None), ({"a": 1}, {"a": 1, "b": 2}, "lacks b"),
        ({1, 2}, {2, 1}, None), ([[1], [1, 2]], [[1], [1, 2]], None), ([[1], [1, 3]], [[1], [1, 2]], "shape"),
        (0.5, Band(0.4, 0.6), None), (0.7, Band(0.4, 0.6), "too high"), (np.nan, Band(0, 1), "nan"),
        (torch.zeros(2, 2), np.zeros((2, 2)), None), (None, 3, "None"), (10**400, 1.0, "too high"),
    ],
)  # fmt: skip
def test_what_is_the_same(got, right, word):
    found = difference(got, right)
    assert (found is None) if word is None else word in found or "differs" in found


def test_every_check_of_the_lessons_names_an_exercise_that_exists():
    from advconf_lite.course.notebooks import lessons_folder
    from advconf_lite.course.stubs import CHECK

    for path in lessons_folder().glob("*.py"):
        for name in CHECK.findall(path.read_text(encoding="utf-8")):
            find(name)
