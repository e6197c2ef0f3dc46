"""What labels were worth, in words and as a table, from curves made by hand."""

import pytest

from advconf_lite.evaluation.labels_worth import as_table, fewest_labels, labels_said

KS = (0, 5, 20, 50)


def curve(mae, method="new", domain="a", used="0.500", coverage="", fold="", quality="dice"):
    """A row for each number of labels, as text; `coverage` is that of 50 labels."""
    first, rows = float(mae.split()[0]), []
    for k, each in zip(KS, mae.split()):
        gain = first - float(each)
        gains = {
            f"gain{end}": f"{gain + more:+.4f}" if k else "" for end, more in (("", 0), ("_low", -0.05), ("_high", 0.05))
        }
        row = {"fold": fold, "quality": quality, "method": method, "domain": domain, "k": str(k), "mae": each, **gains}
        rows.append({**row, "used": used if k else "", "coverage": coverage if k == 50 else ""})
    return rows


def test_what_labels_are_worth():
    rows = curve("0.200 0.210 0.090 0.050", coverage="0.920")
    rows += curve("0.200 0.100 0.101 0.100", "new", "b", coverage="0.800")
    text = labels_said(as_table(rows))
    assert text.startswith(
        "Labels halve each method's MAE on 1 of 2 targets (20 labels); with 50 labels the 90% bound covers"  # 0.1 is no less
    )
    assert (
        "0.860 of held-out people's slices on average (0.800 to 0.920 by method and target), within 3 points on 1 of 2"
        " (less on 1, of b);" in text
    )
    assert text.endswith(
        "with 5 labels the MAE is larger than without on 1 of 2 (method and target), by at most 0.0100 (certainly on "
        "0), and the correction is refused in 50% of the draws."
    )
    assert labels_said(as_table(rows, "surface_dice")) == "" == labels_said(as_table([]))
    assert as_table(rows)["coverage"].isna().sum() == 6  # empty is not measured, never 0


@pytest.mark.parametrize(
    ("coverage", "within"),
    [
        ("0.870", "1 of 1;"),
        ("0.930", "1 of 1;"),
        ("0.869", "0 of 1 (less on 1, of a);"),
        ("0.931", "0 of 1 (more on 1, of a);"),
    ],
)
def test_three_points_off_is_within_three_points(coverage, within):
    assert f"within 3 points on {within}" in labels_said(as_table(curve("0.2 0.2 0.2 0.2", coverage=coverage)))


HELPED = {
    "new": ("0.2 0.09 0.09 0.09", "0.2 0.2 0.09 0.09"), "old": ("0.2 0.2 0.09 0.09", "0.2 0.09 0.2 0.2"),
    "other": ("0.2 0.2 0.2 0.2", "0.2 0.2 0.2 0.09"), "none": ("0.2 0.2 0.2 0.2", "0.2 0.2 0.2 0.2"),
}  # fmt: skip


def helped():
    return as_table([row for method, both in HELPED.items() for d, mae in zip("ab", both) for row in curve(mae, method, d)])


def test_whom_labels_help_is_named_where_methods_differ():
    assert labels_said(helped()) == (
        "Labels halve the MAE of 2 of 4 methods on 2 of 2 targets (5 to 20 labels), that of other on 1 of 2 targets "
        "(50 labels), that of none on 0 of 2 targets; no bound could be measured with 50 labels; with 5 labels the MAE is "
        "larger than without on 0 of 8 (method and target), and the correction is refused in 50% of the draws."
    )


def test_labels_that_certainly_harm_are_counted():
    rows = curve("0.200 0.251 0.2 0.2") + curve("0.200 0.249 0.2 0.2", "new", "b")  # intervals: 0.05 to both sides
    assert "larger than without on 2 of 2 (method and target), by at most 0.0510 (certainly on 1), and" in labels_said(
        as_table(rows)
    )


def test_the_fewest_labels_of_each_method_and_target():
    header, rows = fewest_labels(helped())
    assert header == ["method", "a", "b"]
    assert rows == [["new", "5", "20"], ["old", "20", "5"], ["other", "-", "50"]]  # none has no row
    assert fewest_labels(as_table(curve("0.2 0.2 0.2 0.2")))[1] == []


def test_a_target_of_each_fold_is_one_of_its_own():
    rows = curve("0.2 0.09 0.09 0.09", fold="1") + curve("0.2 0.2 0.2 0.2", fold="2")
    assert fewest_labels(as_table(rows)) == (["method", "a (fold 1)", "a (fold 2)"], [["new", "5", "-"]])
    assert "on 1 of 2 targets" in labels_said(as_table(rows))
