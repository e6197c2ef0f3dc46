# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · Adversarial training: a head that gives grades, fooled and taught
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [02 pretraining](02_pretraining.ipynb) ·
# Next: [04 evaluation across scanners](04_evaluation_across_scanners.ipynb)
#
# **To read:** about 28 minutes; exercises and widgets come on top. **To run:** 60 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 1200 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/03_adversarial_training.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/03_adversarial_training.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/03_adversarial_training.ipynb
# <!-- end -->
#
# <!-- makes: the heads, and what their grades are worth; one step of Algorithm 1 by hand (Figures 1 and 4) -->
#
# **The question:** can a small network grade the work of another one, and does it know what really harms that work?
#
# **After this lesson you can**
#
# * train a head that predicts the quality of a segmentation, and say where its grades fail,
# * fool such a head, and measure that you did,
# * write one step of Algorithm 1 by hand,
# * tell from a training history whether the loop has aligned.

# %% tags=["setup", "hide-input"]
# Where the course is installed, this cell does nothing. Elsewhere (Colab, Kaggle, a lone notebook) it
# installs the course and what that lacks; no package that is there already gets another version.
import importlib.util
import site
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("advconf_lite") is None:
    clones = [f for f in Path.cwd().parents if (f / "advconf_lite" / "course").is_dir()]
    wheels = sorted(Path.cwd().glob("advconf_lite-*.whl"))
    online = ["git+https://github.com/_owner_/advconf-lite"]
    source = ["-e", clones[0]] if clones else wheels[-1:] or online
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *source]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise ImportError(f"pip could not install {source[-1]}: {done.stderr.strip()[-300:]}")
    site.main()  # see what has been installed since this kernel was started
    importlib.invalidate_caches()
    importlib.import_module("advconf_lite.course.set_up").install_missing()

# %% tags=["parameters", "pipeline"]
data: str = "phantom:prostate"  # phantom:prostate, phantom:cardiac or a slice-set folder
profile: str = "quick"  # smoke (seconds), quick (minutes), medium (hours), full, paper (GPU)
out: str = ""  # the run's folder; "" is runs/DATA-PROFILE, as runs/prostate-quick
use: str = "train"  # train what the folder lacks; or shipped: what the course brings along (quick, Dice)
quality: str = "dice"  # qualities g to predict, separated by spaces
methods: str = "plain adversarial agreement-2 agreement-15"  # separated by spaces
segmenter_seeds: list = [0]  # of the U-Net; more for intervals; the stored outputs are of [0, 1, 2]
head_seeds: list = [0]  # of the confidence head; more for intervals; the stored outputs are of [0, 1, 2]

# %%
from advconf_lite.course.lessons import start

run = start(data, profile, out, quality, methods, use)
segmenter = run.segmenter(segmenter_seeds[0])

# %% [markdown]
# The next cell trains the heads that the run lacks, side by side. It is the longest one of this lesson; read on while it
# works.

# %%
from advconf_lite.course.grades import judges

seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]
heads = {pair: run.heads(*pair) for pair in seeds}
name, shown = run.qualities[0], judges(run)
title = run.quality(name).measure.title
if not shown:
    print("This run has no trained head, so the parts about its grades show nothing.")

# %% [markdown]
# ## 1. Grades that were not worth it
#
# On each of the scanners below a network has drawn an outline, and a **head** has given it a **grade**, its estimate of
# the quality, without knowing the truth. These are the slices that it promised too much about, the worst of each scanner.
# (What is drawn and printed below is of the first pair of seeds, where nothing else is said.)

# %%
from advconf_lite.course.grades import over_promised, rows_of
from advconf_lite.figures.outlines import one_subject_all_scanners
from advconf_lite.figures.style import show

experiment, source = run.experiment, run.experiment.slices.source_domain
if shown:
    predictions = {pair: run.predict_heads(*pair) for pair in seeds}[seeds[0]]  # of all pairs, for the table in section 3
    graded = rows_of(predictions, shown[0], name)
    judging = {key: head for key, head in heads[seeds[0]].items() if key[0] in shown[:2]}
    worst = over_promised(run, segmenter, judging, graded)
    figure = one_subject_all_scanners(worst, experiment.class_names, experiment.spacing_mm, title)
    show(figure, f"Promised and not kept: the true {title}, and below it the grade by each head.")

# %% [markdown]
# Nothing in the grade says that something is wrong. How does a head come to such grades?
#
# ## 2. Freeze, tap, regress
#
# The segmenter has been trained in [lesson 02](02_pretraining.ipynb), which draws both networks, and is now frozen. The
# head reads features inside of it and predicts one number for each class. That is a regression like any other.
#
# In the paper's symbols: the segmenter $f_\theta$ gives a mask $\hat y = f_\theta(x)$ and features $z = z_\theta(x)$. The
# head's grade is $\hat s = C_\phi(z)$, and it is trained with the squared error against the quality $s = g(\hat y, y)$.
# In code `segmenter(x)` returns `(logits, z)`; the mask is the largest logit of each pixel.
#
# **Exercise.** Write the training step. The network that is judged must stay as it is.

# %% tags=["exercise"]
import torch


### BEGIN SOLUTION
def plain_step(segmenter, head, optimizer, x, s):
    with torch.no_grad():
        z = segmenter(x)[1]
    loss = (head(z) - s).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


### END SOLUTION

# %%
from advconf_lite.course.teach import check, choose, guess, mine_or_ours, reveal

check("plain_step", plain_step)

# %% [markdown]
# With this step you train a head of your own, for as many steps as the run's warm-up has (100 batches in the paper).

# %%
from advconf_lite.experiment.heads import untrained_head

settings, train, g = run.settings, experiment.train, run.quality("dice")
mine = untrained_head(run, segmenter, "dice", 0).to(run.device).train()
optimizer = torch.optim.Adam(mine.requires_grad_(True).parameters(), lr=settings.head_lr)
step, losses_seen = mine_or_ours("plain_step", plain_step), []
pick = torch.Generator().manual_seed(0)
for _ in range(max(1, settings.warmup_batches)):
    rows = torch.randint(len(train), (settings.batch_size,), generator=pick)
    x, y = train.images[rows].to(run.device), train.masks[rows].to(run.device)
    losses_seen.append(step(segmenter, mine, optimizer, x, g(segmenter.masks(x), y)))
print(f"{len(losses_seen)} steps: loss {losses_seen[0]:.3f}, then {losses_seen[-1]:.3f}")

# %% [markdown]
# The loss falls at once, since most of it is the level of the scores. Keep this head, `mine`: it is where Algorithm 1
# begins.
#
# ## 3. Fine at home, over-promising abroad
#
# A finished `plain` head has seen clean images of the source scanner only. **Guess first:** on the scanner where the
# network does worst, how far from the truth is its grade on average? That is the mean absolute error, MAE, from 0 to 1.

# %%
guess("mae_on_the_worst_scanner", None, within=(0, 1))

# %%
from advconf_lite.figures.promises import broken_promises, promises

if shown:
    figure = promises(predictions, name, shown[:1], source)
    show(figure, f"Grade against truth, by `{shown[0]}`. Red: promised 0.2 more than there was.")
    broken = broken_promises(graded[graded["domain"] != source])
    print(broken["domain"].value_counts().rename("broken promises").to_string())

# %% [markdown]
# On the dashed line a grade is right. Above it, in the red zone, a mask is released that somebody would have had to look
# at. ($r$ is the correlation over all targets together; [lesson 04](04_evaluation_across_scanners.ipynb) is about such
# numbers.)

# %%
if shown:
    error = (graded["predicted_score"] - graded["true_score"]).abs()
    error = error.groupby(graded["domain"]).mean()
    hardest = graded.groupby("domain")["true_score"].mean().idxmin()
    print(f"{shown[0]}: MAE {error.get(source, float('nan')):.3f} on the source, {source}")
    reveal("mae_on_the_worst_scanner", error[hardest])

# %% [markdown]
# Is that much? Compare it with what needs no head at all: promise the same for every slice, the mean score of source
# validation.
#
# **Exercise.** The MAE of this constant, for the scanner of your guess.

# %%
from advconf_lite.course.grades import scores_of

val_scores = scores_of(run, segmenter, experiment.val, name)
parts = experiment.evaluated()
means = {domain: scores_of(run, segmenter, part, name) for domain, part in parts.items()}
target_scores = min(means.values(), key=lambda scores: scores.mean())

# %% tags=["exercise"]
### BEGIN SOLUTION
floor = abs(val_scores.mean() - target_scores).mean()
### END SOLUTION

# %%
check("constant_mae", floor, val_scores=val_scores, target_scores=target_scores)

# %%
from advconf_lite.course.tables import chosen_metrics
from advconf_lite.evaluation.text import mae_floor

metrics = chosen_metrics(run, seeds) if shown else None
floors = metrics[metrics["method"].isin([*shown, "constant"])] if shown else None
mae_floor(floors, source).T if shown else None

# %% [markdown]
# The MAE on all targets (over the pairs of seeds of this lesson's parameters). A head that is not below `constant` gives
# numbers that are, as they stand, no better than a constant. Its *order* may still be useful.
#
# Why does the grade not fall? Look at what a head has learned from, and at what it is asked to grade.

# %%
import numpy as np

from advconf_lite.figures.training import training_scores

abroad = [scores for domain, scores in means.items() if domain != source]
groups = {"source, training": scores_of(run, segmenter, train, name), "source, test": means[source]}
groups |= {"targets": np.concatenate(abroad)} if abroad else {}
show(
    training_scores(groups, name, "a slice"),
    f"True {title}: what heads learn from (above), and what they are asked about.",
)
for group, values in groups.items():
    print(f"{group}: {np.mean(values < 0.5):.0%} below 0.5")

# %% [markdown]
# A regression trained on high scores has seldom seen a low one, and has to extrapolate. That is the premise of the paper:
# the head "needs to extrapolate beyond the training range of its outputs". The phantom prostate fulfils it. It is no law:
# on the phantom heart, a class that is missing in the truth makes a second, lower peak on the source as well
# ([lesson 02](02_pretraining.ipynb) has more on it).
#
# A multiple choice: put the letter of your answer in place of `None`, and run the cell again.

# %%
choose("grade_above_one", None)

# %% [markdown]
# ## 4. Fool the head
#
# A head has a gradient, $\nabla_x C_\phi(z_\theta(x))$: the change of the *image* to which its grade answers most. So we
# can ask the head what it is afraid of. We change the source's test images against that gradient, as far as lowers the
# grade of validation images by 0.05 on average. (Algorithm 1 will ask for twice that, $\Delta_s = 0.1$; your head of a few
# steps would need large changes for it.)
#
# **Guess first:** the grade falls by about 0.05. How much of the true Dice is lost with it, on average?

# %%
guess("dice_lost_while_the_grade_falls", None, within=(-1, 1))

# %%
from advconf_lite.course.probing import effects, losses

half = settings.delta_s / 2
fallen = losses(run, segmenter, mine, "dice", half)
grade, dice = fallen.predicted_drop.mean().item(), fallen.true_drop.mean().item()
print(f"{len(fallen.size)} test slices: the grade falls by {grade:.3f}, the Dice by {dice:.3f}")
reveal("dice_lost_while_the_grade_falls", dice)

# %%
from advconf_lite.figures.images import figure4

middle = int(fallen.true_drop.argsort()[len(fallen.size) // 2])  # neither best nor worst
effect, fooled = effects(run, segmenter, {("mine", "dice"): mine}, "dice", middle, half)["mine"]
names, spacing = experiment.class_names, experiment.spacing_mm
figure = figure4(effect.x[0][0, 0], effect.y_hat[0][0], {"your head": fooled}, names, spacing)
show(figure, "Your head and a typical slice: what the head fears, and what it does to the outline.")

# %% [markdown]
# As far as the second number stays below the first, the head was fooled: it answers to something that moves the outline
# less than it fears. That is where the paper begins, too: the actual difference "is very low initially", which "shows that
# it lacks an understanding of which deviations from the input distribution lead to a deterioration of segmentation
# quality".
#
# Now it is your turn. Choose a slice, a head, a direction and a size. Two bars: what the head *believes* to have lost, and
# what *was* lost.

# %%
from itertools import product

from advconf_lite.course.widgets.fooling import fool_the_segmenter, heads_to_fool

victims = heads_to_fool(run, segmenter, *seeds[0])
victims |= {f"yours, step {len(losses_seen)}": mine} if name == "dice" else {}
fooling = fool_the_segmenter(run, segmenter, victims)

# %% [markdown]
# **Challenge 1.** Make the grade of a *trained* head (the number of an untrained one is no grade) fall by 0.1 while the
# quality stays (within 0.02). Use the controls, or `fooling.move` with any of them: `slice`, `head`, `size` from 0 to
# 0.15, and `direction`: "head's gradient", "random", "phase-shuffled" or "segmenter's own loss".

# %% tags=["exercise"]
### BEGIN SOLUTION: the grade falls and nothing is lost, as by fooling.move(slice=2, head=..., direction=..., size=0.03)
trained_first = sorted(victims, key=lambda victim: victim == "untrained")
for victim, nth, amount in product(trained_first, range(1, len(fooling.cases) + 1), (0.05, 0.07, 0.1)):
    fooling.move(slice=nth, head=victim, direction="head's gradient", size=amount)
    if fooling.grade_lost >= 0.1 and fooling.quality_lost <= 0.02:
        break
### END SOLUTION

# %%
check("fool_the_head", fooling.answer)

# %% [markdown]
# **Challenge 2.** Make the quality fall by 0.1 while the grade stays (within 0.02): a failure without a sign.

# %% tags=["exercise"]
### BEGIN SOLUTION: something is lost and the grade stays, by fooling.move(...) or the controls
finished = shown[-1] if shown else "untrained"
for other, dose in product(range(1, len(fooling.cases) + 1), (0.01, 0.03, 0.1)):
    fooling.move(slice=other, head=finished, direction="segmenter's own loss", size=dose)
    if fooling.quality_lost >= 0.1 and fooling.grade_lost <= 0.02:
        break
### END SOLUTION

# %%
check("fool_the_segmenter", fooling.answer)

# %% [markdown]
# How hard challenge 1 is depends on head and slice: try `plain` and `adversarial` on several. For challenge 2 there is a
# direction that no head was trained on, in which the segmenter's own loss rises. Keep this in mind when you read "robust".
#
# How large is such a change? **Exercise.** The size of a perturbation, relative to the image, for each image of a batch.


# %% tags=["exercise"]
### BEGIN SOLUTION
def relative_size(delta, x):
    return delta.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)


### END SOLUTION

# %%
check("relative_size", relative_size)

# %% [markdown]
# ## 5. Teach it: Algorithm 1
#
# The idea in words. Ask the head which change of the image it fears. Make that change. Look at what the segmenter really
# does with it, and put the changed image, with its *true* score, into the next batch. If the fear was idle, the head
# unlearns it; if it was justified, the head has seen a low score, which the source scanner would not have shown. Then ask
# again.
#
# Below is the paper's Algorithm 1 in our typesetting, its lines counted as in the paper's text; $i$ counts the steps of
# the loop, and $\epsilon_\Delta$ is by how much the predicted drop misses $\Delta_s$. On the right is the code that does
# each line, but for the two that you will write.

# %%
from advconf_lite.course.listing import algorithm1

algorithm1(covered=(20, 21))

# %% [markdown]
# Two things are not as in the listing. Line 19 is done before line 16, from one graph: the paper's text allows it ("we can
# retain the same computation graph", section 3.2), and its published code does it. And before the loop there is a warm-up
# of plain steps (section 3.2, too).
#
# ### One step, unrolled
#
# We go through the lines once by hand, from your head of the warm-up. Line 8: a clean batch passes the segmenter, which
# keeps the graph from $x$ to $z$.

# %%
import copy

head = copy.deepcopy(mine).train()
optimizer = torch.optim.Adam(head.parameters(), lr=settings.head_lr)
B = min(settings.batch_size, max(1, len(train) // 2))  # of a single slice, both halves are the same
x, y = (tensor[:B].to(run.device) for tensor in train.pair())
x.requires_grad_()
logits, z = segmenter(x)
s = g(logits.argmax(1), y)  # (B, classes)

# %% [markdown]
# Line 9: the adversarial half comes from a buffer that the step before has filled. In the very first step it holds images
# as they are (line 6); here we take the next images of the training set.

# %%
first = min(B, len(train) - B)
x_adv, y_adv = (tensor[first : first + B].to(run.device) for tensor in train.pair())
with torch.no_grad():
    logits_adv, z_adv = segmenter(x_adv)
s_adv = g(logits_adv.argmax(1), y_adv)

# %% [markdown]
# Lines 13 to 15: the head sees all $2B$ features in one call. Its batch norm scales features by mean and spread of the
# batch at hand, so both halves are scaled alike.

# %%
before = copy.deepcopy(head.state_dict())  # to compare with the core's step below
s_hat = head(torch.cat([z, z_adv]))
loss = (s_hat - torch.cat([s, s_adv])).square().mean()
print(f"{2 * B} images, loss {loss.item():.3f}: a typical error of {loss.item() ** 0.5:.2f}")

# %% [markdown]
# Line 19, and then line 16: the gradient of the predicted scores with respect to the *image*, and the update of $\phi$,
# and of $\phi$ alone. Both use one graph, so it is kept after the first. A head has a grade for each class; what is to
# fall is their mean or their sum, as `settings.objective` says.

# %%
scores = s_hat[:B].mean(1) if settings.objective == "mean" else s_hat[:B].sum(1)  # over classes
gradient = torch.autograd.grad(scores.sum(), x, retain_graph=True)[0]
optimizer.zero_grad()
loss.backward(inputs=list(head.parameters()))
optimizer.step()

# %% [markdown]
# Line 21: a step against the gradient of each image, divided by the squared norm of *that* image's gradient.
#
# $$\delta = -\alpha \, \frac{\nabla_x}{\lVert\nabla_x\rVert^2 + \epsilon}, \qquad x' = x + \delta .$$
#
# **Exercise.** Write it, for a batch of gradients.


# %% tags=["exercise"]
### BEGIN SOLUTION
def line_21(gradient, alpha, eps):
    squared = gradient.flatten(1).square().sum(1)[:, None, None, None]  # of each image
    return -alpha * gradient / (squared + eps)


### END SOLUTION

# %%
check("line_21", line_21)
delta = mine_or_ours("line_21", line_21)(gradient, settings.alpha, settings.eps)
x_prime = (x + delta).detach()  # line 23: into the buffer, with y
size = mine_or_ours("relative_size", relative_size)(delta, x.detach())
print(f"||delta|| / ||x||: {size.min():.3f} to {size.max():.3f}")

# %% [markdown]
# Why the *squared* norm? If $C_\phi$ were linear, the grade would fall by
# $\nabla_x \cdot \delta = -\alpha \lVert\nabla_x\rVert^2 / \lVert\nabla_x\rVert^2 = -\alpha$: by the same amount for every
# image. Is it that linear?

# %%
from advconf_lite.course.probing import apply_delta, head_delta

asked = head_delta(segmenter, mine, x.detach(), settings.alpha, settings)
fall = apply_delta(segmenter, mine, x.detach(), y, asked, g).predicted_drop.mean().item()
print(f"alpha asked for a fall of {settings.alpha:g}; the grade falls by {fall:.3f} on average")

# %% [markdown]
# (Measured with your head as it is used, with a batch norm that scales by what training has averaged.) Where the two
# differ, the head is not linear along that way, and line 20 has to make up for it.
#
# The core does all of this in one call. The assertion compares the head's weights and the images.

# %%
from advconf_lite.adversarial import segment
from advconf_lite.head_training import new_algorithm

twin = copy.deepcopy(head)
twin.load_state_dict(before)
algorithm = new_algorithm(twin, g, settings)
algorithm.x_adv, algorithm.y_adv = x_adv, y_adv  # ADV_BUFFER
algorithm.step(segmenter, segment(segmenter, x, y, gradient=True))

torch.testing.assert_close(algorithm.x_adv, x_prime)
for own, core in zip(head.state_dict().values(), twin.state_dict().values()):
    torch.testing.assert_close(own, core)
print("the unrolled step and the core's step agree")

# %% [markdown]
# Line 20 needs two steps, for $C_\phi(z')$ is known only when $x'$ has passed the segmenter, in the next one:
#
# $$\epsilon_\Delta = C_\phi(z) - C_\phi(z') - \Delta_s, \qquad \alpha \leftarrow \alpha - \eta \, \epsilon_\Delta .$$
#
# **Exercise.** Write it, with the mean over all images. `before` is $C_\phi(z)$ of the images that $x'$ was made from, at
# that time; `after` is $C_\phi(z')$; `now` is $C_\phi(z)$ of the present clean batch. One of the three is not needed.


# %% tags=["exercise"]
### BEGIN SOLUTION
def line_20(alpha, eta, delta_s, before, after, now):
    return alpha - eta * ((before - after).mean().item() - delta_s)


### END SOLUTION

# %%
check("line_20", line_20)
clean = segment(segmenter, x_adv, y_adv, gradient=True)  # the clean half of the second step
perturbed = segment(segmenter, algorithm.x_adv, algorithm.y_adv)
with torch.no_grad():
    second = twin(torch.cat([clean.z, perturbed.z]))
known = (settings.alpha, settings.eta, settings.delta_s, s_hat[:B].detach(), second[B:], second[:B])
new = mine_or_ours("line_20", line_20)(*known)
algorithm.step(segmenter, clean)
print(f"alpha {settings.alpha:g} -> {new:.5f}; by the core {algorithm.alpha:.5f}")

# %%
algorithm1(20, 21)  # the code that was covered

# %% [markdown]
# A controller of one number: if the predicted drop is larger than $\Delta_s$, the next perturbations are smaller. It looks
# at the *predicted* drop alone. Nothing in lines 20 and 21 knows the truth; that comes in through $s$ in line 13.
#
# ### Take the adversary out
#
# To know what the adversarial images are good for, we need the same training without them: every image twice, as often and
# in the same order, and none changed. The course calls this control `replay`.

# %% tags=["exercise"]
### BEGIN SOLUTION
still = {"alpha": 0.0, "eta": 0.0}
### END SOLUTION

# %%
from dataclasses import replace

check("replay_settings", still)
calm = replace(settings, **mine_or_ours("replay_settings", still))
loop = new_algorithm(copy.deepcopy(mine).train(), g, calm)
for images, masks in ((x.detach(), y), (x_adv, y_adv)):
    loop.step(segmenter, segment(segmenter, images, masks, gradient=True))
torch.testing.assert_close(loop.x_adv, x_adv)
print(f"alpha {loop.alpha:g}; the buffer holds the images as they are")

# %% [markdown]
# So `replay` is no other method, but Algorithm 1 with its perturbation at zero. What a head gains over `replay` is the
# gain by the perturbations; what it gains over `plain` may be that of seeing every image twice.
# [Lesson 06](06_ablations_and_controls.ipynb) makes use of it.
#
# ## 6. Does the loop align?
#
# `adversarial` is Algorithm 1 after a warm-up; `plain` started from the same weights and saw the same clean batches in the
# same order. The run trains shorter than the paper, whose heads get up to 10,000 steps:

# %%
import pandas as pd

from advconf_lite.settings import Settings

keys = ["batch_size", "head_lr", "warmup_batches", "alpha", "eta", "delta_s", "objective"]
both = {"paper": Settings.paper(), "this run": settings}
pd.DataFrame({which: [str(getattr(of, key)) for key in keys] for which, of in both.items()}, keys)

# %% [markdown]
# **Guess first:** the *predicted* drop is kept near $\Delta_s$. How large is the *true* drop of the score in the first
# tenth of the loop's steps, and how large in the last tenth?

# %%
guess("true_drop_at_first", None, within=(-1, 1))
guess("true_drop_at_last", None, within=(-1, 1))

# %%
from advconf_lite.course.tables import alignment_table
from advconf_lite.figures.training import figure1

history = run.history()
history = history[(history["stage"] == "head") & history["quality"].isin(run.qualities)]
of_seeds = history["segmenter_seed"].isin(segmenter_seeds) & history["head_seed"].isin(head_seeds)
history = history[of_seeds]
aligned = alignment_table(history, settings.delta_s)
if len(aligned):
    caption = "As the paper's Figure 1, on the first U-Net: predicted and true drop, a marker per head seed; right, alpha."
    show(figure1(history[history["segmenter_seed"] == segmenter_seeds[0]], settings.delta_s), caption)
else:
    print("This run has no adversarial steps: add adversarial to the methods to see them.")

# %%
if len(aligned):
    reveal("true_drop_at_first", aligned["true_drop, first"].iloc[0])
    reveal("true_drop_at_last", aligned["true_drop, last"].iloc[0])
    for line in aligned.to_dict("records"):
        share, steps = line["last true drop / delta_s"], line["steps to half of delta_s"]
        when = f"half of it after {steps:g} steps" if steps == steps else "never half of it"
        seed = f"{line['quality']}, segmenter {line['segmenter_seed']:g}, head {line['head_seed']:g}"
        print(f"{seed}: at last {share:.0%} of delta_s, {when}")
    reached = (aligned["last true drop / delta_s"] >= 0.5).sum()
    print(f"{reached} of {len(aligned)} heads end with at least half of delta_s")

# %% [markdown]
# Blue curves are what a head believes, black ones what is true; the two of one head have the same marker. Where black
# stays far below blue, the head is fooled by its own perturbations. Where they meet, the loop has **aligned**: what the
# head fears is what harms the segmenter. We say so from a true drop of $0.5\,\Delta_s$ on; the paper gives no number.
#
# The paper's claim, as what it is: "After a few dozen iterations, our feedback loop successfully aligns the predictor with
# the actual behavior of the segmentation network", of five runs on real images. Ours, on phantoms, in the study of
# [these pages](../docs/results/alignment.md) with the quick profile: of the prostate's Dice heads
# 8<!--=alignment:prostate/dice/3:late_at_least_0.5--> of 9<!--=alignment:prostate/dice/3:heads--> reach half of $\Delta_s$
# in the last tenth of their steps, and of the heart's 2<!--=alignment:cardiac/dice/3:late_at_least_0.5--> of
# 9<!--=alignment:cardiac/dice/3:heads-->. What came out here, and after how many steps, is in the lines above. The paper's
# "iterations" are not these steps: in its published logs that axis counts epochs of 100 batches, so "a few dozen" are some
# thousand optimiser steps. One head seed may align where another does not.
#
# On the right, $\alpha$ keeps moving: the head changes, and so does the step that lowers its grade by $\Delta_s$. Paper
# and quick profile begin at different values, 0.8 and 0.1; neither stays where it began.

# %%
choose("low_loss", None)

# %% [markdown]
# ## 7. What it has seen
#
# The other half of the paper's argument is that perturbation "widens the value range of quality metrics that are observed
# during training". **Guess first:** 5 % of the clean training images have a score below the dashed line of the next
# picture's upper row. Where is that line for the perturbed ones?

# %%
guess("fifth_percentile_of_perturbed_images", None, within=(0, 1))

# %%
from advconf_lite.course.lessons import seen_scores

for each in run.qualities:
    if not all(run.seen_path("adversarial", each, *pair).exists() for pair in seeds):
        print(f"This run has no adversarial head for {each}, so no perturbed images were seen.")
        continue
    seen = seen_scores(run, "adversarial", each, seeds)
    words = f"True {run.quality(each).measure.title} of the images in training"
    show(training_scores(seen, each), f"{words}, clean and perturbed.")
    low = {half: np.nanpercentile(values, 5) for half, values in seen.items()}
    print(f"5th percentile: clean {low['clean']:.2f}, perturbed {low['perturbed']:.2f}")
    if each == name:
        reveal("fifth_percentile_of_perturbed_images", low["perturbed"])

# %% [markdown]
# ("Clean" are the training images as a head sees them, augmented, over all steps and seeds; so it is not quite the
# histogram of section 3.) Two things can widen a range: the bulk moves down, or the tail gets longer. See which of them
# happens here. Then look back at the targets in section 3: how much of what is asked there has been seen here?
#
# ## 8. What the perturbations look like
#
# The paper's Figure 4 shows one slice of M&Ms-2 and two heads. Both believe that their perturbation does harm: one grade
# falls from 0.94 to 0.87, the other one from 0.92 to 0.70. The true Dice falls from 0.90 to 0.81 by the perturbation of
# the head with adversarial training, and stays at 0.90 by that of the head without. The two grades fall by different
# amounts there. Here each head gets the $\alpha$ at which *its* grades fall by $\Delta_s$ on average.

# %%
from advconf_lite.course.lessons import pick_slice

row = pick_slice(run, segmenter)
found = effects(run, segmenter, heads[seeds[0]], name, row)
if found:
    effect = next(iter(found.values()))[0]
    pictures = {f"{method} head": case for method, (_, case) in found.items()}
    figure = figure4(effect.x[0][0, 0], effect.y_hat[0][0], pictures, names, spacing)
    show(figure, "In the manner of the paper's Figure 4: what each head fears, and what that does.")
    slice_lost = {method: case.true[0] - case.true[1] for method, (_, case) in found.items()}
    print(f"{title} lost:", {method: round(value, 2) for method, value in slice_lost.items()})
    if {"plain", "adversarial"} <= slice_lost.keys():
        as_there = slice_lost["adversarial"] > slice_lost["plain"]
        print("The adversarial head's does more harm, as in the paper's slice." if as_there else
              "The adversarial head's does no more harm: not as in the paper's slice.")  # fmt: skip

# %% [markdown]
# Read the sizes below the perturbations as well: a larger one does more harm. And one slice proves nothing. Here are more,
# from the one that gained most to the one that lost most, with the last head of the figure above; the slice of that figure
# is framed.

# %%
from advconf_lite.course.probing import over_the_range
from advconf_lite.figures.images import perturbed_slices

if shown:
    lost = losses(run, segmenter, heads[seeds[0]][shown[-1], name], name)
    cases, marked = over_the_range(lost, row)
    figure = perturbed_slices(cases, names, spacing, marked)
    show(figure, f"Source test slices perturbed by `{shown[-1]}`, by what was truly lost.")
    both = [drop.mean().item() for drop in (lost.predicted_drop, lost.true_drop)]
    print("mean of {} slices: believed {:.3f}, lost {:.3f}".format(len(lost.size), *both))

# %% [markdown]
# The mean over all test slices, for each head. The last column is the control: a random direction of the same size.
# **Before you run it:** by the line of section 6, half of $\Delta_s$, is the `plain` head aligned, too?

# %%
from advconf_lite.course.probing import fresh_drops

fresh = {(method, name): heads[seeds[0]][method, name] for method in shown}
drops = fresh_drops(run, segmenter, fresh)
drops.drop(columns="quality").set_index("head").round(3) if shown else None

# %% [markdown]
# Grade and quality that fall together mean that the head fears what harms. A `plain` head can do that as well, after
# enough steps. What then differs is the *size*: a head that needs a larger change for the same drop harms by that size,
# and not because it knows better. The fair comparison is along the size:

# %%
from advconf_lite.course.probing import as_it_grows
from advconf_lite.figures.fooling import as_it_grows as growing

fearing = {f"yours, step {len(losses_seen)}": mine} if name == "dice" else {}
fearing |= {method: heads[seeds[0]][method, name] for method in shown}
if fearing:
    grown = as_it_grows(run, segmenter, fearing, name)
    caption = "Along the direction that each head fears: what it believes to lose, what is lost."
    show(growing(grown, title), caption)
    at = grown["size"].max() / 2
    print(f"lost at size {at:g}:", grown[grown["size"] == at].set_index("head")["lost"].round(3).to_dict())

# %% [markdown]
# Coloured above dashed: the head is fooled, it believes more than is lost. Dashed above coloured: more is lost than it
# believes, which is dangerous in another way. Training asks for a drop of $\Delta_s$, so only there can one expect both
# together. Where the dashed curve is steeper, the head has found what harms the segmenter more. In the one slice of the
# paper's Figure 4 the plain head's perturbation "has little effect on the segmentation"; the line above says how it is
# here.
#
# ## 9. On CPU and on GPU
#
# The code is the same; `run.device` says where it runs. A step of Algorithm 1 costs more than a plain step on as many
# images, since the way back from $z$ to $x$ comes on top: 1.45<!--=speed:plain step:ratio--> times, measured with a U-Net
# of the paper's size and images of 256 x 256 on one CPU thread ([how](../docs/results/speed.md)). We have measured no GPU.
# What changes there is the budget: the profile `paper` has larger networks, batches of 32 and up to 10,000 steps. Here,
# now:

# %%
from advconf_lite.course.timings import step_cost

cost = step_cost(run, segmenter, mine)
ratio = cost["adversarial"] / cost["plain"]
print(f"on {run.device}, ms a step:", {which: round(ms) for which, ms in cost.items()})
print(f"ratio {ratio:.2f}")

# %% [markdown]
# ## Summary
#
# * A head is a regression on features of a frozen network. At home it is fine; where the network fails it promises too
#   much, since it has seldom seen a failure.
# * A head can be fooled: its grade falls, and less is lost. And the other way round.
# * Algorithm 1 lets a head make its own hard cases: $\delta = -\alpha \nabla_x / (\lVert\nabla_x\rVert^2 + \epsilon)$ asks
#   for a drop, $\alpha$ adapts until the predicted drop is $\Delta_s$, and the true score of $x'$ teaches.
# * Alignment is read from the *true* drop, not from the loss.
# * Whether this helps on other scanners is another question. The grades of both heads stand side by side in lesson 04.
#
# **Previous:** [02 pretraining](02_pretraining.ipynb). **Next:**
# [04 evaluation across scanners](04_evaluation_across_scanners.ipynb).
#
# **Further reading:** the paper ([proceedings](https://proceedings.mlr.press/v301/lennartz26a.html)), sections 3.1 to 3.4
# and appendix B; Corbière et al. 2019, [ConfidNet](https://arxiv.org/abs/1910.04851), whose idea is adapted (the head
# itself is new); Moosavi-Dezfooli et al. 2016, [DeepFool](https://arxiv.org/abs/1511.04599), whose linearised step of
# least norm line 21 is; Robinson et al. 2018, [quality from image and mask](https://arxiv.org/abs/1806.06244), the head's
# nearest rival, which is not run here.
