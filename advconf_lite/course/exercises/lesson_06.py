"""Controls: which one shares what with the method, and how many intervals err by chance."""

from __future__ import annotations

from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option

# Control -> what it shares with adversarial, by the numbers of the lesson's list: a ladder of one rung each.
SHARED = {
    "plain-2b": [1],
    "replay": [1, 2],
    "random-direction": [1, 2, 3],
    "segmenter-attack": [1, 2, 3, 4],
}

EXERCISES = (
    Exercise(
        "which_control",
        f"Give a dict: {', '.join(map(repr, SHARED))}, each with the list of what it shares with adversarial: numbers from "
        "1 to 5, the lowest first.",
        right=lambda: SHARED,
        mistakes=(
            Mistake(
                lambda: SHARED | {"plain-2b": [1, 2]},
                "plain-2b sees twice as many images, and each of them once: its second half is other images.",
            ),
            Mistake(
                lambda: SHARED | {"replay": [2], "random-direction": [2, 3], "segmenter-attack": [2, 3, 4]},
                "whoever sees every image twice sees 2B images a step, too.",
            ),
            Mistake(
                lambda: SHARED | {"random-direction": [1, 2, 3, 4]},
                "noise of the same norm changes an image by as much; harm is what a direction does, and noise has none.",
            ),
            Mistake(
                lambda: SHARED | {"segmenter-attack": [1, 2, 3, 4, 5]},
                "its direction is that of the segmenter's loss; the head is not asked.",
            ),
            Mistake(
                lambda: SHARED | {"random-direction": [1, 3], "segmenter-attack": [1, 3, 4]},
                "all but plain-2b stand in Algorithm 1's loop: the changed image is one that was seen clean before.",
            ),
        ),
        praise="a ladder: a gain over one control, and none over the next, is due to the rung between them.",
        hint="Read each control's sentence in the table, and go through the list from 1 to 5.",
    ),
    Exercise(
        "false_alarms",
        "Write false_alarms(n): of n 95 % intervals of differences that are all 0, how many leave out 0 on average?",
        right=lambda n: 0.05 * n,
        cases=lambda: {"one interval": (1,), "eleven": (11,), "forty": (40,)},
        mistakes=(
            Mistake(lambda n: 1 - 0.95**n, "that is the chance of *at least one*; the number on average was asked for."),
            Mistake(lambda n: 0.05, "that is the share of one interval; with each further one there is one more chance."),
            Mistake(lambda n: 0.95 * n, "that is how many rightly contain 0."),
        ),
        praise="of forty, two: a single interval that leaves out 0 in a long table is to be expected.",
    ),
)

CHOICES = (
    Choice(
        "contains_zero",
        "The interval of adversarial minus replay is -0.010 to +0.180. What follows?",
        {
            "a": Option("The two are equal.", "0.18 is inside as well; equal is one of many differences that fit."),
            "b": Option("This run does not tell them apart.", "what fits ranges from slightly worse to much better.", True),
            "c": Option(
                "Adversarial is better: most of the interval is above 0.",
                "an interval is no vote; at 95 % this run allows the opposite as well.",
            ),
            "d": Option("The direction of the perturbation does nothing.", "that would need an interval close around 0."),
        },
    ),
)
