import argparse
import dataclasses
import math
from pathlib import Path

import pytest

from advconf_lite.experiment.options import add_data_options
from advconf_lite.experiment.profiles import PROFILES, profile_from_config
from advconf_lite.phantom.organs import ORGANS
from advconf_lite.settings import Settings
from advconf_lite.support.errors import BadInput


def test_every_field_says_where_it_comes_from():
    for field in dataclasses.fields(Settings):
        assert field.metadata["paper"] or field.metadata["why"], field.name


def test_paper_states():
    """Values that the paper prints (sections 3 and 4.2, Algorithm 1)."""
    paper = Settings.paper()
    stated = dict(
        warmup_batches=100,
        alpha=0.8,
        eta=0.01,
        delta_s=0.1,
        head_lr=1e-5,
        batch_size=32,
        head_patience=20,
        segmenter_lr=1e-3,
        dropout=0.1,
        head_hidden=128,
        head_channels=8,
    )
    assert {name: getattr(paper, name) for name in stated} == stated
    assert all(field.metadata["paper"] for field in dataclasses.fields(Settings) if field.name in stated)


def test_published_code_differs_where_its_facts_say():
    code = Settings.published_code()
    facts = dict(
        warmup_batches=200,
        head_lr=3.16e-5,
        head_bias=False,
        predict_background=True,
        tolerance=3.0,
        tolerance_unit="pixels",
        absent_surface="masked",
        average_over="present",
        segmenter_clip=0.5,
        head_clip=0.5,
        head_patience=0,
        head_plateau=20,
        mixed_precision=True,
        normalise="domain",
        split="slice",
        agreement_empty="published",
        segmenter_empty_slices=True,
    )
    assert {name: getattr(code, name) for name in facts} == facts
    assert "noise" not in " ".join(code.augmentations)


def test_fields_without_a_published_difference_agree():
    paper, code = Settings.paper(), Settings.published_code()
    for field in dataclasses.fields(Settings):
        if field.metadata["code"] is None:
            assert getattr(paper, field.name) == getattr(code, field.name)


def test_unknown_choice_is_refused():
    with pytest.raises(BadInput, match="objective='product' is unknown; choose one of sum, mean"):
        Settings(objective="product")


def test_profiles_are_plain_values():
    for name, profile in PROFILES.items():
        assert profile.name == name and profile.as_dict()["settings"]["delta_s"] == 0.1
    assert PROFILES["paper"].settings == Settings.paper()
    grids = {name: [ORGANS[organ].grid(PROFILES[name].max_size) for organ in ("cardiac", "prostate")] for name in PROFILES}
    assert grids["paper"] == grids["full"] == [(256, 1.0), (384, 0.5)]  # the phantom's; other sets have their own
    assert grids["quick"] == grids["medium"] == [(96, 2.0)] * 2 and grids["smoke"] == [(48, 4.0)] * 2


def test_help_and_pages_name_every_profile():
    parser = argparse.ArgumentParser()
    add_data_options(parser, "", "")
    page = (Path(__file__).parent.parent / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in PROFILES:
        assert f"{name}" in parser.format_help().split("--profile", 2)[2].split("--out")[0] and f"`{name}`" in page


def test_medium_lies_between_quick_and_full():
    quick, medium, full = (PROFILES[name] for name in ("quick", "medium", "full"))
    for of in (lambda p: p.channels[0], lambda p: p.segmenter_steps, lambda p: p.head_steps):
        assert of(quick) < of(medium) < of(full)
    for length in (medium.segmenter_steps, medium.head_steps):  # every step is validated, and kept for who goes on
        assert length % medium.steps_per_epoch == 0 and length % medium.checkpoint_steps == 0
    loop, paper = medium.settings, Settings.paper()
    assert (loop.objective, loop.alpha, loop.eta, loop.delta_s) == (paper.objective, paper.alpha, paper.eta, paper.delta_s)
    # By linear theory alpha asks for alpha / classes at first and falls to delta_s within some multiples of 1 / eta steps.
    to_come_down = math.log(loop.alpha / loop.delta_s) / loop.eta
    assert medium.head_steps > loop.warmup_batches + 5 * to_come_down


def test_description_lists_every_field():
    rows = Settings().describe()
    assert [row[0] for row in rows] == [field.name for field in dataclasses.fields(Settings)]
    assert all(row[2] for row in rows)


def test_a_profile_on_the_published_code_keeps_its_own_changes():
    quick = PROFILES["quick"].on("published-code").settings
    assert quick.head_lr == PROFILES["quick"].settings.head_lr and quick.warmup_batches == 20  # the profile's
    assert quick.predict_background and quick.split == "slice" and quick.head_clip == 0.5  # the code's
    assert PROFILES["full"].on("published-code").settings == Settings.published_code()
    assert all(profile.on("paper") == profile for profile in PROFILES.values())
    with pytest.raises(BadInput, match="settings 'code' are unknown; choose from paper, published-code"):
        PROFILES["quick"].on("code")


def test_a_profile_comes_back_from_config_json():
    for profile in PROFILES.values():
        assert profile_from_config(profile.as_dict()) == profile
