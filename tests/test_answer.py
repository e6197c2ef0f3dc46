"""The evidence's answer: yes, no, or not everywhere, as the intervals have it, with tables made by hand for each."""

import pandas as pd
import pytest
from made_protocols import BETTER, NOTHING, OPEN, WORSE, protocol

from advconf_lite.evaluation.answer import (
    RIVALS,
    answer,
    beating,
    by_rule,
    of_protocol,
    words_by_rule,
)


def test_yes_with_numbers_and_cost():
    found = protocol("prostate", {"old": (OPEN, BETTER), "new": (BETTER, BETTER), "bad": (OPEN, WORSE)})
    first, said, *rest = answer([found])
    assert first.startswith(
        "Yes: new beats both Algorithm 1 and strong augmentation in eAURC and in MAE under massive shift"
    )
    assert "(massive shift, 5 segmenters, 15 pairs of seeds): of 3 methods beside the two, these beat both" in said
    assert said.endswith("certainty: in eAURC and MAE new; in MAE alone old.") and rest == []
    header, rows = beating(found)
    better, open_ = "-0.0200, -0.0300 to -0.0100", "-0.0100, -0.0300 to +0.0100"
    assert dict(zip(header, rows[0])) == {
        "method": "new",
        "beats both in": "eAURC and MAE",
        "eAURC minus adversarial": better,
        "eAURC minus strong-augmentation": better,
        "MAE minus adversarial": better,
        "MAE minus strong-augmentation": better,
        "passes in training, of Algorithm 1's": "1.5",
        "passes an image in use": "1",
    }
    assert rows[1:] == [["old", "MAE", open_, open_, better, better, "not measured", "not measured"]]


@pytest.mark.parametrize("eaurc, mae", [(OPEN, BETTER), (BETTER, OPEN), (BETTER, WORSE), (BETTER, NOTHING), (WORSE, WORSE)])
def test_three_of_four_are_no_answer(eaurc, mae):
    first, said, *_ = answer([protocol("prostate", {"new": (eaurc, mae)})])
    assert first.startswith("No: nothing beats") and " in eAURC and MAE " not in said
    assert ("certainty: none." in said) == (BETTER not in (eaurc, mae))


def test_against_one_rival_alone_is_no_answer():
    found = protocol("prostate", {"new": (BETTER, BETTER)})
    found.differences.loc[found.differences["against"] == "adversarial", "mae_high"] = 0.001
    assert answer([found])[0].startswith("No:")


def test_a_method_that_only_ranks_can_win_in_ranking():
    found = protocol("prostate", {"many": (BETTER, NOTHING)})
    assert "certainty: in eAURC alone many." in of_protocol(found)
    assert beating(found)[1][0][4:] == ["-", "-", "none", "16"]


def test_not_everywhere_and_what_the_sealed_scanners_say():
    known, hidden = {"new": (BETTER, BETTER), "luck": (BETTER, BETTER)}, {"new": (BETTER, BETTER), "luck": (BETTER, OPEN)}
    text = answer([protocol("prostate", known), protocol("hidden", hidden, sealed=True)])
    assert text[0].startswith("Yes: new beats") and "new holds and luck does not hold" in text[-1]
    text = answer(
        [protocol("prostate", {"luck": (BETTER, BETTER)}), protocol("hidden", {"luck": (BETTER, OPEN)}, sealed=True)]
    )
    assert text[0].startswith("Not everywhere: luck on prostate, of prostate and hidden")
    text = answer([protocol("prostate", {"new": (OPEN, OPEN)}), protocol("hidden", {"new": (BETTER, BETTER)}, sealed=True)])
    assert "nothing to confirm" in text[-1]


def test_what_was_asked_last_is_an_observation_and_no_answer():
    methods = {"soft-dice mapped": (BETTER, BETTER), "new": (OPEN, BETTER)}
    text = answer([protocol("prostate-quick", methods), protocol("hidden-quick", methods, sealed=True)])
    assert text[0].startswith("No: nothing beats") and "in eAURC and MAE soft-dice mapped" in text[1]
    assert "nothing to confirm" in text[-2] and text[-1] == (
        "Asked when all of these had been seen, an observation and no test: soft-dice mapped beats both in both on "
        "prostate-quick and hidden-quick."
    )
    late = {"soft-dice mapped": (OPEN, BETTER), "new": (BETTER, BETTER)}
    text = answer([protocol("prostate-quick", late)])
    assert text[0].startswith("Yes: new beats") and text[-1].endswith("soft-dice mapped beats both in both nowhere.")
    text = answer([protocol("prostate-medium", methods)])  # there it was asked in time
    assert text[0].startswith("Yes: soft-dice mapped beats") and not text[-1].startswith("Asked when")


def test_other_shifts_say_nothing_of_a_massive_one():
    heart = protocol("heart", {"new": (BETTER, BETTER)}, shift="moderate", segmenters=3)
    assert answer([heart]) == [
        "No protocol with massive shift has been run with this profile yet, so here the question is open."
    ]
    assert of_protocol(heart).endswith("Resampling only 3 segmenters gives intervals that are too narrow.")
    one = of_protocol(protocol("one", {"new": (BETTER, OPEN)}, segmenters=1))
    assert "(massive shift, 1 segmenter, 15 pairs of seeds)" in one and "Resampling only 1 segmenter gives" in one


@pytest.mark.parametrize("highs, said", [((-0.04, 0.1), "all but old"), ((-0.04, -0.01), "all"), ((0.0, 0.1), "none")])
def test_who_is_nearer_than_a_constant(highs, said):
    found = protocol("prostate", {"new": (OPEN, OPEN), "only-ranks": (OPEN, NOTHING)})
    floor = {"against": "constant", "mae": -0.05, "mae_low": -0.06}
    rows = [floor | {"method": method, "mae_high": high} for method, high in zip(("new", "old"), highs)]
    found.differences = pd.concat([found.differences, pd.DataFrame(rows)])
    assert of_protocol(found).endswith(f"Certainly nearer to the truth than a constant, of 2 that estimate: {said}.")


def test_the_floor_and_the_other_rival_under_each_rule():
    below, across = {"mae": -0.05, "mae_low": -0.06, "mae_high": -0.04}, {"mae": -0.05, "mae_low": -0.2, "mae_high": 0.1}

    def under(of_new, of_rival, between):
        rows = [
            {"method": "new", "against": "constant", **of_new},
            {"method": "adversarial", "against": "constant", **of_rival},
        ]
        rows += [{"method": "strong-augmentation", "against": "adversarial", **between}]
        rows += [{"method": "constant", "against": "adversarial", **across}]
        found = protocol("heart", {"new": (OPEN, OPEN)})
        found.differences = pd.concat([found.differences, pd.DataFrame(rows)], ignore_index=True)
        return found

    rules = {
        "counted": under(below, below, below),
        "present": under(across, across, across),
        "LV": under(below, across, below),
    }
    assert by_rule(rules) == (
        "Under 3 rules for absent classes 3 of 7 verdicts (better, worse, not told apart) are not the same. Certainly "
        "nearer to the truth than a constant under the others, of those that estimate: present: none; LV: all but "
        "adversarial."
    )
    apart = {(row["method"], row["against"]): (row["counted"], row["present"], row["LV"]) for row in words_by_rule(rules)}
    assert apart == {
        ("new", "constant"): ("better", "not told apart", "better"),
        ("adversarial", "constant"): ("better", "not told apart", "not told apart"),
        ("strong-augmentation", "adversarial"): ("better", "not told apart", "better"),
    }


def test_which_words_depend_on_the_rule():
    rules = {"counted": protocol("heart", {"new": (BETTER, OPEN)}), "present": protocol("heart", {"new": (BETTER, BETTER)})}
    assert (
        by_rule(rules)
        == "Under 2 rules for absent classes 2 of 4 verdicts (better, worse, not told apart) are not the same."
    )
    mae = {"method": "new", "endpoint": "MAE", "counted": "not told apart", "present": "better"}
    assert words_by_rule(rules) == [mae | {"against": against} for against in RIVALS]
    same = {"counted": rules["counted"], "LV": rules["counted"]}
    assert (
        by_rule(same).endswith("0 of 4 verdicts (better, worse, not told apart) are not the same.")
        and words_by_rule(same) == []
    )
    assert by_rule({"counted": rules["counted"]}) == ""
