# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · Adversarial training: a head that learns what really hurts
#
# <!-- makes: the heads; one step of Algorithm 1 by hand (Figures 1 and 4) -->
#
# **After this lesson you can** write one step of Algorithm 1 by hand, train a plain and an adversarial head, and tell
# from the training history whether the loop has aligned.

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
segmenter = run.segmenter(segmenter_seeds[0])

# %% [markdown]
# ## The head
#
# $C_\phi$ maps the features $z$ to one predicted score per class, $\hat{s} = C_\phi(z)$. It is trained with the mean
# squared error against the true score $s = g(\hat{y}, y)$. The segmenter stays frozen, so this is fast. But on the source
# scanner nearly all scores are high, and low ones are what we want to be warned of.

# %%
import copy

import torch

from advconf_lite.head import ConfidenceHead

settings, experiment = run.settings, run.experiment
torch.manual_seed(0)
head = ConfidenceHead(segmenter.feature_shape(experiment.size), experiment.num_classes - 1).to(run.device)
optimizer = torch.optim.Adam(head.parameters(), lr=settings.head_lr)
print(f"{sum(p.numel() for p in head.parameters()):,} weights")

# %% [markdown]
# A profile of minutes cannot train as the paper does, with up to 10,000 steps. What it does instead: fewer and larger
# steps, and an $\alpha$ that starts near where it will end.

# %%
import pandas as pd

from advconf_lite.settings import Settings

names = ["batch_size", "head_lr", "warmup_batches", "alpha", "eta", "delta_s", "objective"]
pd.DataFrame(
    {"paper": [getattr(Settings.paper(), name) for name in names], "this run": [getattr(settings, name) for name in names]},
    index=names,
)

# %% [markdown]
# ## One step of Algorithm 1, unrolled
#
# The head's own gradient tells which change of the image it *believes* to lower the quality. We make that change, look at
# what it really does, and train on the result. First, a clean batch passes the segmenter. It keeps the graph from $x$ to
# $z$.

# %%
g = run.quality("dice")
B = min(settings.batch_size, max(1, len(experiment.train) // 2))  # of a single slice, both halves are the same
x, y = (tensor[:B].to(run.device) for tensor in experiment.train.pair())
x.requires_grad_()
logits, z = segmenter(x)
s = g(logits.argmax(1), y)  # (B, classes)

# %% [markdown]
# Line 9 (lines are counted as in the paper's text): the adversarial half comes from a buffer that the step before has
# filled. In the very first step it holds images as they are; here we take the next images of the training set,
# unperturbed.

# %%
first = min(B, len(experiment.train) - B)
x_adv, y_adv = (tensor[first : first + B].to(run.device) for tensor in experiment.train.pair())
with torch.no_grad():
    logits_adv, z_adv = segmenter(x_adv)
s_adv = g(logits_adv.argmax(1), y_adv)

# %% [markdown]
# Lines 13-15: the head sees all $2B$ features jointly.

# %%
before = copy.deepcopy(head.state_dict())  # to compare with the core's step below
s_hat = head(torch.cat([z, z_adv]))
loss = (s_hat - torch.cat([s, s_adv])).square().mean()
print(f"loss {loss.item():.3f}")

# %% [markdown]
# Line 19: the gradient of the predicted scores with respect to the image. The graph is kept, because line 16 uses it
# once more to update $\phi$, and $\phi$ alone.

# %%
C = (s_hat[:B].mean(1) if settings.objective == "mean" else s_hat[:B].sum(1)).sum()  # over classes, then images
gradient = torch.autograd.grad(C, x, retain_graph=True)[0]
optimizer.zero_grad()
loss.backward(inputs=list(head.parameters()))
optimizer.step()

# %% [markdown]
# Line 21: one step against the gradient, divided by its squared norm. If $C_\phi$ were linear, the predicted score would
# drop by exactly $\alpha$:
#
# $$\delta = -\alpha \, \frac{\nabla_x}{\lVert\nabla_x\rVert^2 + \epsilon}, \qquad x' = x + \delta .$$

# %%
alpha = settings.alpha
norm2 = gradient.flatten(1).square().sum(1)  # (B,)
delta = -alpha * gradient / (norm2 + settings.eps)[:, None, None, None]
x_prime = (x + delta).detach()  # to be stored in the buffer, with y

# %% [markdown]
# The core does the same in one call. The assertion compares head and images.

# %%
from advconf_lite.adversarial import segment
from advconf_lite.head_training import new_algorithm

twin = copy.deepcopy(head)
twin.load_state_dict(before)
algorithm = new_algorithm(twin, g, settings)
algorithm.x_adv, algorithm.y_adv = x_adv, y_adv  # ADV_BUFFER
row = algorithm.step(segmenter, segment(segmenter, x, y, gradient=True))

# %%
torch.testing.assert_close(algorithm.x_adv, x_prime)
for mine, core in zip(head.state_dict().values(), twin.state_dict().values()):
    torch.testing.assert_close(mine, core)
print("the unrolled step and the core's step agree")

# %% [markdown]
# Line 20, which needs two steps: $\alpha \leftarrow \alpha - \eta\,(C_\phi(z) - C_\phi(z') - \Delta_s)$. If the predicted
# drop is larger than $\Delta_s$, the next perturbation is made smaller.
#
# ## Training both heads
#
# `plain` sees clean images only, `adversarial` runs Algorithm 1 after a warm-up. Both start from the same weights and see
# the same clean batches in the same order.
#
# **Before you run the next cell:** at first, the head knows nothing of what harms the segmenter. Will the *true* drop of
# the score be smaller than, equal to, or larger than the *predicted* one?

# %%
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]
heads = {pair: run.heads(*pair) for pair in seeds}

# %%
from advconf_lite.figures.style import show
from advconf_lite.figures.training import figure1

history = run.history()
history = history[(history["stage"] == "head") & history["quality"].isin(run.qualities)]
history = history[history["segmenter_seed"].isin(segmenter_seeds) & history["head_seed"].isin(head_seeds)]
if (history["method"] == "adversarial").any():
    show(
        figure1(history, settings.delta_s),
        "As the paper's Figure 1: predicted and true drop of the score (left), and alpha (right), by step.",
    )
else:
    print("This run has no adversarial head: add adversarial to the methods to see the loop at work.")

# %% [markdown]
# Compare the two curves on the left. While the true drop stays far below the predicted one, the head is fooled by its own
# perturbations; as they approach, the loop **aligns**: what the head fears is what harms the segmenter. We call it aligned
# from a true drop of $0.5\,\Delta_s$ on. In the 500 steps of the quick profile the heart often gets only part of the
# way. $\alpha$ on the right moves to keep the *predicted* drop near $\Delta_s$.

# %%
from advconf_lite.course.tables import alignment_table

alignment_table(history, settings.delta_s).round(3)

# %% [markdown]
# The table reads the same from the history: the median true drop in the first and in the last tenth of the adversarial
# steps, in units of the score, and the size of the perturbation, $\lVert\delta\rVert / \lVert x\rVert$.
#
# ## A wider range of scores
#
# **Before you run the next cell:** which scores will the adversarial head have seen that the plain head has not?

# %%
from advconf_lite.course.lessons import seen_scores
from advconf_lite.figures.training import training_scores

for name in run.qualities:
    if not all(run.seen_path("adversarial", name, *pair).exists() for pair in seeds):
        print(f"This run has no adversarial head for {name}, so no perturbed images were seen.")
        continue
    seen = seen_scores(run, "adversarial", name, seeds)
    show(
        training_scores(seen, name),
        f"True scores ({name}) of the images in training: compare how low perturbed and clean images reach.",
    )

# %% [markdown]
# Where the perturbed images reach lower, that is half of the paper's argument: perturbation "widens the value range of
# quality metrics that are observed during training". The other half is the alignment.
#
# ## What the perturbations look like (Figure 4)
#
# Each head perturbs the same test slice, with the $\alpha$ at which its *own* predictions on validation images fall by
# $\Delta_s$.

# %%
from advconf_lite.course.lessons import pick_slice
from advconf_lite.course.probing import effects
from advconf_lite.figures.images import figure4

row = pick_slice(run, segmenter)
found = effects(run, segmenter, heads[seeds[0]], run.qualities[0], row)
if found:
    image, mask = next(iter(found.values()))[0].x[0][0], next(iter(found.values()))[0].y_hat[0][0]
    figure = figure4(
        image,
        mask,
        {f"{name} head": case for name, (_, case) in found.items()},
        experiment.class_names,
        experiment.spacing_mm,
    )
    show(figure, "As the paper's Figure 4: the perturbation of each head, and its effect on prediction and segmentation.")
else:
    print("This run has no trained head, so there is none to perturb an image with.")

# %% [markdown]
# One slice proves nothing, so here is the mean over the source's test slices: how much the prediction fell, and how much
# the quality did.

# %%
from advconf_lite.course.probing import fresh_drops

fresh_drops(run, segmenter, heads[seeds[0]]).round(3)

# %% [markdown]
# Read the row of each head from left to right: a head whose true drop is close to its predicted one has learned what
# matters to the segmenter. The last column is the control: a Gaussian direction of the same norm.
#
# ## Summary
#
# * Algorithm 1 costs one extra pass of $B$ images and one gradient a step. The pass of a clean image serves the update
#   and its perturbation; the perturbed image passes in the next step.
# * $\delta = -\alpha \nabla_x / (\lVert\nabla_x\rVert^2 + \epsilon)$ asks for a drop; $\alpha$ adapts until the predicted
#   one is $\Delta_s$.
# * Alignment is read from the *true* drop, not from the loss.
# * Whether all this helps on other scanners is not shown yet. That is lesson 04.
