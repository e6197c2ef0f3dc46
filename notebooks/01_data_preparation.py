# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Data preparation: a score that means nothing, and what a scanner does
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [00 start here](00_start_here.ipynb) ·
# Next: [02 pretraining](02_pretraining.ipynb)
#
# **To read:** about 15 minutes; exercises and widgets come on top. **To run:** 15 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 700 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/01_data_preparation.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/01_data_preparation.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/01_data_preparation.ipynb
# <!-- end -->
#
# <!-- makes: slices of a source scanner and several targets, split by subject -->
#
# **The question:** when is a validation score worth believing?
#
# **After this lesson you can** show what a split by slice lets through, and measure it; say what a scanner is, and which
# of its knobs changed between two images; normalise an image as this course does; write a slice set of your own and
# have it checked.
#
# **You need** Python with numpy. No network is trained here, and no graphics card is used.

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
experiment = run.experiment
print(experiment.slices.info["name"], "with the classes", ", ".join(experiment.class_names))
print(*run.remarks(), sep="\n")

# %% [markdown]
# ## 1. A segmenter that knows nothing, and scores well
#
# A **segmentation** gives each pixel a label: this one belongs to the organ, that one does not. Its border is the outline
# in the pictures. How good it is, is said by the **Dice**: 1 if it covers exactly the true organ, 0 if it misses it
# altogether. Lesson 02 takes Dice apart; here it is enough that more is better.
#
# Here is the laziest segmenter there is. It has no weights and is never trained. Given an image, it looks up the *most
# similar* image that it has, and hands out a copy of that one's mask.
#
# It is scored on slices that it has not stored. First, of the patients of those slices it has stored others:

# %%
from advconf_lite.course.leak import BY_SLICE, BY_SUBJECT, copied_scores
from advconf_lite.course.teach import check, choose, guess, mine_or_ours, reveal

scores = copied_scores(run)
by_slice = scores.loc[scores["split"] == BY_SLICE, "dice"]
by_subject = scores.loc[scores["split"] == BY_SUBJECT, "dice"]
print(f"mean Dice of copied masks, other slices of the same patients at hand: {by_slice.mean():.2f}")

# %% [markdown]
# **Guess:** what Dice does this copying reach on patients of whom it has nothing? (Put a number in place of `None`.)

# %%
guess("copied_dice_of_new_patients", None, within=(0, 1))

# %%
from advconf_lite.course.leak import copied_cases
from advconf_lite.figures.outlines import one_subject_all_scanners
from advconf_lite.figures.style import show

show(
    one_subject_all_scanners(copied_cases(run), experiment.class_names, experiment.spacing_mm),
    "Masks copied from the most similar image. Above, it may be any other slice, also the next one "
    "of the same subject; below, it must be another subject's. The columns are the same slices.",
    "Two rows of the same slices with the true and the copied outline, and the Dice of each.",
)

# %% [markdown]
# The same slices, the same method, two rows of numbers. Above, the neighbouring slice of the same patient was at hand, and
# neighbouring slices are nearly copies of each other. Below, it was not. Only the lower row says what happens to the next
# patient.
#
# ## 2. The leak, counted
#
# The authors' published code splits its *slices* at random, 90 % for training and 10 % for validation. (The
# paper's appendix A counts slices, and does not say how they were split.) No slice is in both parts. Are patients?


# %% tags=["exercise"]
def leaked_share(train, val):
    """Which share of the validation subjects is also in training? One name per slice."""
    ### BEGIN SOLUTION
    share = len(set(val) & set(train)) / len(set(val))
    ### END SOLUTION
    return share


check("leaked_share", leaked_share)

# %% [markdown]
# Now do such a split. `subjects` has one name for each slice of the source scanner.

# %% tags=["exercise"]
import numpy as np

from advconf_lite.course.leak import source_slices

subjects = list(source_slices(run).table["subject"])
print(len(subjects), "slices of", len(set(subjects)), "subjects")
### BEGIN SOLUTION: shuffle the slices, take a tenth for validation, and ask leaked_share of the names in both parts
order = np.random.default_rng(0).permutation(len(subjects))
cut = max(1, len(subjects) // 10)
val, train = [subjects[row] for row in order[:cut]], [subjects[row] for row in order[cut:]]
shared = leaked_share(train, val)
### END SOLUTION
check("slice_leak", shared, subjects=subjects)

# %% [markdown]
# With several slices a subject, a validation subject is unknown to training only if *all* its slices fell into
# validation, and each falls there with a chance of one in ten.
#
# ## 3. The leak, run
#
# So the copying segmenter was scored under twenty splits of each kind. Under a split by subject, each subject belongs to
# one part as a whole. `shared` is the share of validation subjects that are in training, too.

# %%
reveal("copied_dice_of_new_patients", by_subject.mean())
scores.groupby("split")[["shared", "dice"]].agg(["mean", "min", "max"]).round(2)

# %%
from advconf_lite.figures.leak import two_splits

words = "Validation Dice of the copying segmenter: a dot per split, the line is their mean."
show(two_splits(scores), words, "Dots along Dice from 0 to 1, a row for each kind of split.")

# %% [markdown]
# A method without any knowledge would be reported with the upper number. In lesson 02 a U-Net that really has been trained
# is judged by subject, and you will see which of the two it beats.
#
# The dots also differ in their spread. By subject, each split tests on a few *patients*, and patients differ; by slice,
# every split holds a bit of everybody, so the wrong number looks precise, too.

# %% tags=["exercise"]
### BEGIN SOLUTION: by how much is the mean of by_slice higher than that of by_subject?
gap = by_slice.mean() - by_subject.mean()
### END SOLUTION
check("leak_gap", gap, by_slice=by_slice, by_subject=by_subject)
gap = mine_or_ours("leak_gap", gap, by_slice=by_slice, by_subject=by_subject)
print(f"the split by slice flatters by {gap:.2f}")

# %% [markdown]
# The gap of a U-Net is another one, and depends on how much it memorises; it is not measured here. A split by subject makes
# the question needless.
#
# ## 4. This course's split
#
# Each **subject** belongs to one part. Rows called *validation scanner* are images for choosing settings
# (`python -m advconf_lite tune`): no lesson reports them, so a choice made on them cannot flatter what is reported.

# %%
from advconf_lite.course.tables import split_counts

split_counts(run)

# %%
share = mine_or_ours("leaked_share", leaked_share)
train = experiment.train.table["subject"]
for name, part in (("validation", experiment.val), ("test", experiment.test)):
    if len(part):
        known = share(train, part.table["subject"])
        print(f"{known:.0%} of the {name} subjects are in training, too")

# %% [markdown]
# ## 5. What a scanner is
#
# Here a **domain** is a scanner with its protocol, which is the list of its settings. (In the paper it is a scanner for the
# hearts, an institution for the prostates.) The **source** domain is the one that the networks are trained on, in the paper
# the one with the most subjects. All others are **targets**: they are only tested on.
#
# An MR scanner does not measure brightness. A radio pulse tips the tissue's magnetisation, which then *relaxes*: it gives a
# signal that decays, with a time $T_2$, and recovers, with a time $T_1$. Both differ from tissue to tissue. The operator
# shapes that signal, and these are the knobs:
#
# * **field**, in tesla (T): a stronger magnet gives more signal, and changes how fast tissues relax;
# * **TE**, the echo time: how long the signal decays before it is read, so how strongly tissues differ in $T_2$;
# * **flip**, the flip angle: how far each pulse tips (the heart's scanners differ in it, the prostate's do not);
# * **coil**: the antenna. *Arrays* lie on the body, a body array farther from the organ than a surface array; an
#   *endorectal* coil lies inside, right behind the prostate, and makes what is near to it very bright;
# * **fat removed**: the share of the signal of fat that a further pulse takes away;
# * **voxel**: how large a piece of tissue one measured value stands for. All images are brought to one grid later, and what
#   a coarse voxel has blurred stays blurred;
# * **SNR**, signal to noise: the lower, the grainier;
# * **ghost**: shifted copies of the image, from motion.
#
# What is no column, but in a name: *dielectric* is a brightness that varies over the body, for at 3 T radio waves are about
# as short as a body is wide.

# %%
import pandas as pd

from advconf_lite.course.scanners import scanner_table

table = scanner_table(run.data)
with pd.option_context("display.width", 100, "display.max_columns", 20):
    print(table if len(table) else "Of these scanners only the names are known.")

# %% [markdown]
# The phantom's virtual scanners stand for no make. Field, times, flip angles, voxels and coils come from published
# protocols. SNR, ghosts and shading are choices; and how far each target lies from the source was tuned, by the Dice of
# pilot segmenters that are not used any more.
#
# ## 6. Where contrast comes from
#
# The phantom's prostate images are T2-weighted spin echoes. A tissue with relaxation times $T_1$, $T_2$ and proton
# density $PD$ gives the signal
#
# $$S = PD\,(1 - e^{-TR/T_1})\,e^{-TE/T_2} ,$$
#
# with the repetition time $TR$. Its heart images are balanced steady-state (bSSFP) images with flip angle $a$,
#
# $$S = PD \sin a \, \frac{1 - E_1}{1 - (E_1 - E_2) \cos a - E_1 E_2} \, e^{-TE/T_2}, \qquad E_i = e^{-TR/T_i} ,$$
#
# where nothing disturbs the field. Turn one knob of the source scanner down and leave all others: TE from 100 to 60 ms on
# the prostate, the flip angle from 60 to 30 degrees on the heart.
#
# **Guess:** take the signal of the organ by that of the tissue beside it. Is this *ratio* then more, or less? (The second
# formula decides nothing by eye. In the first, two tissues differ in $T_2$.)

# %%
guess("organ_stands_out", None, choices=["more", "less"])

# %%
from advconf_lite.figures.physics import contrast_figure
from advconf_lite.phantom.contrast import CONTRASTS

contrast = CONTRASTS.get(run.data.removeprefix("phantom:"))
if contrast:
    words = f"Signal of {contrast.bright} (solid), {contrast.dark} (dashed); dotted: the source's value "
    words += "and the changed one, with the ratio of both signals at the source's field."
    show(contrast_figure(contrast.organ), words)
    change = contrast.ratio(contrast.changed) / contrast.ratio(contrast.start)
    reveal("organ_stands_out", "more" if change > 1 else "less")
else:
    print("These images come from no signal equation of ours, so there is no curve to draw.")

# %% [markdown]
# The organ is the brighter one at both settings, but the *ratio* of the two signals shrinks. Nobody has changed the
# patient: one number on the protocol sheet is enough for a domain shift. The targets of the table differ in several at once;
# the one with a TE of 60 ms has another field, too, and so another ratio.
#
# ## 7. The same patient in every scanner
#
# To see what scanners do, you need the same subject on all of them. Look at what you usually have instead.

# %%
from advconf_lite.course.lessons import one_per_domain
from advconf_lite.figures.images import samples

images, masks, titles = one_per_domain(run)
figure = samples(images, masks, titles, experiment.class_names, experiment.spacing_mm)
show(figure, "One slice per domain, each of another subject, the source first; with the truth.")

# %% [markdown]
# To answer, put a letter in place of `None`.

# %%
choose("another_subject", None)

# %% [markdown]
# A virtual patient can lie down in every scanner, on the same day and in the same position:

# %%
from advconf_lite.course.pictures import subject_on_all_scanners

if run.data.startswith("phantom:"):
    found = subject_on_all_scanners(run)
    images, masks = zip(*found.values())
    names = list(found)
    figure = samples(images, masks, names, experiment.class_names, experiment.spacing_mm, columns=3)
    show(figure, "The same slice of one virtual patient in every scanner; the truth is outlined.")
else:
    print("Only a phantom's patient can be put into every scanner.")

# %% [markdown]
# The anatomy is the same in all of them, and the outline of the truth nearly: an endorectal coil's balloon flattens the
# prostate a little, in reality more than here. What surrounds it is not: look for fat that has gone dark, for grain, and,
# on the prostate, for the black hole of an endorectal coil and its glare, which is hardly corrected here: a worst case. A
# network that has only ever seen the first picture will be asked about all the others in lesson 02.
#
# ## 8. One grid, one scale
#
# The paper brings all images of a data set to one pixel spacing, and pads or crops them to one size. So do we:

# %%
print(f"worked on as {experiment.grid}")

# %% [markdown]
# Grey values have no unit: the same tissue may be 200 on one scanner and 3000 on another. So each image is **z-scored**
# by itself, $x \leftarrow (x - \bar{x}) / \sigma_x$, with its own mean $\bar{x}$ and standard deviation $\sigma_x$.


# %% tags=["exercise"]
def normalised(images):
    """(B, H, W) -> the same, each image with mean 0 and standard deviation 1."""
    ### BEGIN SOLUTION
    mean = images.mean((1, 2), keepdims=True)
    made = (images - mean) / images.std((1, 2), keepdims=True)
    ### END SOLUTION
    return made


check("normalised", normalised)

# %%
from advconf_lite.course.leak import intensities

intensities(run)

# %% [markdown]
# On the left grey values as they are stored, on the right what the network gets: the scanner's scale is gone. Its contrast,
# noise and artefacts are not, as the pictures above showed. The published code takes mean and deviation of the whole
# *domain*, which a single new scan does not have (`Settings(normalise="domain")`). Scanners that section 5 does not list are
# the validation scanners.
#
# ## 9. A slice set of your own
#
# Everything in this course is a **slice set**: a folder with `images.npy` (N × H × W), `masks.npy`, `slices.csv` (a row per
# slice) and `dataset.json`. The phantom writes one, `python -m data_download prepare` writes one from real archives, and you
# can write one with numpy. Twelve squares in noise stand in for your scans here.

# %%
from advconf_lite.data.slices import write_slice_set
from advconf_lite.data.splits import split_by_subject

masks = np.zeros((12, 64, 64), np.uint8)  # yours: 0 = background, 1 = the first class
masks[:, 20:44, 24:40] = 1
images = np.random.default_rng(0).normal(100, 10, masks.shape) + 50 * masks
names = [f"P{number // 2}" for number in range(12)]  # yours: whose slice it is

# %%
split = split_by_subject(names)
table = pd.DataFrame({"subject": names, "slice": [0, 1] * 6, "split": map(split.get, names)})
table = table.assign(dataset="mine", domain="our scanner", phase="T2", spacing_mm=1.5)
info = {"name": "mine", "class_names": ["lesion"], "source_domain": "our scanner"}
info |= {"size": 64, "spacing_mm": 1.5}  # the grid to work on
info |= {"tolerance_mm": 4.5}  # how far an outline may be off: for surface Dice, lesson 02
own = write_slice_set(run.folder / "data" / "own", images, masks, table, info)
own

# %% [markdown]
# `python -m data_download verify FOLDER` looks at all of it: labels, grey values, splits, and whether a file has changed
# since it was written. For M&Ms-2 and the prostate set it also compares the counts with the paper's Table 2. *Labels that
# its grid loses* are too small for the grid; *names like one patient's* are such as P1 and P1_followup, and *apart* if in
# two splits. Here nothing should differ:

# %%
from data_download.verify import as_table, verify

heading, findings = verify(own.folder)
print(heading, as_table(findings), sep="\n")

# %% [markdown]
# Now a mistake that happens: a patient was exported twice, and the second time under a new name. One slice of P0 stands
# in another part of the split as P9.
#
# **Guess:** which line will tell? `names`: the number of subjects in several splits; `content`: slices that another subject
# has too; `none`: neither.

# %%
guess("which_line_tells", None, choices=["names", "content", "none"])

# %%
there = "test" if split["P0"] != "test" else "train"
twice = pd.concat([table, table.iloc[[0]].assign(subject="P9", split=there)], ignore_index=True)
images_twice, masks_twice = (np.concatenate([of, of[:1]]) for of in (images, masks))
copy = write_slice_set(run.folder / "data" / "own-twice", images_twice, masks_twice, twice, info)

# %%
_, findings = verify(copy.folder)
wrong = [finding for finding in findings if finding.ok is False]
print(as_table(wrong))
content = any("another subject" in finding.check for finding in wrong)
reveal("which_line_tells", "content" if content else "names" if wrong else "none")

# %% [markdown]
# The names differ, so a count of names stays at zero and all looks well; the pixels give it away. It is the leak of
# section 3 once more, and this time no care with names would have prevented it. Lesson 07 has three planted errors for you
# to find.
#
# ## Summary
#
# * A split by slice puts nearly every validation subject into training. A look-up table then scores well; by subject it
#   does not.
# * A scanner is a set of numbers on a protocol sheet. Contrast follows from them by a formula, and so does the shift.
# * Two images of two subjects on two scanners cannot tell which of both made the difference.
# * Each image is normalised by itself, so that a single new scan can be scored. That removes the scale, not the shift.
# * A slice set is four files, and `verify` checks them.
#
# Previous: [00 · Start here](00_start_here.ipynb). Next: [02 · Pretraining](02_pretraining.ipynb), in which a network
# trained on one scanner meets the others, and fails without a sign.
#
# The paper: [Lennartz and Schultz, MIDL 2025](https://openreview.net/forum?id=0BQ6JPGwZa); its section 4.1 has the two
# data sets, and [the authors' code](https://github.com/MedVisBonn/midl25) the split. Further reading: the prostate set,
# [Liu, Dou and Heng 2020](https://doi.org/10.1007/978-3-030-59713-9_46), and the heart's,
# [Martín-Isla and others 2023](https://doi.org/10.1109/JBHI.2023.3267857).
