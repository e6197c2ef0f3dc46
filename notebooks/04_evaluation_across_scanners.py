# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · Evaluation across scanners: does it help?
#
# <!-- makes: correlation, eAURC (excess area under the risk-coverage curve) and MAE, with intervals (Figure 3) -->
#
# **After this lesson you can** compute correlation, eAURC and MAE of a confidence prediction per scanner, give intervals
# that respect subjects, and say what the numbers do and do not support.

# %% tags=["parameters", "pipeline"]
data: str = "phantom:prostate"  # phantom:prostate, phantom:cardiac or a slice-set folder
profile: str = "quick"  # smoke (seconds), quick (minutes on two cores), full, paper (GPU)
out: str = ""  # the run's folder; "" is runs/DATA-PROFILE, as runs/prostate-quick
use: str = "train"  # train what the folder lacks; or shipped: what the course brings along (quick, Dice)
quality: str = "dice"  # qualities g to predict, separated by spaces
methods: str = "plain adversarial agreement-2 agreement-15"  # separated by spaces
segmenter_seeds: list = [0]  # random seeds of the U-Net
head_seeds: list = [0]  # random seeds of the confidence head

# %%
from advconf_lite.course.lessons import start

run = start(data, profile, out, quality, methods, use)
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]

# %% [markdown]
# ## Predictions
#
# Every slice of every scanner is scored once by every head. On the way to a prediction nothing looks at the ground truth.

# %%
import pandas as pd

from advconf_lite.methods.registry import head_methods

score = run.predict_heads if head_methods(run.methods) else run.predict_agreement  # a run may have no head
predictions = pd.concat([score(*pair) for pair in seeds], ignore_index=True)
predictions.groupby(["quality", "method"], sort=False)[["true_score", "predicted_score"]].mean().round(3)

# %% [markdown]
# ## Look before you summarise
#
# **Before you run the next cell:** a head that always predicts the source's mean score would make which picture?

# %%
from advconf_lite.figures.scores import scatter
from advconf_lite.figures.style import show

source = run.experiment.slices.source_domain
shown = [name for name in ("plain", "adversarial") if name in run.methods] or list(predictions["method"].unique())
for name in run.qualities:
    show(
        scatter(predictions, name, shown, source),
        f"Predicted against true {name}, one point per slice; on the dashed line the prediction is right.",
    )

# %% [markdown]
# A constant would be a horizontal line. Points *above* the dashed line are the dangerous ones: the head promises more than
# the segmentation holds.
#
# ## Three numbers
#
# * **Pearson** $r$ between predicted and true score: is the order linear and right?
# * **MAE** $\frac{1}{n}\sum |\hat{s}_i - s_i|$: is the number itself right?
# * **eAURC**, the excess area under the risk-coverage curve: sort by predicted score and accept the best $k$ slices; with
#   risk $1 - s$,
#
# $$\mathrm{AURC} = \frac{1}{n} \sum_{k=1}^{n} \frac{1}{k} \sum_{i \le k} (1 - s_{(i)}), \qquad
#   \mathrm{eAURC} = \mathrm{AURC} - \mathrm{AURC}_{oracle}.$$
#
# It is 0 for a perfect order, and equal predictions count with their expectation under a random order. A tiny case by
# hand: three slices with scores 0.9, 0.5, 0.7, predicted in the right order.

# %%
import numpy as np

from advconf_lite.metrics import aurc, eaurc

true, predicted = np.array([0.9, 0.5, 0.7]), np.array([0.8, 0.1, 0.4])
by_hand = np.mean([0.1, (0.1 + 0.3) / 2, (0.1 + 0.3 + 0.5) / 3])
print(f"AURC {aurc(predicted, true):.4f}, by hand {by_hand:.4f}; eAURC {eaurc(predicted, true):.4f}")

# %% [markdown]
# Slices of one subject resemble each other, so the intervals come from a bootstrap over **subjects**. `constant` predicts
# the mean score of source validation for every image: a head's MAE says something only where it is lower.

# %%
metrics = run.metrics()
metrics = metrics[metrics["method"].isin([*shown, "constant"])]
metrics = metrics[metrics["segmenter_seed"].isin(segmenter_seeds) & metrics["head_seed"].isin([*head_seeds, 0])]
metrics[["domain", "quality", "method", "n_subjects", "pearson", "eaurc", "mae"]].round(3).head(6)

# %% [markdown]
# **Before you run the next cell:** on which scanner do you expect the largest gain from adversarial training? Think of
# lesson 02: where has the quality fallen most?

# %%
from advconf_lite.figures.scores import figure3

figure = figure3(metrics[metrics["method"] != "constant"], source)
show(figure, "As the paper's Figure 3, heads only: Pearson (higher is better), eAURC and MAE (lower is better) per domain.")

# %%
from advconf_lite.evaluation.paired import paired_difference

if shown[:2] != ["plain", "adversarial"]:
    print(f"{shown[1]} minus {shown[0]}:" if shown[1:] else "This run has one method here, and nothing to compare it with.")
paired_difference(predictions, *shown[:2], source).round(3) if shown[1:] else None

# %% [markdown]
# The last table is the comparison itself: adversarial minus plain, averaged over the target scanners, with a 95 %
# bootstrap interval over subjects **and seeds**; both heads are evaluated on the same draw. An interval that contains 0
# does not support a claim in either direction. Read it for *your* run: what there is only one of cannot be drawn, so with
# one segmenter seed it says nothing about another segmenter, and with one head seed nothing about another head. No
# interval is given where every domain has fewer than three subjects.
#
# ## Summary
#
# * A correlation per domain cannot see that a whole domain is judged too well; MAE and the scatter plot can.
# * Intervals resample subjects, not slices; that of a comparison resamples seeds, too, where there are several.
# * One seed is an example. [The phantom study](../docs/results/phantom.md) has three by three.
