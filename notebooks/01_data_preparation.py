# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Data preparation: slices, scanners, splits
#
# <!-- makes: slices of a source scanner and several targets, split by subject -->
#
# **After this lesson you can** read and write a slice set, explain where a scanner's contrast comes from, and say why
# the split must be by subject.

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

# %% [markdown]
# ## The one data format
#
# Everything in this course is a **slice set**: a folder with `images.npy` (N × H × W), `masks.npy`, `slices.csv` (a row
# per slice) and `dataset.json`. The phantom writes one, `python -m data_download prepare` writes one from real archives,
# and you can write one of your own with numpy. If this run's folder has no data yet, the next cell makes it.

# %%
experiment = run.experiment
experiment.slices.table.head()

# %%
print(experiment.slices.info["name"], "with the classes", ", ".join(experiment.class_names))
print(f"worked on as {experiment.grid}", *run.remarks(), sep="\n")

# %% [markdown]
# ## Split by subject
#
# Neighbouring slices of one subject are nearly copies of each other. If one is used for training and the next one for
# validation, the validation score measures memory. So each **subject** belongs to one split.
#
# **Before you run the next cell:** the published code splits by *slice*, 90 / 10 %. With about ten slices a subject, how
# many of the validation subjects would also be training subjects?

# %%
from advconf_lite.course.tables import split_counts

split_counts(run)

# %% [markdown]
# Rows called *validation scanner* are images for choosing settings (`python -m advconf_lite tune`): no lesson reports
# them, so a choice made on them cannot flatter what is reported.

# %%
subjects = {
    name: set(part.table["subject"])
    for name, part in (("train", experiment.train), ("val", experiment.val), ("test", experiment.test))
}
assert not subjects["train"] & subjects["val"] and not subjects["train"] & subjects["test"]
print("no source subject is in two splits")

# %% [markdown]
# Practically all of them: a validation subject is unknown to training only if *all* its ten slices fell into validation,
# which has probability $0.1^{10}$ in the draw.
#
# ## Where the contrast comes from
#
# The phantom computes its images from physics. Its cardiac cine image is a balanced steady-state (bSSFP) image. On
# resonance, a tissue with relaxation times $T_1$, $T_2$ and proton density $PD$ gives the signal
#
# $$S = PD \sin a \, \frac{1 - E_1}{1 - (E_1 - E_2) \cos a - E_1 E_2} \, e^{-TE/T_2}, \qquad E_i = e^{-TR/T_i},$$
#
# with flip angle $a$. Field strength changes $T_1$ and $T_2$; the protocol changes $a$, $TR$ and $TE$. Its prostate
# images are T2-weighted spin echoes, $S = PD\,(1 - e^{-TR/T_1})\,e^{-TE/T_2}$.
#
# **Before you run the next cell:** at 3 T the flip angle is limited by heating. Will blood stand out more or less against
# muscle when $a$ falls from 60° to 30°?

# %%
from advconf_lite.figures.physics import contrast_figure
from advconf_lite.figures.style import show

show(
    contrast_figure(),
    "The phantom's blood (solid) and myocardium (dashed) by flip angle: their ratio shrinks towards small angles.",
)

# %% [markdown]
# Blood is brighter than myocardium at every angle, and the ratio shrinks towards small ones: a protocol change alone is
# a domain shift.
#
# ## What the scanners see

# %%
from advconf_lite.course.lessons import one_per_domain
from advconf_lite.figures.images import samples

images, masks, titles = one_per_domain(run)
figure = samples(images, masks, titles, experiment.class_names, experiment.spacing_mm)
show(figure, "One slice per domain, the source first; outlines are the ground truth, the bar gives the scale.")

# %% [markdown]
# Look for noise, blur, shading and contrast. Anatomy varies between subjects on top. The phantom's heart has the classes
# left ventricle's blood (LV), its muscle, the myocardium (MYO), and the right ventricle (RV).
#
# ## Normalisation
#
# Each image is z-scored by itself, $x \leftarrow (x - \bar{x}) / \sigma_x$. The published code takes the mean and standard
# deviation of the whole *domain*, which a single new scan does not have (`Settings(normalise="domain")`).

# %%
x = experiment.train.images
print(f"mean {x.mean((1, 2, 3)).abs().max():.1e} at most, standard deviation {x.std((1, 2, 3)).mean():.3f}")

# %% [markdown]
# ## A slice set of your own
#
# Your own data need no special loader: stack the slices and their outlines, write one table row per slice, and
# `write_slice_set` checks and stores them. Twelve squares in noise stand in for your scans here.

# %%
import numpy as np
import pandas as pd

from advconf_lite.data.slices import write_slice_set
from advconf_lite.data.splits import split_by_subject

masks = np.zeros((12, 64, 64), np.uint8)  # yours: (slices, height, width), 0 = background, 1 = the first class
masks[:, 20:44, 24:40] = 1
images = np.random.default_rng(0).normal(100, 10, masks.shape) + 50 * masks  # yours: the same shape
subjects = [f"P{number // 2}" for number in range(12)]  # yours: whose slice it is

# %%
split = split_by_subject(subjects)
same = {"dataset": "mine", "domain": "our scanner", "phase": "T2", "spacing_mm": 1.5}
table = pd.DataFrame({"subject": subjects, "slice": [0, 1] * 6, "split": [split[subject] for subject in subjects]}).assign(
    **same
)
info = {"name": "mine", "class_names": ["lesion"], "source_domain": "our scanner"}
info |= {"size": 64, "spacing_mm": 1.5, "tolerance_mm": 4.5}  # the grid to work on; a rule decides what you leave out
own = write_slice_set(run.folder / "data" / "own", images, masks, table, info)
own

# %% [markdown]
# `python -m data_download verify FOLDER` looks at all of it: labels, grey values, splits, and whether a file has changed
# since it was written. For M&Ms-2 and the prostate set it also compares the counts with the paper's Table 2.
#
# **Before you run the next cell:** if P0 were in training under its own name and in the test set as P9, which line would
# tell?

# %%
from data_download.verify import as_table, verify

heading, findings = verify(own.folder)
print(heading, as_table(findings), sep="\n")
assert all(finding.ok is not False for finding in findings)

# %% [markdown]
# "slices that another subject has too". The number of subjects in several splits would stay 0, for the names differ.
#
# `python -m advconf_lite run --data FOLDER` trains on such a set, and `predict` scores one without masks.
#
# ## Summary
#
# * A slice set is four files; the split is by subject; `verify` checks it.
# * A scanner is a set of acquisition parameters, and contrast follows from the signal equation.
# * Each image is normalised by itself, so that a single new scan can be scored.
