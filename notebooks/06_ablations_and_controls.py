# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · Ablations and controls: which part of the method does the work?
#
# <!-- makes: what else could explain the gain: delta_s, fine-tuning, controls, timings (Tables 1 and 3) -->
#
# **After this lesson you can** lay out an ablation as in the paper's Table 3, choose a control that differs in one thing
# only, read a paired interval, and say what a run supports and what it does not.

# %% tags=["parameters", "one-head-seed"]
data: str = "phantom:prostate"  # phantom:prostate, phantom:cardiac or a slice-set folder
profile: str = "quick"  # smoke (seconds), quick (minutes on two cores), full, paper (GPU)
out: str = ""  # the run's folder; "" is runs/DATA-PROFILE, as runs/prostate-quick
use: str = "train"  # train what the folder lacks; or shipped: what the course brings along (quick, Dice)
quality: str = "dice"  # qualities g to predict, separated by spaces; two of them double the training
methods: str = (
    "plain plain-2b replay adversarial adversarial-0.05 adversarial-0.2 finetuned random-direction random-phase "
    "segmenter-attack strong-augmentation oracle-augmentation agreement-2 agreement-15 agreement-15-zero "
    "entropy-15 entropy-15-foreground"
)  # separated by spaces; adversarial is always among them
segmenter_seeds: list = [0]  # random seeds of the U-Net
head_seeds: list = [0]  # random seeds of the confidence head

# %%
from advconf_lite.course.lessons import start

run = start(data, profile, out, quality, f"{methods} adversarial", use)
source = run.experiment.slices.source_domain
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]

# %% [markdown]
# ## Why controls
#
# The paper compares a head with and without Algorithm 1: `adversarial` and `plain`. But the two differ in more than one
# thing. With Algorithm 1 the head
#
# 1. sees $2B$ images a step instead of $B$,
# 2. sees every image twice,
# 3. sees images that are changed in *some* way, so more of them are hard, and
# 4. sees images that are changed in the direction that the head itself fears.
#
# Only the fourth is the idea of the paper. A **control** keeps the others and leaves that one out. Here are the methods of
# this lesson; each is a small class in `advconf_lite/methods/`, and these are its words.

# %%
from IPython.display import Markdown

from advconf_lite.course.tables import methods_text

Markdown(methods_text(run.methods))

# %% [markdown]
# Read from the top: `plain-2b` answers 1, `replay` answers 1 and 2, and `random-direction` answers 1 to 3 with
# perturbations of the same norm. `strong-augmentation` asks what a library's augmentations do in the same place.
# `oracle-augmentation` knows the kind of shift that will be tested, so it is no competitor but a mark to measure by.
#
# ## All heads
#
# All heads of one seed start from the same weights, see the same clean batches, and share the segmenter's pass over them.
# At the quick profile, the training of all these heads still takes some minutes. If it is stopped, it goes on where it
# was; what the folder already has is not made again.

# %%
from advconf_lite.course.tables import all_predictions, chosen_metrics

predictions = all_predictions(run, seeds)
metrics = chosen_metrics(run, seeds)
print(f"{len(predictions):,} predictions by {predictions['method'].nunique()} methods")

# %% [markdown]
# ## The ablation: how large a drop to ask for (Table 3)
#
# $\Delta_s$ is the drop of the predicted score that Algorithm 1 aims at, 0.1 in the paper. `finetuned` goes on from the
# `adversarial` head and also trains a copy of the segmenter, from which the head reads its features. So it has seen more
# images than the other rows, here as in the paper.
#
# **Before you run the next cell:** a larger $\Delta_s$ means larger perturbations. What could be bad about too small a one,
# and what about too large a one?

# %%
from advconf_lite.course.tables import table3

table3(metrics, source, run.settings.delta_s)

# %% [markdown]
# Too small, and the range of scores may hardly widen; too large, and the images may no longer resemble any that a
# scanner makes. Compare the rows of one column with each other. A difference is worth a thought if it is larger than the
# $\pm$, which is the standard deviation over pairs of seeds; where there is no $\pm$, one pair was run, and nothing here
# says how much another would differ. The paper's $\pm$ is over five head seeds on one segmenter, so it does not contain
# the segmenter's share. The paper reads its own table as "stable with respect to variations in $\Delta_s$".
#
# ## The controls
#
# The question is not whether a bar is higher than another, but whether the *difference* is larger than chance. Both methods
# score the same slices, so their difference is taken within each domain and averaged over the target domains.
#
# **Before you run the next cell:** which control will come closest to `adversarial`? Write down one name, and a reason.

# %%
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.text import comparison_table

others = [name for name in run.methods if name != "adversarial"]
comparison = compare(predictions, "adversarial", others, source)
comparison_table(comparison)

# %%
from advconf_lite.figures.controls import forest
from advconf_lite.figures.style import show

estimates = predictions.groupby("method")["estimates"].first()
kinds = {
    "other head": [name for name in others if estimates[name]],
    "score from samples": [name for name in others if not estimates[name]],
}
for kind, names in kinds.items():
    if names:
        show(
            forest(comparison[comparison["method"].isin(names)]),
            f"adversarial minus each {kind}, 95 % paired intervals: "
            "adversarial is better right of the zero line for Pearson, left of it for eAURC and MAE.",
        )

# %% [markdown]
# Look at each row for the zero line first, then for the side, and for the size last:
#
# * An interval that **contains 0** supports no claim, neither that `adversarial` is better nor that the two are equal. How
#   far it reaches says how large a difference could still be there.
# * An interval on one side supports a claim about this mean, on these domains. Its near end is the cautious size.
# * The draw is over **subjects and seeds**. What there is only one of cannot be drawn: with one segmenter seed the interval
#   says nothing about another segmenter, and with one head seed nothing about another head.
# * These are **many comparisons**. If nothing differed at all, about one interval in twenty would still lie on one side. So
#   name the comparison that counts before you look. This project names MAE and eAURC, averaged over the target domains.
# * `[n.e.]`, not estimable: fewer than three subjects in every domain, as in the smoke profile.
#
# Agreement and entropy rank slices and estimate nothing, so they have no MAE. They get a figure of their own, because their
# differences may be of another size.
#
# ## What a constant would get
#
# `constant` predicts the mean score of source validation for every image. It looks at nothing. A head whose MAE is not
# below it on some domain has told us nothing there about how good a segmentation *is*, whatever its correlation.

# %%
from advconf_lite.evaluation.text import mae_floor

mae_floor(metrics, source)

# %% [markdown]
# Go down each column from the first row, and count the heads that have a smaller number.
#
# ## What the heads have seen in training
#
# The paper's argument for Algorithm 1 is that it "widens the value range of quality metrics that are observed during
# training". A random direction of the same norm is the natural test of that: same size, no aim.
#
# **Before you run the next cell:** sketch the three histograms. Where will the mass be, and which has the longer tail to the
# left?

# %%
from advconf_lite.course.tables import seen_by
from advconf_lite.figures.training import training_scores

for name in run.qualities:
    seen = seen_by(run, ["adversarial", "random-direction"], name, seeds)
    show(
        training_scores(seen, name),
        f"True scores ({name}) of the images in training: {', '.join(seen)}. The dashed line is the 5th percentile.",
    )

# %% [markdown]
# Compare each panel with the grey outline of the clean images. A panel that coincides with it shows perturbations that
# hardly harmed the segmentation: then the head has seen changed images, but no new scores.

# %%
from advconf_lite.course.tables import perturbation_table

history = run.history()
history = history[history["quality"].isin(run.qualities) & history["method"].isin(run.methods)]
history = history[history["segmenter_seed"].isin(segmenter_seeds) & history["head_seed"].isin(head_seeds)]
perturbation_table(history).round(3)

# %% [markdown]
# The same in numbers, in the last tenth of each head's training: the relative size of what was added to the image, how much
# the quality really fell, and how much the head believed it to fall. Methods with similar size and different true drop
# differ in their *direction*; where size and drop differ both, a comparison of the two says less. `replay` adds nothing, so
# nothing falls. `finetuned` has a shorter training of its own, which goes on from the `adversarial` head.
#
# ## Does the rule for empty masks matter?
#
# Two dropout samples may both lack a class. Do they agree? `agreement-15` counts such a pair as the settings say, and
# `agreement-15-zero` as no agreement. Both read the same samples.

# %%
from advconf_lite.evaluation.text import domain_table

rules = {name: name for name in run.methods if name.startswith("agreement-15")}
domain_table(metrics, "pearson", rules, list(dict.fromkeys(metrics["domain"])))

# %% [markdown]
# In a column where the rows differ, Pearson's $r$ there depends on a convention. That happens where masks are empty, which
# is where the segmentation has failed, or where there is nothing to segment.
#
# ## What it costs (Table 1)
#
# **Before you run the next cell:** direct prediction was 0.9<!--=table1:direct prediction/dice:paper_ms--> ms an image in
# the paper, and agreement with surface Dice 1896<!--=table1:agreement N = 15/surface_dice/ours:paper_ms--> ms. Which of the
# two numbers depends on how the metric is programmed?

# %%
from advconf_lite.course.timings import FAULTS, table1

table1(run, run.segmenter(segmenter_seeds[0]))

# %%
print(FAULTS)

# %% [markdown]
# The columns are times of *your* machine and network, with the middle half of the calls in brackets; the last one is the
# paper's, on an NVIDIA A40 with images of 256 x 256. Machines, networks and protocols differ, so compare down a column and
# not across. The head's time does not depend on the quality that it predicts. That of agreement depends on the code of the
# metric: with this package's, the passes cost the most, for both qualities; with MONAI's surface Dice, the pairs of 15
# samples add a large part of that again. `python benchmarks/table1.py` measures it in full.
#
# ## What follows, and what does not
#
# Answer these from *your* tables, in this order:
#
# 1. Is `adversarial` better than `plain`? That is the paper's claim, on this data.
# 2. Is it better than `plain-2b` and `replay`? If not, more images or seeing them twice may be all there is to it.
# 3. Is it better than `random-direction`? If not, the direction is not what helps here; look at the true drops before you
#    say why.
# 4. Is it better than `strong-augmentation`? If not, a library call would have done.
# 5. How far is it from `oracle-augmentation`, and from `agreement-15`, which pays with 15 passes?
# 6. Is it below the constant's MAE?
#
# What never follows from one run of this lesson: anything about another segmenter, about another kind of shift, or about
# real scanners from a phantom. [The study](../docs/results/controls.md) has several seeds.
#
# ## Summary
#
# * Two methods that differ in four things explain nothing; a control removes one of them at a time.
# * Report the paired difference with its interval, over subjects and seeds, and the number of comparisons.
# * An MAE means something next to the MAE of a constant.
# * Check what a perturbation did (size, true drop) before you explain what it was good for.
