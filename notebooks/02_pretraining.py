# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Pretraining: a silent failure
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [01 data preparation](01_data_preparation.ipynb) ·
# Next: [03 adversarial training](03_adversarial_training.ipynb)
#
# **To read:** about 16 minutes; exercises and widgets come on top. **To run:** 25 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 800 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/02_pretraining.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/02_pretraining.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/02_pretraining.ipynb
# <!-- end -->
#
# <!-- makes: the U-Net, and its quality on each scanner (Figure 2) -->
#
# **The question:** when a segmenter fails on a new scanner, does it tell you?
#
# **After this lesson you can** read a segmentation by eye and by Dice, and write Dice yourself; say what the paper's
# segmenter $f_\theta$ is, how it is trained, and where its features $z$ are read; read the paper's Figure 2; compare the
# network's own certainty with its quality; and say what a score makes of a class that is not there.
#
# **You need** lesson 01's idea of source and target scanners. If the run's folder has no U-Net yet, it is trained here.

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
segmenter_seeds: list = [0]  # more for intervals; the stored outputs are of [0, 1, 2]
head_seeds: list = [0]  # more for intervals; the stored outputs are of [0, 1, 2]

# %%
from advconf_lite.course.lessons import start

run = start(data, profile, out, quality, methods, use)
experiment, source = run.experiment, run.experiment.slices.source_domain
print(*run.remarks(), sep="\n")

# %% [markdown]
# ## 1. One network, all scanners
#
# The next cell reads the U-Net from the run's folder, or trains it. It sees images of the *source* scanner only. How it is
# trained comes in section 3; first, what it does.
#
# **Guess** (put a number in place of `None`): on its own scanner this network works. Think of the target scanner that is
# worst for it: what is the median Dice there, of all its slices?

# %%
from advconf_lite.course.teach import check, choose, guess, mine_or_ours, reveal

guess("median_dice_on_the_worst_scanner", None, within=(0, 1))

# %%
segmenters = {seed: run.segmenter(seed) for seed in segmenter_seeds}
segmenter = segmenters[segmenter_seeds[0]]

# %%
from advconf_lite.course.silent import on_every_scanner
from advconf_lite.figures.outlines import one_subject_all_scanners
from advconf_lite.figures.style import show

cases, whose = on_every_scanner(run, segmenter)
show(
    one_subject_all_scanners(cases, experiment.class_names, experiment.spacing_mm),
    f"{whose}, the source first: true and predicted outline, and the Dice. Framed: a failure.",
    "A slice per scanner, two outlines each; Dice " + ", ".join(f"{one.true:.2f}" for one in cases),
)

# %% [markdown]
# Most predicted outlines are closed and smooth, those of failures too. In the stored run the network draws the prostate of
# an endorectal scanner at the black hole of the coil, where no tissue is. (The dark spot below the gland at home is the
# rectum.) On another scanner the same patient gets a good outline. You see a failure like that at a glance, if you look;
# *silent* means that the network said nothing, so that somebody would have to look at every image.
#
# ## 2. Truth, prediction, error
#
# One of these slices up close: a failure in which something still overlaps, if there is one.

# %%
from advconf_lite.course.silent import clearest_failure
from advconf_lite.figures.overlays import overlay

case, tolerance = clearest_failure(cases), run.quality("surface_dice").tolerance
pictures = case.image, case.truth, case.prediction
figure = overlay(*pictures, experiment.class_names, experiment.spacing_mm, tolerance)
title = case.title.replace("\n", " ")
show(figure, f"{title}: the pixels of Dice, the boundaries of surface Dice, both formulas.")

# %% [markdown]
# **Dice** counts pixels. TP were drawn rightly (true positive), FP drawn and not there (false positive), FN there and not
# drawn (false negative):
#
# $$\text{Dice} = \frac{2\,TP}{2\,TP + FP + FN} = \frac{2\,|A \cap B|}{|A| + |B|} .$$
#
# The paper calls it *volumetric* Dice, to tell it from the other one. **Surface Dice** counts boundary pixels: the share of
# both outlines that lies within a tolerance of the other one. An outline that is off by less than the tolerance everywhere
# gets 1. Dice forgives much on big organs; surface Dice asks for the border whatever the size. Its tolerance should be how
# far readers differ among themselves. (The published code has 3 pixels: 3 mm on hearts, half as much on prostates.)
#
# Both are of one *slice* here, as in the paper: an area, whatever "volumetric" says. A patient has many slices, the mean of
# their Dice is not the Dice of the volume, and most low scores are at the organ's ends, where it is small.

# %%
pixels = tolerance / experiment.spacing_mm
print(f"tolerance {tolerance:g} mm on pixels of {experiment.spacing_mm:g} mm: {pixels:.1f} pixels")

# %% [markdown]
# (A pixel is about what the grid alone puts an outline off by.) Write Dice yourself, for two masks of True and False.


# %% tags=["exercise"]
def my_dice(a, b):
    ### BEGIN SOLUTION
    both = a.sum() + b.sum()
    value = 2 * (a & b).sum() / both if both else 1.0
    ### END SOLUTION
    return value


check("my_dice", my_dice)

# %%
dice = mine_or_ours("my_dice", my_dice)
for label, name in enumerate(experiment.class_names, start=1):
    value = dice(case.truth == label, case.prediction == label)
    print(f"{name}: Dice {value:.3f} on the slice above")

# %% [markdown]
# ## 3. The network, and where it is read
#
# One drawing for the whole course. Grey is the segmenter $f_\theta$, which is trained here and then frozen. Blue is the
# confidence head $C_\phi$ of lesson 03, which will look at the features $z$ and predict a score $\hat s$.

# %%
from advconf_lite.figures.diagram import network_and_head

show(
    network_and_head(experiment.num_classes - 1),
    "The segmenter, the tap and the head, with the paper's numbers of channels.",
)

# %% [markdown]
# The paper's words and the ones used here:
#
# | in the paper | here | in code |
# |---|---|---|
# | U-Net $f_\theta$ | segmenter | `run.segmenter(0)` |
# | penultimate resolution level features $z_\theta$ | the tap, features $z$ | `logits, z = segmenter(x)` |
# | confidence predictor $C_\phi$ | head | `run.heads()` |
# | true confidence $g$ | quality, true score $s$ | `run.quality("dice")` |
# | volumetric Dice | Dice | `dice` |
# | domain | scanner (hearts) or institution (prostates); here scanner | column `domain` |
#
# The paper uses MONAI's U-Net with 32 initial channels, a depth of four, four residual units per level and a dropout
# rate of 0.1. The quick profile keeps the topology and is narrower. Your run's network:

# %%
x = experiment.test.images[:4].to(run.device)
logits, z = segmenter(x)
print(f"{sum(weight.numel() for weight in segmenter.parameters()):,} weights")
print("image x", tuple(x.shape), " logits", tuple(logits.shape), " features z", tuple(z.shape))

# %% [markdown]
# The shapes are (images, channels, height, width). The U-Net's $z$ has a quarter of the image's height and width.
#
# $z$ is read by a *forward hook*, a function that torch calls when a layer has done its work. The network itself is left as
# it is. Autograd records the way from $x$ to $z$ only if somebody asks for a gradient with respect to $x$:

# %%
asked = segmenter(x.clone().requires_grad_())[1]
print("a way back from z to x:", z.requires_grad, "  after asking for one:", asked.requires_grad)

# %% [markdown]
# Algorithm 1 in lesson 03 will ask, for it changes the *image*. Nobody ever changes $\theta$ again.
#
# ## 4. How it was trained
#
# The loss is Dice plus cross-entropy, as in the paper. With a mean over the $K$ labels $k$, the background among them,
#
# $$\mathcal{L}_{seg} = 1 - \frac{1}{K} \sum_k \frac{2 \sum p_k\,y_k}{\sum p_k + \sum y_k}
# - \frac{1}{n} \sum_k \sum y_k \log p_k .$$
#
# The inner sums are over the $n$ pixels of an image. The middle term is the Dice from above with probabilities $p$ in place
# of a mask, since a mask has no gradient; the background's is nearly 1, so the loss can be below 1 minus the organ's Dice.
# The optimiser is Adam. Training images are augmented as nnU-Net does by default: turned, scaled, noisy, blurred, brighter.
# Those are the usual measures against a domain shift. The paper says so, too; its published code leaves out noise and low
# resolution.
#
# **Guess:** at the end, which loss is higher, that on training or that on validation images? Only training images are
# augmented, and only in training does dropout switch features off.

# %%
guess("higher_loss", None, choices=["training", "validation"])

# %%
from advconf_lite.course.leak import copied_scores
from advconf_lite.figures.training import learning_curves

history = run.history()
history = history[history["stage"] == "segmenter"]
history = history[history["segmenter_seed"].isin(segmenter_seeds)]
if len(history):
    figure = learning_curves(history, stage="segmenter")
    show(figure, "U-Net training: loss, where training images are augmented; and validation Dice.")
    end = history.groupby("segmenter_seed").tail(5)[["loss", "val_loss", "val_dice"]].mean()
    reveal("higher_loss", "training" if end["loss"] > end["val_loss"] else "validation")
    print(f"at the last five validations: loss {end['loss']:.3f} in training, {end['val_loss']:.3f} in validation")
    print(f"mean Dice of validation slices, split by subject: U-Net {end['val_dice']:.2f}; lesson 01's")
    copied = copied_scores(run).groupby("split")["dice"].mean()
    print("copied masks", ", ".join(f"{value:.2f} {split}" for split, value in copied.items()))
else:
    print("This network came with its weights: nothing was trained, there are no curves to see.")

# %% [markdown]
# Augmentation and dropout make training images harder than validation images; that can outweigh that they are known. The
# network sees neither its validation subjects nor any target, and its weights are those with the lowest validation loss.
# Hold its Dice against the two numbers of lesson 01's look-up table: which of them would have told you that the network is
# worth its training?
#
# ## 5. Quality per scanner: the paper's Figure 2
#
# One slice is an anecdote. Here are all test slices of all scanners, with the slices of section 1 as stars. (The paper's
# figure has the source's training and validation slices in the place of its test slices.)

# %%
from advconf_lite.course.tables import quality_table
from advconf_lite.figures.scores import figure2

table = quality_table(run, segmenters, ["dice", "surface_dice"])
stars = {"dice": {case.title.split("\n")[0]: case.true for case in cases}}
words = "True Dice and surface Dice per domain: the source's test subjects, then the targets"
show(figure2(table, source, stars), f"{words}. Stars: the slices of Figure 1.")

# %%
medians = table.groupby(["domain", "quality"], sort=False)["true_score"].agg(["median", "std"])
medians.round(2).unstack()

# %%
from advconf_lite.course.silent import certainty_table, worst_target

certain = certainty_table(run, segmenter)
name, lowest = worst_target(certain, source)
print("the worst scanner for this network:", name)
reveal("median_dice_on_the_worst_scanner", lowest)

# %% [markdown]
# (The Dice of section 4 was a mean, which bad slices pull down; these are medians, of other subjects.) The paper calls what
# it saw on real prostates a *massive* domain shift, and that on hearts a more subtle one. It was not tied to the coil: two
# of the three sites with an endorectal coil kept a median near 0.7, one fell to 0. And in the published code the prostate
# images are resampled along a wrong axis, so a part of that shift may be geometry
# ([more](../docs/paper_vs_course.md#what-is-no-setting-and-changes-how-the-paper-is-read)).
#
# Two spreads matter from here on. *Within* a scanner, quality varies from slice to slice: that is what a confidence head
# has to rank. *Between* scanners, whole distributions move: there a head is asked about scores that it has never seen in
# training.
#
# ## 6. Does the network know?
#
# A segmenter gives each pixel a probability for each label. So it has an opinion of itself, for free: take the mean
# probability of what it drew, over the pixels that it drew. Call it the network's **certainty**. With two labels it cannot
# be below one half, for the more probable label is drawn. A failure below a Dice of `0.7` with a certainty above `0.9` is
# counted as a **silent failure** here; both lines are ours.
#
# **Guess:** of all failures, on all scanners, which share is silent?

# %%
guess("silent_share_of_failures", None, within=(0, 1))

# %% tags=["exercise"]
slice_dice, certainty = certain["dice"].to_numpy(), certain["certainty"].to_numpy()
### BEGIN SOLUTION: how many slices have slice_dice below 0.7 and certainty above 0.9?
count = int(((slice_dice < 0.7) & (certainty > 0.9)).sum())
### END SOLUTION
check("silent_failures", count, dice=slice_dice, certainty=certainty)

# %%
from advconf_lite.course.silent import FAILURE, SURE
from advconf_lite.figures.certainty import certainty_and_truth

show(
    certainty_and_truth(certain, source, FAILURE, SURE),
    "The network's certainty against its true Dice, by slice, and the medians of both by scanner.",
    "A cloud of slices, red where Dice is low and certainty high; two medians for each scanner.",
)

# %%
from advconf_lite.course.silent import as_baseline, by_line, by_scanner, reading, silent

failures = int((certain["dice"] < FAILURE).sum())
reveal("silent_share_of_failures", silent(certain).sum() / failures if failures else float("nan"))
print(reading(certain, source))
by_line(certain)

# %% [markdown]
# The row says how far the share hangs on the line at `0.9`: where certainty lies in a narrow band, a line a little higher
# or lower gives quite another one. What does not hang on it are the medians, and how the slices are ordered. $r$, Pearson's
# correlation, is 1 where certainty rises with Dice along a line, and 0 where it says nothing of it:

# %%
print(as_baseline(certain, source))
by_scanner(certain)

# %% [markdown]
# Where nearly every Dice is 0 there is nothing to order, and $r$ is noise. So there are two questions, and lesson 04 puts
# both to the heads. As a *number*, certainty is no Dice: Dice loss makes networks over-confident (Mehrtash and others), and
# a calibration at home is one for home. As an *order* it is free, and a baseline. The head of lesson 03 has to beat it. The
# paper tried a weak relative, the entropy of the whole image over 15 dropout samples, and found its correlation below 0.3
# on average over data sets and qualities.
#
# ## 7. Be the scanner
#
# Take a slice that the network segments well, and turn knobs: the coil, noise, ghosts, voxel size, contrast. **Find a
# change that halves the Dice, and then a milder one.** Its size is measured as the norm of the change by the norm of the
# image. Each picture leaves a dot; the dashed line is half of the Dice.

# %%
from advconf_lite.course.widgets.console import scanner_console

console = scanner_console(run, segmenter)

# %% [markdown]
# Where there are no sliders (on GitHub, or in a rendered page), `console.move(...)` turns the same knobs: `noise` (up to
# `0.6`), `ghost` (`0.5`), `resolution` (`1` to `4` pixels), `contrast` (`0.4` to `2.5`), `coil` (`"body array"`,
# `"surface array"`, `"endorectal"`).

# %% tags=["exercise"]
### BEGIN SOLUTION: turn some of noise, ghost, resolution, contrast, coil, as in console.move(ghost=0.2)
home = {"coil": "as it is", "noise": 0.0, "ghost": 0.0}
tries = [{"noise": 0.6}, {"ghost": 0.3}, {"coil": "surface array"}]
for knobs in (*tries, tries[1] | tries[2], {"coil": "endorectal", "ghost": 0.5}):
    console.move(**home | knobs)
    if console.now.quality <= console.before / 2:
        break
### END SOLUTION
check("halve_the_dice", console.answer, before=console.before)

# %%
for change, value in console.tries:
    print(f"change {change:.2f}   {console.title} {value:.2f}")

# %% [markdown]
# One line per picture, in the order in which they were drawn. Is there one with a larger change and a smaller loss than
# another's? Then it is not size alone that fools a network, but also the *direction* in which an image moves (on this
# slice). Lesson 03 finds bad directions with a gradient.
#
# ## 8. A class that is not there
#
# The prostate is one class, and every slice here has it. The heart has three: the left ventricle's blood (LV), its muscle
# (MYO) and the right ventricle (RV), and towards the apex the RV ends. What if the network draws it all the same? (Put a
# letter in place of `None`.)

# %%
choose("absent_class", None)

# %% [markdown]
# So a class in only one of the masks counts 0. A class in neither counts 1 here. The paper does not say what it does; this
# is a choice of ours, and a heavy one.

# %% tags=["exercise"]
import numpy as np


def slice_score(scores):
    """Mean score of a slice's classes; NaN: a class that is in neither mask, which counts 1."""
    ### BEGIN SOLUTION
    value = np.where(np.isnan(scores), 1.0, scores).mean()
    ### END SOLUTION
    return value


check("slice_score", slice_score)

# %%
from advconf_lite.course.absent import absent_case
from advconf_lite.figures.overlays import empty_class

found, words = absent_case(run, segmenter)
show(empty_class(**found), words)

# %%
from advconf_lite.course.absent import absent_table, by_scanner as absent_by_scanner
from advconf_lite.figures.peaks import two_peaks

absent = absent_table(run, segmenter)
if absent["lone"].any():
    show(two_peaks(absent), "True Dice of all test slices; red: a class drawn that is not there.")
    print(absent_by_scanner(absent).to_string())

# %% [markdown]
# Two good classes and one that is not there make about 0.6, however small the mistake is. On the heart (`data =
# "phantom:cardiac"` at the top) that makes a second peak in the histogram of Dice, at home as on the targets: a rule of
# scoring made it, and no scanner. A head that sees where the RV ends then looks like a head that knows about scanners. The
# phantom's prostate has no such slices, which is one reason why the course begins there.
#
# ## Summary
#
# * A segmenter that works at home can fail altogether on another scanner, and says nothing of it.
# * Dice counts pixels, surface Dice counts boundary pixels within a tolerance. Both need the truth.
# * The segmenter is trained on the source only, then frozen. $z$ is read by a hook and nothing is changed.
# * The network's own certainty is free: no Dice, but an order of slices, which a head has to beat.
# * What an absent class counts is a choice, and it can decide over a third of a slice's score.
#
# Previous: [01 · Data preparation](01_data_preparation.ipynb). Next: [03 · Adversarial
# training](03_adversarial_training.ipynb), in which a second network is taught to give the grades.
#
# The paper: [Lennartz and Schultz, MIDL 2025](https://openreview.net/forum?id=0BQ6JPGwZa), sections 3.1 and 4.2. Further
# reading: [Maier-Hein and others 2024](https://doi.org/10.1038/s41592-023-02151-z) on which score to choose for what,
# [Mehrtash and others 2020](https://doi.org/10.1109/TMI.2020.3006437) on networks that are too sure, and
# [nnU-Net](https://doi.org/10.1038/s41592-020-01008-z), whose augmentations are used here.
