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
# **To read:** about 15 minutes; exercises and widgets come on top. **To run:** not measured yet.
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
# segmenter $f_\theta$ is, how it is trained, and where its features $z$ are read; draw the paper's Figure 2; compare the
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
experiment, source = run.experiment, run.experiment.slices.source_domain
print(*run.remarks(), sep="\n")

# %% [markdown]
# ## 1. One network, all scanners
#
# The next cell reads the U-Net from the run's folder, or trains it. It sees images of the *source* scanner only. How it is
# trained comes in section 3; first, what it does.
#
# **Before you run the cells:** on its own scanner this network works. Think of the target scanner that is worst for it:
# what is the median Dice there, of all its slices?

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
# Every predicted outline is closed, smooth and of a plausible size, the failures too. In the stored run the network puts the
# prostate into the black hole of the endorectal coil, where no tissue is, and misses it altogether: Dice 0.00. On another
# scanner the same patient gets a good outline. Without the white line you would have to look at each image to know.
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
# gets 1. Big organs forgive Dice much; surface Dice asks for the border whatever the size.

# %%
pixels = tolerance / experiment.spacing_mm
print(f"tolerance {tolerance:g} mm on pixels of {experiment.spacing_mm:g} mm: {pixels:.1f} pixels")

# %% [markdown]
# Write Dice yourself, for two masks of True and False.


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
# | domain | scanner | column `domain` |
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
# The loss is Dice plus cross-entropy, as in the paper,
#
# $$\mathcal{L}_{seg} = 1 - \frac{2 \sum p\,y}{\sum p + \sum y} - \frac{1}{n} \sum y \log p .$$
#
# The middle term is the Dice from above with probabilities $p$ in place of a mask, since a mask has no gradient. The
# optimiser is Adam, and training images are augmented as nnU-Net does by default: turned, scaled, noisy, blurred, brighter.
# Those are the usual measures against a domain shift, and the paper takes them, too.
#
# **Before you run the next cell:** at the end, which loss is higher, that on training or that on validation images? Only
# training images are augmented, and only in training does dropout switch features off.

# %%
guess("higher_loss", None, choices=["training", "validation"])

# %%
from advconf_lite.figures.training import learning_curves

history = run.history()
history = history[history["stage"] == "segmenter"]
history = history[history["segmenter_seed"].isin(segmenter_seeds)]
if len(history):
    figure, last = learning_curves(history, stage="segmenter"), history.iloc[-1]
    show(figure, "U-Net training: loss, where training images are augmented; and validation Dice.")
    reveal("higher_loss", "training" if last["loss"] > last["val_loss"] else "validation")
    print(f"validation Dice, by subject, at the end: {last['val_dice']:.2f}")
else:
    print("This network came with its weights: nothing was trained, there are no curves to see.")

# %% [markdown]
# The network sees neither its validation subjects nor any target. Its weights are those with the lowest validation loss.
# Hold the validation Dice against lesson 01: there, a look-up table was worth one number by slice and another by subject.
# In the stored run the trained network, judged by subject, gets 0.81; the look-up table got 0.60, and by slice 0.83. By
# slice, the table that knows nothing would have looked as good as the network.
#
# ## 5. Quality per scanner: the paper's Figure 2
#
# One slice is an anecdote. Here are all test slices of all scanners, with the slices of section 1 as stars.

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
# In the stored run the median Dice is 0.87 at home and 0.00 on both endorectal scanners. The paper saw the same kind of
# thing on real prostates, and calls it a *massive* domain shift, and a more subtle one on hearts.
#
# Two spreads matter from here on. *Within* a scanner, quality varies from slice to slice: that is what a confidence head
# has to rank. *Between* scanners, whole distributions move: there a head is asked about scores that it has never seen in
# training.
#
# ## 6. Does the network know?
#
# A segmenter gives each pixel a probability for each label. So it has an opinion of itself, for free: take the mean
# probability of what it drew, over the pixels that it drew. Call it the network's **certainty**. A failure below a
# Dice of `0.7` with a certainty above `0.9` is a **silent failure**.
#
# **Before you run the next cells:** of all failures, on all scanners, which share is silent?

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
from advconf_lite.course.silent import by_scanner, reading, silent

failures = int((certain["dice"] < FAILURE).sum())
reveal("silent_share_of_failures", silent(certain).sum() / failures if failures else float("nan"))
print(reading(certain, source))
by_scanner(certain)

# %% [markdown]
# In the stored run the median Dice falls to nothing while the median certainty goes from 0.92 to 0.90. Where certainty is
# really low, below 0.85, every slice is a failure; but most failures are not there. Low certainty is a sign, high
# certainty is none. (The line at `0.9` is ours. Look at the whole cloud: good slices hardly lie higher than failed ones.)
#
# The paper tried a relative of this, the entropy of the probabilities over 15 dropout samples, and
# found its correlation with the quality below 0.3. This is why somebody else has to judge: the head of lesson 03.
#
# ## 7. Be the scanner
#
# Take a slice that the network segments well, and turn knobs: the coil, noise, ghosts, voxel size, contrast. **Find the
# mildest change that halves the Dice.** Its size is measured as the norm of the change by the norm of the image. Each
# picture leaves a dot; the dashed line is half of the Dice.

# %%
from advconf_lite.course.widgets.console import scanner_console

console = scanner_console(run, segmenter)

# %% [markdown]
# Where there are no sliders (on GitHub, or in a rendered page), `console.move(...)` turns the same knobs.

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
# One line per picture, in the order in which they were drawn. The size of a change is not what decides. In the stored run
# noise of 0.60 of the image costs little, while a coil's shading and a faint ghost, together 0.43, take
# everything; each of them alone does not. What fools a network is the *direction* in which an image moves. Lesson 03 finds
# bad directions with a gradient.
#
# ## 8. A class that is not there
#
# The prostate is one class, and every slice here has it. The heart has three: the left ventricle's blood (LV), its muscle
# (MYO) and the right ventricle (RV), and towards the apex the RV ends. What if the network draws it all the same?

# %% tags=["exercise"]
### BEGIN SOLUTION: choose("absent_class") prints the question and its options; answer by a letter
answer = "b"
### END SOLUTION
choose("absent_class", answer)

# %% tags=["exercise"]
import numpy as np


def slice_score(scores):
    """One number from the scores of a slice's classes; NaN: a class that is in neither mask."""
    ### BEGIN SOLUTION
    value = np.where(np.isnan(scores), 1.0, scores).mean()
    ### END SOLUTION
    return value


check("slice_score", slice_score)

# %% [markdown]
# A class in neither mask counts 1, a class in only one of them 0. The paper does not say what it does; this is a choice of
# ours, and a heavy one:

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
else:
    print("No test slice of this run lacks a class that the network draws.")

# %% [markdown]
# Two good classes and one that is not there make about 0.6, however small the mistake is. On the heart that makes a second
# peak in the histogram, at the source as on the targets: a rule of scoring made it, and no scanner. A head that learns
# to see where the RV ends then looks like a head that knows about scanners. Keep this in mind for every correlation on
# the heart. To see it, set `data = "phantom:cardiac"` at the top and run the lesson again: the picture is then a slice of
# that run, and its last column is *score agreement* (lesson 05), which asks the network's own samples and not the truth,
# so that it can be content with a class that is not there. The phantom's prostate has no such slices, which is one
# reason why the course begins there.
#
# ## Summary
#
# * A segmenter that works at home can fail altogether on another scanner, with an outline as smooth as ever.
# * Dice counts pixels, surface Dice counts boundary pixels within a tolerance. Both need the truth.
# * The segmenter is trained on the source only, then frozen. $z$ is read by a hook and nothing is changed.
# * The network's own certainty is free. Whether it falls with the quality is measured above, and not taken for granted.
# * What an absent class counts is a choice, and it can decide over a third of a slice's score.
#
# Previous: [01 · Data preparation](01_data_preparation.ipynb). Next: [03 · Adversarial
# training](03_adversarial_training.ipynb), in which a second network is taught to give the grades.
#
# The paper: [Lennartz and Schultz, MIDL 2025](https://openreview.net/forum?id=0BQ6JPGwZa), sections 3.1 and 4.2. Further
# reading: [Maier-Hein and others 2024](https://doi.org/10.1038/s41592-023-02151-z) on which score to choose for what, and
# [nnU-Net](https://doi.org/10.1038/s41592-020-01008-z), whose augmentations are used here.
