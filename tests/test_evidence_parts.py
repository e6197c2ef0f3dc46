"""Parts of the evidence: what is published adds up to the whole, and comes from the kept pairs alone."""

import shutil

import evidence_parts
import pandas as pd
import pytest
from evidence import PROTOCOLS
from pages import ROOT

from advconf_lite.support.errors import BadInput

RESULTS = ROOT / "results"
KEYS = ["protocol", "method", "against"]


def published(name: str) -> pd.DataFrame:
    whole = pd.read_csv(RESULTS / f"evidence-{name}-differences.csv")
    return whole[(whole["quality"] == "dice") & (whole["rule"] == "counted")].assign(protocol=name)


def test_scanners_with_a_coil_and_the_others_add_up_to_the_whole():
    parts = pd.read_csv(RESULTS / "evidence-parts.csv")
    assert set(parts["protocol"]) >= {"phantom-prostate-quick", "phantom-prostate-medium", "sealed-prostate-medium"}
    whole = pd.concat(map(published, parts["protocol"].unique())).set_index(KEYS)
    of_scanners = parts[parts["targets"] != "all"]
    assert (of_scanners.groupby(KEYS)["targets"].nunique() == 2).all()
    for metric in ("eaurc", "mae"):
        weighted = (of_scanners[metric] * of_scanners["scanners"]).groupby([of_scanners[key] for key in KEYS]).sum()
        means = weighted / of_scanners.groupby(KEYS)["scanners"].sum()
        assert (means - whole.loc[means.index, metric]).abs().max() < 1.1e-4  # four digits
    few = parts[parts["pairs"] == "shared"]
    assert (
        len(few)
        and (few["pairs_of_seeds"] < whole.loc[list(zip(*(few[key] for key in KEYS))), "pairs_of_seeds"].to_numpy()).all()
    )


@pytest.mark.parametrize("name", ["phantom-prostate", "sealed-prostate", "phantom-heart"])
def test_the_kept_pairs_give_what_was_published_of_the_whole(name):
    kept = evidence_parts.Kept(PROTOCOLS[name], "medium", RESULTS / "pairs")
    table, source = kept.predictions(kept.pairs)
    found = evidence_parts.levels_and_differences(table, source, evidence_parts.AGAINST, 2)[1]
    texts = evidence_parts.difference_text(found).set_index(KEYS[1:])
    whole = published(f"{name}-medium").set_index(KEYS[1:]).loc[texts.index]
    for metric in ("eaurc", "mae"):
        assert texts[metric].astype(float).tolist() == whole[metric].tolist()


def test_which_scanners_have_a_coil():
    assert evidence_parts.with_coil(PROTOCOLS["phantom-prostate"], RESULTS) == {"1.5T-endorectal", "3T-endorectal"}
    drawn = pd.read_csv(RESULTS / "evidence-sealed-prostate-quick-scanners.csv")
    assert evidence_parts.with_coil(PROTOCOLS["sealed-prostate"], RESULTS) == set(
        drawn.loc[drawn["coil"] == "endorectal", "name"]
    )
    assert evidence_parts.with_coil(PROTOCOLS["phantom-heart"], RESULTS) == set()


def test_what_is_not_kept_is_named(tmp_path):
    with pytest.raises(BadInput, match="no protocol with the profiles quick and medium"):
        evidence_parts.parts_table(tmp_path, 2)
    for profile in evidence_parts.PROFILES:
        (tmp_path / "pairs" / f"phantom-prostate-{profile}").mkdir(parents=True)
    with pytest.raises(BadInput, match="phantom-prostate-quick has no pair of seeds"):
        evidence_parts.parts_table(tmp_path, 2)


def test_the_command_makes_parts_of_few_pairs(tmp_path, capsys):
    for profile, pairs in (("quick", ("s0-h0", "s0-h1")), ("medium", ("s0-h0",))):
        folder = tmp_path / "pairs" / f"phantom-prostate-{profile}"
        folder.mkdir(parents=True)
        for pair in pairs:
            shutil.copy(RESULTS / "pairs" / folder.name / f"phantom-prostate-{pair}.zip", folder)
    assert evidence_parts.main(["--results", str(tmp_path), "--resamples", "20"]) == 0
    table = pd.read_csv(tmp_path / "evidence-parts.csv")
    sizes = table.groupby(["protocol", "pairs", "targets"])["pairs_of_seeds"].agg(["max", "count"])
    assert sizes["max"].to_dict() == {
        ("phantom-prostate-medium", "all", "coil"): 1, ("phantom-prostate-medium", "all", "other"): 1,
        ("phantom-prostate-quick", "all", "coil"): 2, ("phantom-prostate-quick", "all", "other"): 2,
        ("phantom-prostate-quick", "shared", "all"): 1,
    }  # fmt: skip
    assert set(sizes["count"]) == {12}  # 1 + 2 + 3 + 3 + 3 differences
    assert "evidence-parts.csv" in capsys.readouterr().out
