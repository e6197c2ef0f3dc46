# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · Your own images: from an export to a list of what to look at first
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [06 ablations and controls](06_ablations_and_controls.ipynb) ·
# Next: [08 the papers scale](08_the_papers_scale.ipynb)
#
# **To read:** about 12 minutes; exercises and widgets come on top. **To run:** 15 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 800 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/07_your_own_images.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/07_your_own_images.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/07_your_own_images.ipynb
# <!-- end -->
#
# <!-- makes: your own images as a slice set, three planted errors found, your own network, a contact sheet, worst first -->
#
# **The question.** A folder has come from your scanner. Can you trust the *folder*? Can you train on it, with a
# network of your own? And when new images come for which nobody has drawn an outline: which of them should a human
# look at first?
#
# **After this lesson you can**
#
# * write your images as a slice set, and let `verify` look for what a network would silently learn from,
# * take your own PyTorch network through the course,
# * grade images without masks, make a contact sheet with the lowest grade first, and check whether that order is worth
#   anything.
#
# The first part trains nothing; the second trains a toy network in seconds; the third uses the run of the other lessons,
# and makes it if it is not there. A multiple choice: put the letter of your answer in place of `None`, and run the cell
# again.

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

# %% tags=["parameters"]
data: str = "phantom:prostate"  # phantom:prostate, phantom:cardiac or a slice-set folder
profile: str = "quick"  # smoke (seconds), quick (minutes), medium (hours), full, paper (GPU)
out: str = ""  # the run's folder; "" is runs/DATA-PROFILE, as runs/prostate-quick
use: str = "train"  # train what the folder lacks; or shipped: what the course brings along (quick, Dice)
quality: str = "dice"  # qualities g to predict, separated by spaces
methods: str = "plain adversarial"  # separated by spaces

# %%
import shutil

from advconf_lite.course.lessons import start

run = start(data, profile, out, quality, methods, use)
place = run.folder / "lesson-07"  # all that this lesson writes, anew each time
shutil.rmtree(place, ignore_errors=True)

# %% [markdown]
# ## Failure first: an export with three errors
#
# A colleague has exported five people from two wards, three slices each, with outlines. **Three slices are wrong.** The
# images are made up, the errors are not: each is one that real exports have.
#
# **Your guess:** how many of the three errors can be seen in a picture of all slices with their outlines? Then look.

# %%
from advconf_lite.course.teach import guess, reveal

guess("errors_that_can_be_seen", None, unit="errors", within=(0, 3))

# %%
from advconf_lite.course.own import INFO, an_export, as_it_came, as_outlined
from advconf_lite.figures.outlines import quality_grid
from advconf_lite.figures.style import show

export = an_export()
show(
    quality_grid(as_outlined(export), ["label 1", "label 2"]),
    "The export, slices 1 to 15, with the outlines that came along.",
    "A grid of 15 small noisy images, one of them black, each with outlines.",
)

# %%
export.table.head(4)

# %% [markdown]
# The set is what you see: `images` (N, H, W), `masks` (N, H, W) with whole numbers as labels, and one row per slice.
# If your data are NIfTI, MHA, NRRD or DICOM, a command makes it all, and says first what it has understood:
#
# ```bash
# python -m data_download prepare nifti --source FOLDER --out data/mine --dry-run
# ```
#
# If they are anything else that you can read into numpy, `write_slice_set` is the way. It refuses what would spoil a
# training, in one sentence:

# %%
from advconf_lite import BadInput, write_slice_set

try:
    write_slice_set(place / "mine", export.images, export.masks, export.table, INFO)
except BadInput as error:
    print(error)

# %% [markdown]
# One error at a time. `verify` looks at *all* of a set that is already on disk. These are its lines that differ, with
# what is expected and what was found:

# %%
from data_download.verify import verify

heading, findings = verify(as_it_came(export, place / "as-it-came"))
for finding in findings:
    if finding.ok is False:
        print(f"{finding.check:28} {finding.domain:8} {finding.expected:>8} -> {finding.found}")
print(f"{sum(finding.ok is True for finding in findings)} other checks are met")

# %% [markdown]
# It says *what* is wrong and on which scanner, not which slice. That is left to you. **Exercise:** give the numbers
# of the three slices, counted from 0 as numpy does (slice 1 of the picture is number 0). `leak`: the slice whose
# `split` is not that of the two others of its subject. `label`: the slice with a label that has no name. `constant`:
# the slice of one grey value.

# %% tags=["exercise"]
import numpy as np

images, masks, table = export.images, export.masks, export.table
### BEGIN SOLUTION
usual = table.groupby(["domain", "subject"])["split"].transform(lambda each: each.mode()[0])
found = {
    "leak": int(np.flatnonzero(table["split"] != usual)[0]),
    "label": int(np.flatnonzero((masks > len(INFO["class_names"])).any((1, 2)))[0]),
    "constant": int(np.flatnonzero(images.std((1, 2)) == 0)[0]),
}
### END SOLUTION

# %%
from advconf_lite.course.teach import check, mine_or_ours

check("planted_errors", found, **export.planted)
wrong = mine_or_ours("planted_errors", found, **export.planted)
reveal("errors_that_can_be_seen", 2)  # the grey one and the odd outline, but not the leak

# %% [markdown]
# Two of them can be seen, if you know where. The third cannot, and is the worst: a subject in two splits is *tested on
# what was learnt*, and every number gets better by it. Without the three slices the set is written, and `verify` has
# nothing to say.

# %%
good = export.without(list(wrong.values()))
mine = write_slice_set(place / "mine", good.images, good.masks, good.table, INFO)
heading, findings = verify(mine.folder)
print(heading.splitlines()[0])
print(f"{sum(finding.ok is False for finding in findings)} of {len(findings)} lines differ")

# %% [markdown]
# ## A network of your own
#
# Any PyTorch module that turns images (B, 1, H, W) into logits (B, classes, H, W) will do. Say which layer's output
# the heads are to read: the paper's features $z$, in the paper from the *penultimate resolution level* of its U-Net.
# Nothing else changes: `Run` trains it (or takes your weights), trains the heads, and scores.

# %%
from torch import nn

from advconf_lite import Run
from advconf_lite.experiment.networks import Network


def my_network(num_classes):
    first = nn.Sequential(nn.Conv2d(1, 12, 5, padding=2), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(12, 12, 5, padding=2), nn.ReLU())
    return nn.Sequential(first, second, nn.Conv2d(12, num_classes, 1))


# %%
network = Network.of(my_network, layer="1")
toy = Run(place / "toy-run", mine.folder, "smoke", ["dice"], ["plain", "adversarial"],
          network=network)  # fmt: skip
columns = ["true_score", "predicted_score"]
toy.predict_heads().groupby(["domain", "method"])[columns].mean().round(2)

# %% [markdown]
# Grades far from the truth, above 1 even: the profile `smoke` trains for seconds and learns next to nothing. It shows
# that every part fits. For results it is `"quick"`, or one command, with the function in a file of yours:
#
# ```bash
# python -m advconf_lite run --data data/mine --network my_file:my_network --layer 1 --weights mine.pt
# ```
#
# A layer name that does not exist is answered with all that do:

# %%
try:
    Network.of(my_network, layer="decoder").build(num_classes=2)
except BadInput as error:
    print(str(error)[:300])

# %% [markdown]
# ## New images, no outlines: what to look at first
#
# Back to the run of the other lessons. From one of its scanners come new images; nobody has drawn anything on them.
# (We keep the truth in a drawer, to see at the end how well the list was.)

# %%
from advconf_lite.course.own import new_images

source, *targets = run.experiment.evaluated()
scanner = targets[0] if targets else source
new = new_images(run, scanner, place / "new")
print(f"{len(new.table)} slices of {scanner}, masks: {new.masks}")

# %%
from advconf_lite.experiment.predict import predict

run.heads()  # trained now if they are not
head = "adversarial" if "adversarial" in run.methods else run.methods[0]
scores = predict(run.folder, new.folder, place / "scores.csv", method=head)
scores[["subject", "slice", f"predicted_{run.qualities[0]}"]].head(5).round(3)

# %% [markdown]
# The same as a command: `python -m advconf_lite predict --run RUN --data data/new --out scores.csv`. The table is
# sorted, the lowest grade first; a slice on which the network gives no number comes before all. Here are the
# first twelve as a contact sheet.

# %%
from advconf_lite.course.own import contact_sheet
from advconf_lite.figures.outlines import one_subject_all_scanners

segmenter, title = run.segmenter(), run.quality(run.qualities[0]).measure.title
sheet = contact_sheet(run, segmenter, new, scores)
show(
    one_subject_all_scanners(sheet, run.experiment.class_names, run.experiment.spacing_mm, title),
    f"Contact sheet of {scanner}: the slices of the lowest predicted {title}, the worst first.",
    "Twelve slices with the predicted outline and the grade below each.",
)
first = scores.head(len(sheet))["subject"]
print(f"{len(sheet)} slices of {first.nunique()} subjects; {first.value_counts().iloc[0]} of them are of {first.mode()[0]}")

# %% [markdown]
# Would you have sent these back? You can judge by eye here, which is the point of a contact sheet: twelve slices in
# half a minute instead of all. Mind the line below it: what is sent back or released is a *patient*, not a slice.
# Slices at the organ's ends are small, so that a few pixels cost much Dice; a list of slices may be a list of ends,
# or of one patient. And the mean of a patient's Dice is not the Dice of the volume. **Exercise:** the list itself, as
# a function.


# %% tags=["exercise"]
def worst_first(predicted, budget):
    ### BEGIN SOLUTION
    numbers = np.argsort(predicted)[:budget]
    ### END SOLUTION
    return numbers


# %%
check("worst_first", worst_first)

# %% [markdown]
# ### Open the drawer
#
# **Your guess:** a tenth of the slices is sent back. Which share of all failures (quality below 0.7) is among them? By
# lot it would be a tenth.

# %%
guess("share_of_failures_caught", None, within=(0, 1))

# %%
from advconf_lite.course.evidence import with_images
from advconf_lite.course.triage import list_by_scanner

truth = with_images(run, run.predict_heads())
truth = truth[(truth["method"] == head) & (truth["quality"] == run.qualities[0])]
lists = list_by_scanner(truth)
here = lists.loc[scanner]
reveal("share_of_failures_caught", here["caught"] / here["failures"] if here["failures"] else None)
print(f"{here['sent back']:g} of {here['slices']:g} sent back: {here['caught']:g} of {here['failures']:g} failures caught; "
      f"at best {min(here['sent back'], here['failures']):g}, by lot {here['by lot']:.1f}")  # fmt: skip

# %% [markdown]
# More than lots would catch? The same on every scanner of the run. The last column is the chance that lots catch as
# many; it takes slices for independent, which those of a patient are not, so the real chance is larger.

# %%
idle = [name for name, row in lists.drop(index=source, errors="ignore").iterrows() if row["caught"] < row["by lot"] + 1]
print("not even one failure more than by lot:", ", ".join(idle) or "no target scanner")
lists.round(2)

# %% [markdown]
# Where nearly every slice has failed, as on the prostate's endorectal scanners, *any* list is full of failures: there
# is no order to find, and no use for a list; what is needed there is another segmenter. Where a list catches no more
# than lots, its order is worth nothing *there*, and no number of the head has told you so. Nor does success on one
# scanner carry over to the next.
#
# So the honest use of a head on a scanner that it has never seen is not the number, but the *order*, and only after
# you have looked whether the order is worth anything there. On your own images there is no drawer: outline a few
# slices of the top and a few of the bottom of the list by hand, and compare. (That tells whether there is an order.
# Labels to *correct* the numbers by, and a bound that holds for new patients, must be drawn by chance instead: one or
# two slices of each of several patients, and then [calibrate](../docs/commands.md#calibrate) and `predict
# --calibration`; [triage](../docs/commands.md#triage) says what a threshold of home lets through elsewhere.)

# %%
from advconf_lite.course.teach import choose

choose("own_scanner", None)

# %% [markdown]
# ## Summary
#
# * A slice set is two arrays and a table; `write_slice_set` or `prepare` makes it, and refuses what would leak.
# * `verify` finds what cannot be seen: a subject in two splits, a label without a name, an image of one grey value.
# * Your own network needs a function that builds it, and the name of the layer that the heads read.
# * `predict` needs no masks: it gives a list, the lowest grade first. Trust the order before the number, and the order only
#   where you have checked it by hand.
#
# **Go on** with [08 · The paper's scale](08_the_papers_scale.ipynb), or back to
# [06 · Ablations and controls](06_ablations_and_controls.ipynb).
# **Read on:** [layouts that `prepare` understands](../docs/data.md#your-own-images), [options of
# `run`](../docs/commands.md#run), [the paper](https://proceedings.mlr.press/v301/lennartz26a.html), section 3.1, for
# where a head is attached; Wundram et al. 2024, [conformal ranges of a segmentation's
# Dice](https://arxiv.org/abs/2407.13307): from some outlined images of *your* scanner a bound that holds with a chosen
# probability, and holds no longer once the scanner changes.
