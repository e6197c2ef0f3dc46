# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here: a network that says when it is wrong
#
# <!-- makes: the problem: one heart, two scanners -->
#
# A segmentation network outlines a heart on an MR image. On the scanner that it was trained on, the outline is good. On
# another scanner it may be poor, and the network does not say so: it **fails silently**.
#
# This course is the paper *Adversarial Perturbations Improve Generalization of Confidence Prediction in Medical Image
# Segmentation* (Lennartz & Schultz, MIDL 2025), as code that runs. You will train a small **head** $C_\phi$ on a
# frozen U-Net $f_\theta$. It looks at the U-Net's features $z$ and predicts, for one image and without a ground
# truth, the quality $g$ (Dice or surface Dice) that the segmentation would get. Then you will feed the head its own
# adversarial images, and measure whether that keeps it honest on scanners it has never seen.
#
# **After this lesson you can** say what the course builds, check that your machine is ready, and show why a scanner
# change is a problem at all.
#
# The [README](../README.md#the-lessons) lists the lessons and what each makes. Every lesson starts on its own: what an
# earlier one would have made is made when it is missing, with a message and a progress bar. The cell below the opening of
# each lesson holds its parameters. The outputs that are stored with the lessons are of `head_seeds = [0, 1, 2]`, and of
# `[0]` in lesson 06; with one seed your tables have fewer rows and other numbers.

# %% tags=["parameters"]
data: str = "phantom:cardiac"  # phantom:cardiac or phantom:prostate
profile: str = "quick"  # smoke (seconds), quick (minutes on two cores), full, paper (GPU)
out: str = "runs/quick"  # the folder that the other lessons will fill

# %% [markdown]
# ## Is this machine ready?
#
# One line when it is; else a line for each requirement that is not met, and what to do. No GPU is needed for the quick
# profile.

# %%
from advconf_lite.course.check import print_report, run_checks

status = print_report(run_checks())

# %% [markdown]
# ## One heart, two scanners
#
# The built-in data is a **phantom**: an anatomy whose tissues get their brightness from the MR signal equation. A
# *scanner* is a set of acquisition parameters, so that a change of scanner is something you can read.

# %%
from advconf_lite.phantom.scanner_tables import source_scanner, target_scanners

organ = data.split(":")[1] if data.startswith("phantom:") else "cardiac"
source, target = source_scanner(organ), target_scanners(organ)[1]
for name in ("field_T", "TR_ms", "TE_ms", "flip_deg", "resolution_mm", "snr", "coil", "b1_shading"):
    print(f"{name:14} {getattr(source, name)!s:>14} {getattr(target, name)!s:>14}")

# %% [markdown]
# **Before you run the next cell:** which tissues do you expect to change their brightness *relative to each other*,
# and which parameter above is responsible?

# %%
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.phantom.organs import find_organ
from advconf_lite.phantom.subject import make_subject

size, spacing_mm = find_organ(organ).grid(PROFILES[profile].max_size)
# The same stream of random numbers draws the same subject, here for two scanners.
pair = [make_subject(organ, scanner, 3, size, spacing_mm, seed=0, domain="demo") for scanner in (source, target)]
images, masks = zip(*[(image[len(image) // 4], mask[len(mask) // 4]) for image, mask, _ in pair])

# %%
from advconf_lite.figures.images import samples
from advconf_lite.figures.style import show

names = find_organ(organ).class_names
figure = samples(images, masks, [source.name, target.name], names, spacing_mm)
show(figure, "The same subject on the source scanner (left) and on a target scanner (right): same anatomy, other image.")

# %% [markdown]
# The outlines are identical: anatomy does not depend on the scanner. Noise, shading and the contrast between blood and
# muscle do. A U-Net that has only ever seen the left image has to work on the right one.
#
# ## Summary
#
# * A U-Net may fail on a new scanner without a sign of it.
# * The course trains a head that predicts the quality of each segmentation, and tests it across scanners.
# * The phantom's scanners differ in physical parameters only; its numbers say nothing about real machines.
#
# Go on with **01 · data preparation**, or run everything at once: `python -m advconf_lite run --data phantom:cardiac
# --profile quick --out runs/quick`.
