"""The paper's scale: what it takes to set one's own number beside the paper's."""

from __future__ import annotations

from advconf_lite.course.exercise import Choice, Exercise, Option

EXERCISES: tuple[Exercise, ...] = ()

CHOICES = (
    Choice(
        "beside_the_paper",
        "Your run of the paper profile on M&Ms-2 gives r = 0.71 on a scanner for which the paper's Table 3 has "
        "0.718 ± 0.024. Have you reproduced it?",
        {
            "a": Option(
                "Yes: it lies within the ±.",
                "the ± is over five of the authors' runs; your split, grid and settings may be others, and agree by chance.",
            ),
            "b": Option(
                "It fits. Say what differs, and show adversarial minus plain from your own runs.",
                "the claim is about the difference, and your own runs are alike in all but that.",
                True,
            ),
            "c": Option("No: it is lower.", "another seed moves it by more than that."),
            "d": Option(
                "Only if every slice gets the same score.", "nobody's second run does, and on another GPU not even yours."
            ),
        },
    ),
)
