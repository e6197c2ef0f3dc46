# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Score agreement: the baseline that pays with time
#
# <!-- makes: the baseline that needs 15 passes -->
#
# **After this lesson you can** compute Monte Carlo score agreement, explain why it ranks but does not estimate, and put
# all methods into one table.

# %% tags=["parameters", "pipeline", "dropout"]
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
segmenter = run.segmenter(segmenter_seeds[0])
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]

# %% [markdown]
# ## The idea
#
# Leave dropout switched on, segment the same image $N$ times, and let the $N$ masks vote on each other (Roy et al. 2018):
#
# $$a = \frac{2}{N (N - 1)} \sum_{i < j} g(\hat{y}_i, \hat{y}_j).$$
#
# Where the masks disagree, the segmentation is probably poor. With $N = 15$ there are 105 pairs.

# %%
from advconf_lite.agreement import monte_carlo_masks
from advconf_lite.course.lessons import pick_slice

row = pick_slice(run, segmenter)
x = run.experiment.test.images[row : row + 1].to(run.device)
masks = monte_carlo_masks(segmenter, x, n=15, seed=0)  # (15, 1, H, W)

# %% [markdown]
# **Before you run the next cell:** MONAI's dropout acts on single elements, also close to the output. Do you expect smooth
# differences between the masks, or speckle?

# %%
from advconf_lite.figures.images import samples
from advconf_lite.figures.style import show

figure = samples(
    x.expand(4, -1, -1, -1).cpu(),
    masks[:4, 0].cpu(),
    [f"sample {i + 1}" for i in range(4)],
    run.experiment.class_names,
    run.experiment.spacing_mm,
)
show(figure, "Four of the 15 dropout samples of one image: the outlines differ a little from sample to sample.")

# %%
from advconf_lite.agreement import score_agreement

for name in run.qualities:
    scores = score_agreement(masks, run.quality(name))  # (1, classes)
    print(name, dict(zip(run.experiment.class_names, scores[0].tolist())))

# %% [markdown]
# ## What it costs
#
# **Before you run the next cell:** how many passes through the network does each method need for one image?

# %%
from advconf_lite.course.timings import cost_table

cost_table(run, segmenter).round(2)

# %% [markdown]
# Times are of your machine; differences of some per cent between rows are its noise. The head adds little to the one
# pass that the segmentation needs anyway, and its time does not depend on the quality that it predicts.
#
# ## All slices, all methods

# %%
import pandas as pd

predictions = pd.concat([run.predict_agreement(*pair) for pair in seeds], ignore_index=True)
heads = pd.concat([run.predict_heads(*pair) for pair in seeds], ignore_index=True)
predictions.groupby(["quality", "method"], sort=False)[["true_score", "predicted_score"]].mean().round(3)

# %% [markdown]
# Agreement is no estimate of the score: compare its mean with the mean true score. It has no MAE, only an order.
#
# **Before you run the next cell:** where should agreement have the advantage over a head that has seen one scanner only?

# %%
from advconf_lite.figures.scores import figure3

metrics = run.metrics()
metrics = metrics[metrics["method"].isin([*run.methods, "constant"])]  # a later lesson may have added others
source = run.experiment.slices.source_domain
show(figure3(metrics, source), "As the paper's Figure 3: all methods per domain; agreement has no MAE.")

# %% [markdown]
# Compare the dots domain by domain, and their whiskers before their places.
#
# ## The table
#
# This is what `python -m advconf_lite run` prints at its end.

# %%
from advconf_lite.evaluation.text import summary_table

print(summary_table(metrics, source))

# %% [markdown]
# ## Summary
#
# * Score agreement needs $N$ passes and all pairs of masks; it ranks, but it does not estimate.
# * A head needs one pass, and predicts the number itself.
# * Which is better where is in the table above, for your run; [several seeds](../docs/results/phantom.md) are on a page.
# * Why one head is better than another is a question for controls. That is lesson 06.
