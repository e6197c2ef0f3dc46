"""Data: subjects and slices, the leak between splits, and what one image's normalisation uses."""

from __future__ import annotations

import numpy as np
import torch

from advconf_lite.course.comparing import Band
from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option
from advconf_lite.data.resampling import z_score
from advconf_lite.data.splits import split_by_slice

TENTH = {"train": 0.9, "val": 0.1}


def _leaked(train, val) -> float:
    return len(set(val) & set(train)) / len(set(val))


def _leaks_by_slice(subjects, splits: int = 20) -> Band:
    """Over several splits of the slices, 9 : 1: the student's own shuffle is another one."""
    shares = []
    for seed in range(splits):
        split = np.array(split_by_slice(len(subjects), TENTH, seed))
        shares.append(_leaked(np.asarray(subjects)[split == "train"], np.asarray(subjects)[split == "val"]))
    return Band(min(shares) - 0.01, 1.0)


def _gap(by_slice, by_subject) -> float:
    return float(np.mean(by_slice) - np.mean(by_subject))


def _normalised(images):
    x = torch.as_tensor(np.asarray(images), dtype=torch.float64)
    flat = x.flatten(1)
    return z_score(x, flat.mean(1), flat.std(1, unbiased=False)).numpy()


def _images() -> dict[str, tuple]:
    rng = np.random.default_rng(0)
    return {
        "two images of different brightness": (rng.normal([[[5.0]], [[90.0]]], [[[1.0]], [[7.0]]], (2, 8, 8)),),
        "one image": (rng.normal(40.0, 3.0, (1, 6, 10)),),
    }


EXERCISES = (
    Exercise(
        "leaked_share",
        "Write leaked_share(train, val): which share of the validation subjects is also in training? Each argument has one "
        "subject per slice.",
        right=_leaked,
        cases=lambda: {
            "one of two subjects": (["a", "a", "b"], ["a", "c"]),
            "several slices a subject": (["a", "b", "c", "d"], ["a", "a", "a", "e"]),
            "no subject in both": (["a", "b"], ["c"]),
        },
        mistakes=(
            Mistake(lambda train, val: sum(s in set(train) for s in val) / len(val), "you counted slices; count subjects."),
            Mistake(
                lambda train, val: len(set(val) & set(train)) / len(set(train)),
                "you divided by the training subjects; the question is about those of validation.",
            ),
            Mistake(lambda train, val: 100 * _leaked(train, val), "that is in per cent: give a share, from 0 to 1."),
        ),
        praise="a validation score is worth something only where this is 0.",
        hint="Compare the two sets of subjects.",
    ),
    Exercise(
        "slice_leak",
        "Split the slices 9 : 1 without regard to subjects. Which share of the validation subjects is also in training?",
        right=_leaks_by_slice,
        mistakes=(
            Mistake(
                lambda subjects: 0.0,
                "no slice is in both, but subjects are, for they have several slices: give leaked_share their names and not "
                "the numbers of rows.",
            ),
            Mistake(lambda subjects: Band(0.85, 0.91), "nine tenths is the share of the *slices* that are for training."),
            Mistake(lambda subjects: Band(0.05, 0.15), "a tenth is the share of the *slices* that are for validation."),
        ),
        praise="nearly every validation subject has been trained on; the validation score then says little of the next one.",
        hint="Shuffle the rows, cut off a tenth, and give leaked_share the names of both parts.",
    ),
    Exercise(
        "leak_gap",
        "By how much is the mean validation Dice of the slice split higher than that of the subject split?",
        right=_gap,
        tolerance=5e-3,
        mistakes=(
            Mistake(lambda by_slice, by_subject: -_gap(by_slice, by_subject), "the sign: slice split minus subject split."),
            Mistake(lambda by_slice, by_subject: float(np.mean(by_slice) / np.mean(by_subject)), "that is the ratio."),
            Mistake(lambda by_slice, by_subject: float(np.mean(by_slice)), "take off the mean of the subject split."),
        ),
        praise="by so much the slice split flatters; most of it is recognition of subjects.",
    ),
    Exercise(
        "normalised",
        "Write normalised(images) for images (B, H, W): each image gets mean 0 and standard deviation 1 by its own pixels.",
        right=_normalised,
        cases=_images,
        tolerance=0.02,  # whether n or n - 1 divides is no mistake
        mistakes=(
            Mistake(
                lambda images: (images - images.mean()) / images.std(),
                "you took mean and deviation over the whole batch: an image's numbers then depend on its neighbours.",
            ),
            Mistake(
                lambda images: images - images.mean((1, 2), keepdims=True),
                "the mean is 0 now; the standard deviation is still the scanner's.",
            ),
            Mistake(
                lambda images: (images - images.min((1, 2), keepdims=True)) / np.ptp(images, (1, 2), keepdims=True),
                "that is a range from 0 to 1, which one bright pixel decides; mean and deviation were asked for.",
            ),
        ),
        hint="Each image has its own mean and deviation: .mean((1, 2), keepdims=True) keeps a shape that fits images.",
    ),
)

CHOICES = (
    Choice(
        "another_subject",
        "Two panels show two scanners, and on each another subject. The segmentation is worse in the second. Why?",
        {
            "a": Option("Because of the scanner.", "perhaps; but the anatomy has changed as well."),
            "b": Option("Because of the subject.", "perhaps; but the scanner has changed as well."),
            "c": Option("It cannot be told.", "two things changed at once; only the same subject on both could tell.", True),
            "d": Option("By chance.", "chance is what is left when both causes are excluded, and neither is."),
        },
    ),
)
