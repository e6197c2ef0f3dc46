"""Controls: which one shares what with the method, and how many intervals err by chance."""

from __future__ import annotations

from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option

# What Algorithm 1 brings beside its idea -> the control that has it, too: a gain over that control has another reason.
SHARED = {
    "more images a step": "plain-2b",
    "every image twice": "replay",
    "images changed by as much": "random-direction",
    "stronger augmentation": "strong-augmentation",
}

EXERCISES = (
    Exercise(
        "which_control",
        f"Give a dict from each of {', '.join(map(repr, SHARED))} to the control that has it, too: one each of "
        f"{', '.join(sorted(SHARED.values()))}.",
        right=lambda: SHARED,
        mistakes=(
            Mistake(
                lambda: SHARED | {"more images a step": "replay", "every image twice": "plain-2b"},
                "plain-2b sees twice as many *other* images; replay sees the same ones again.",
            ),
            Mistake(
                lambda: (
                    SHARED
                    | {"images changed by as much": "strong-augmentation", "stronger augmentation": "random-direction"}
                ),
                "random-direction has the norms of the adversarial images; an augmentation has its own.",
            ),
        ),
        praise="what none of them reaches would be the direction's own share.",
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
