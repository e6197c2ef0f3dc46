"""How the loops went: medians of each fifth, of perturbed steps alone, over heads and folds."""

import loops
import numpy as np
import pandas as pd
import pytest

from advconf_lite.support.errors import BadInput


def head(seed, scale, steps=11, method="adversarial"):
    """One warm-up step, then drops of 1, 2, ... times the scale."""
    drops = scale * np.arange(steps, dtype=float)
    table = pd.DataFrame({"quality": "dice", "method": method, "segmenter_seed": seed, "head_seed": 0, "true_drop": drops})
    table["predicted_drop"], table["delta_norm"] = 2 * drops, np.where(np.arange(steps) > 0, 0.5, np.nan)
    return table


def test_medians_of_each_fifth_over_the_heads():
    both = pd.concat([head(0, 1.0), head(1, 3.0), head(0, 1.0, method="replay").assign(delta_norm=0.0)], ignore_index=True)
    found = loops.fifths(both.assign(asked_drop=0.1, aligned=np.nan))
    assert set(found["method"]) == {"adversarial"} and list(found["fifth"]) == [1, 2, 3, 4, 5] and set(found["heads"]) == {2}
    assert found["true_drop"].iloc[0] == np.median([1, 2, 3, 6]) and found["true_drop"].iloc[-1] == np.median(
        [9, 10, 27, 30]
    )
    assert (found["predicted_drop"] == 2 * found["true_drop"]).all() and found["aligned"].isna().all()
    assert set(found["at_least_half"]) == {2}  # exactly half is enough
    both.loc[both["segmenter_seed"] == 1, "true_drop"] *= 0.99
    assert set(loops.fifths(both.assign(asked_drop=0.1, aligned=np.nan))["at_least_half"]) == {1}
    upwards = both.assign(predicted_drop=-both["predicted_drop"], asked_drop=0.1, aligned=np.nan)
    assert loops.fifths(upwards)["at_least_half"].isna().all()  # it was not asked to lower the score


def test_folds_are_of_one_protocol_and_an_empty_folder_says_what_to_do(tmp_path, capsys):
    with pytest.raises(BadInput, match="has no history.csv of a protocol; run benchmarks/evidence.py first"):
        loops.main(["--out", str(tmp_path), "--results", str(tmp_path / "results")])
    for number in (1, 2):
        folder = tmp_path / "acdc-folds-quick" / f"acdc-fold-{number}"
        folder.mkdir(parents=True)
        head(0, float(number)).to_csv(folder / "history.csv", index=False)
    assert loops.main(["--out", str(tmp_path), "--results", str(tmp_path / "results")]) == 0
    table = pd.read_csv(tmp_path / "results" / "evidence-loops.csv")
    assert set(table["protocol"]) == {"acdc-folds-quick"} and set(table["heads"]) == {2} and table["asked_drop"].isna().all()
    assert table["true_drop"].iloc[0] == np.median([1, 2, 2, 4])
