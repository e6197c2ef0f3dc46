"""Every choice in one place: `Settings` (the method) and `Schedule` (how long to train).

The paper leaves many choices open, and the published code settles some of them differently from the text. Each is a
named field here. Its metadata says where the paper states it (`paper`, empty if it does not), what the published code
does (`code`) and, where neither decides, why our default is what it is (`why`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from advconf_lite.augmentation import ALL, PUBLISHED_CODE
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import check_numbers, one_of


def choice(default: Any, paper: str = "", code: Any = None, why: str = "") -> Any:
    """A settings field. `code` is the published code's value, None where it agrees with the default."""
    return field(default=default, metadata={"paper": paper, "code": code, "why": why})


@dataclass(frozen=True)
class Settings:
    """The method's settings. Defaults: the paper where it speaks, else the argued choice in `why`."""

    # features z
    feature_layer: str = choice(
        "decoder",
        "3.1: 'penultimate resolution level', which side is not said",
        why="decoder | encoder: the decoder has seen the whole image; so does the published code",
    )
    feature_norm: str = choice(
        "before", why="before | after the layer's InstanceNorm: before it, z still carries the image's contrast"
    )

    # segmenter f_theta
    dropout: float = choice(0.1, "4.2")
    segmenter_lr: float = choice(1e-3, "4.2")
    segmenter_schedule: str = choice("plateau", "4.2: 'learning rate scheduling', which is not said", why="plateau | cosine")
    segmenter_plateau: int = choice(5, why="epochs; the published code's value")
    segmenter_patience: int = choice(10, "4.2: 'early stopping', patience not said", why="the published code's value")
    dice_background: bool = choice(True, why="background in the Dice loss; as the published code")
    segmenter_clip: float | None = choice(None, code=0.5, why="the paper names no gradient clipping")
    segmenter_empty_slices: bool = choice(
        False, code=True, why="the paper's Table 2 counts non-empty slices, for both trainings alike"
    )
    mixed_precision: bool = choice(
        False, code=True, why="not in the paper; here bfloat16, which needs no loss scaling (published: float16)"
    )

    # head C_phi
    head_channels: int = choice(8, "3.4")
    head_hidden: int = choice(128, "3.4")
    head_norm: str = choice("batch", why="batch | group: published code's BatchNorm shares statistics between both halves")
    head_bias: bool = choice(
        True, code=False, why="in the last layer: most of a score is a constant, which is what a bias is for"
    )
    head_output: str = choice("identity", why="identity | sigmoid: a sigmoid saturates where most scores lie")
    predict_background: bool = choice(
        False,
        "4.1 counts three segmentation classes",
        code=True,
        why="the background's Dice hardly moves, so it only dilutes delta_s",
    )

    # quality g
    tolerance_unit: str = choice(
        "mm", code="pixels", why="mm | pixels: the tolerance of the surface Dice must not depend on the grid"
    )
    tolerance: float | None = choice(
        None, code=3.0, why="None: the data set's own tolerance_mm; where it says none, 3 pixels of its grid, as published"
    )
    absent_surface: str = choice(
        "one", code="masked", why="one | masked, in the loss: NaN counts as 1, the rule of the reported scores"
    )
    average_over: str = choice(
        "all",
        code="present",
        why="all | present: the published average runs over the classes that the ground truth has; not deployable",
    )

    # Algorithm 1
    warmup_batches: int = choice(100, "3.2", code=200)
    alpha: float = choice(0.8, "Algorithm 1, line 5")
    eta: float = choice(0.01, "Algorithm 1, line 5")
    delta_s: float = choice(0.1, "3.3")
    eps: float = choice(1e-8, "3.2: 'A small positive' epsilon, in line 21", why="the published code's value")
    objective: str = choice(
        "sum",
        "line 19 differentiates C, which has one output per class",
        why="sum | mean of the class scores: alpha of 0.76-0.92 in Figure 1 fits the sum better, which is published",
    )

    # head training
    head_lr: float = choice(1e-5, "3.4", code=3.16e-5)
    batch_size: int = choice(32, "3.4: B, doubled by the adversarial half")
    head_patience: int | None = choice(20, "3.4: epochs", code=0, why="0: run to the end, keep the best")
    head_clip: float | None = choice(None, code=0.5, why="the paper names no gradient clipping")
    head_plateau: int | None = choice(None, code=20, why="epochs; the paper names no schedule for the head")

    # fine-tuning and controls
    finetune_lr: float = choice(0.1, why="times head_lr: published 3.16e-6 after 3.16e-5")
    finetune_steps: float = choice(0.25, why="times the head's steps: published 25 epochs after 100")
    finetune_alpha: float | None = choice(
        None, code=1.0, why="None: alpha begins as it did for the head; the published start asks for more than its 0.8"
    )
    strong_probability: float = choice(
        0.5, why="our own control, strong-augmentation: of each transform; MONAI's 0.1 leaves two images of three unchanged"
    )
    severity_steps: int = choice(3, why="our own methods severity*: gradient steps, each with a pass of its own")
    severity_top: float = choice(0.6, why="our own methods severity*: the largest drop asked for, once the loop has aligned")

    # data
    split: str = choice(
        "subject",
        "appendix A gives slices only",
        code="slice",
        why="subject | slice: neighbouring slices of one patient are nearly copies",
    )
    normalise: str = choice("image", code="domain", why="image | domain: a single new scan has no domain statistics")
    augmentations: tuple[str, ...] = choice(ALL, "4.2: 'default data augmentations from the nnU-Net'", code=PUBLISHED_CODE)

    # score agreement
    agreement_empty: str = choice(
        "one",
        code="published",
        why="one | zero | published (Dice one, surface Dice zero): what a pair of samples counts that both lack a class",
    )

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise BadInput(f"setting {name}={getattr(self, name)!r} is unknown; choose one of {', '.join(allowed)}")
        for name in self.augmentations:
            one_of(name, "augmentation", ALL)
        check_numbers(self, COUNTS, SHARES)

    @classmethod
    def paper(cls) -> Settings:
        """What the paper states; where it is silent, the argued default."""
        return cls()

    @classmethod
    def published_code(cls) -> Settings:
        """What the published code does wherever it differs (facts in `field.metadata["code"]`)."""
        fields = {f.name: f.metadata["code"] for f in dataclasses.fields(cls) if f.metadata["code"] is not None}
        return cls(**fields)

    def describe(self) -> list[tuple[str, Any, str]]:
        """Rows (field, value, where it comes from), for the top of a run."""
        rows = []
        for f in dataclasses.fields(self):
            source = f"paper {f.metadata['paper']}" if f.metadata["paper"] else "not in the paper"
            rows.append((f.name, getattr(self, f.name), "; ".join(t for t in (source, f.metadata["why"]) if t)))
        return rows


CHOICES = {
    "feature_layer": ("decoder", "encoder"),
    "feature_norm": ("before", "after"),
    "segmenter_schedule": ("plateau", "cosine"),
    "head_norm": ("batch", "group"),
    "head_output": ("identity", "sigmoid"),
    "tolerance_unit": ("mm", "pixels"),
    "absent_surface": ("one", "masked"),
    "average_over": ("all", "present"),
    "objective": ("sum", "mean"),
    "split": ("subject", "slice"),
    "normalise": ("image", "domain"),
    "agreement_empty": ("one", "zero", "published"),
}
COUNTS = ("batch_size", "segmenter_batch", "steps_per_epoch", "checkpoint_steps", "severity_steps")  # at least 1
SHARES = ("dropout", "strong_probability", "severity_top")  # at most 1


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long to train, how often to validate and to write a checkpoint; the paper's lengths where it states them."""

    segmenter_steps: int = 100_000
    segmenter_batch: int = 32
    head_steps: int = 10_000  # warm-up included; B is `settings.batch_size`
    steps_per_epoch: int = 100  # batches between two validations
    checkpoint_steps: int = 500  # batches between two checkpoints
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        check_numbers(self, COUNTS, SHARES)
