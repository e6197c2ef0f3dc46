# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Pretraining: the segmenter that will be judged
#
# <!-- makes: the U-Net, and its quality on each scanner (Figure 2) -->
#
# **After this lesson you can** train the paper's U-Net $f_\theta$ on the source scanner, read the features $z$ from it
# without changing it, and show how its quality falls on other scanners.

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
experiment = run.experiment

# %% [markdown]
# ## The network
#
# The paper uses MONAI's U-Net: depth four, four residual units per level, instance norm, dropout 0.1. The quick profile
# keeps the topology and makes it narrower.

# %%
from advconf_lite.segmenter import build_unet, feature_layer

net = build_unet(run.profile.channels, experiment.num_classes, run.profile.num_res_units)
print(f"{sum(p.numel() for p in net.parameters()):,} weights; z is read at {feature_layer(net)}")

# %% [markdown]
# ## Training
#
# The loss is Dice plus cross-entropy,
#
# $$\mathcal{L}_{seg} = 1 - \frac{2 \sum p\,y}{\sum p + \sum y} - \frac{1}{n} \sum y \log p,$$
#
# with Adam and nnU-Net's default augmentations. If the run's folder holds trained weights, they are read instead.
#
# **Before you run the next cell:** will the loss on *training* images be higher or lower than on *validation* images?
# (Only training images are augmented, and only in training is dropout switched on.)

# %%
segmenters = {seed: run.segmenter(seed) for seed in segmenter_seeds}

# %%
from advconf_lite.figures.style import show
from advconf_lite.figures.training import learning_curves

history = run.history()
history = history[(history["stage"] == "segmenter") & history["segmenter_seed"].isin(segmenter_seeds)]
if len(history):
    figure = learning_curves(history, stage="segmenter")
    show(figure, "U-Net training: loss on augmented training and clean validation images (left), validation Dice (right).")
else:
    print("This network came with its weights: nothing was trained, and there are no curves to see.")

# %% [markdown]
# Where the training loss lies above the validation loss, augmentation and dropout are the reason: they make training
# images harder. The weights that are kept are those with the lowest validation loss.
#
# ## The tap
#
# A forward hook reads $z$ while the image passes. Autograd records only the way from $x$ to $z$, and only if $x$ asks for
# a gradient; that is what Algorithm 1 will need.

# %%
segmenter = segmenters[segmenter_seeds[0]]
x = experiment.test.images[:4].to(run.device)
logits, z = segmenter(x)
print("x", tuple(x.shape), " logits", tuple(logits.shape), " z", tuple(z.shape))
print("graph to z without a request:", z.requires_grad, " with one:", segmenter(x.requires_grad_())[1].requires_grad)

# %% [markdown]
# ## Quality $g$ per scanner (the paper's Figure 2)
#
# *Dice* measures the overlap, *surface Dice* the share of both outlines that lies within a tolerance of the other one.
# A class that is in neither mask counts as 1, a class that is in only one counts as 0.
#
# **Before you run the next cell:** which scanner of lesson 01 looked most unlike the source? Write down your guess for
# its median Dice.

# %%
from advconf_lite.course.tables import quality_table

print(f"tolerance of the surface Dice: {run.quality('surface_dice').tolerance:g} mm")
table = quality_table(run, segmenters)
table.groupby(["domain", "quality"], sort=False)["true_score"].agg(["median", "std"]).round(3).unstack()

# %%
from advconf_lite.figures.scores import figure2

figure = figure2(table, experiment.slices.source_domain)
show(figure, "True Dice and surface Dice per domain: the source's held-out subjects first, then the target scanners.")

# %% [markdown]
# Two spreads matter later. *Within* a domain, quality varies from slice to slice: that is what a confidence head must
# rank. *Between* domains, whole distributions move: there the head has to extrapolate.
#
# ## Summary
#
# * The segmenter is trained on the source scanner only, and frozen from here on.
# * $z$ is read by a hook; the network's weights and output stay as they are.
# * Without a ground truth, none of the scores above would be known. Predicting them is the next lesson.
