# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Ten minutes: would you have noticed?
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Next: [01 data preparation](01_data_preparation.ipynb)
#
# **To read:** about 10 minutes; exercises and widgets come on top. **To run:** 15 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 600 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/00_start_here.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/00_start_here.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/00_start_here.ipynb
# <!-- end -->
#
# <!-- makes: a game of quality control: twelve outlines, you and three machines -->
#
# **The question:** a network has outlined an organ on twelve images, and nobody tells you which outlines are wrong. Would
# you have noticed?
#
# Most of the time goes into looking. Where the course brought its trained networks along, nothing is trained; no GPU and no
# knowledge of segmentation are needed.
#
# **After this lesson you can** say what a silent failure is, what a confidence head is for, and how one would show that it
# helps.

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
use: str = "shipped"  # what the course brings along; trained where that lacks, or with train

# %%
from advconf_lite.course.lessons import start_at_once

run = start_at_once(data, profile, out, "dice", "plain adversarial", use)
experiment = run.experiment

# %% [markdown]
# ## You are the quality control
#
# A U-Net was trained to outline an organ on the images of **one** MR scanner. A hospital now uses it on other scanners, too.
# Twelve of its outlines lie on your desk, from at most four scanners. You know the images and the outlines, and no more:
# in a hospital there is no ground truth beside them.

# %%
from advconf_lite.course.quality_control import quality_control
from advconf_lite.course.teach import check, choose, guess, mine_or_ours, reveal, verdict
from advconf_lite.figures.outlines import quality_grid
from advconf_lite.figures.style import show

game = quality_control(run, n=12)
look = experiment.class_names, experiment.spacing_mm
show(
    quality_grid(game.cases, *look),
    "Slices of test subjects with the network's outline. Which of them are failures?",
    "A grid of numbered MR slices, each with an outline, closed and smooth, that a network drew.",
)

# %% [markdown]
# The images are made by a simulation, a **phantom**, unless you have put in your own: virtual patients, and scanners that
# differ in their physics. So the truth is known exactly, and nobody's images are shown. One of the scanners is that of the
# network's training. The others were chosen, up to three, where good and bad outlines are mixed: where nearly all are good,
# or nearly all absurd, nobody needs a quality control.
#
# First a question about what you see. To answer, put a letter, such as `"a"`, in place of `None` and run the cell again;
# each answer gets its reply.

# %%
choose("smooth_outline", None)

# %% [markdown]
# Now **guess**: how many of the outlines are failures? It may be none. Your guess is written down before you see the truth,
# and the first one counts; to begin anew, delete `runs/guesses.json`. In the end guesses are scored like a machine's.

# %%
guess("failures on the desk", None, unit="outlines", within=(0, len(game.cases)))

# %% [markdown]
# You may **send four back** to a human who draws them again. Which? Change the numbers; there is no right answer to copy.

# %% tags=["exercise"]
### BEGIN SOLUTION: the numbers of the four outlines that you would send back, as in [1, 2, 3, 4]
my_picks = [1, 3, 6, 10]
### END SOLUTION

# %%
from advconf_lite.course.quality_control import send_back

picks = send_back(my_picks, len(game.cases))

# %% [markdown]
# ## The truth
#
# An outline is judged by its overlap with the truth. With $A$ the pixels inside the one and $B$ those inside the other, the
# **Dice** is $2|A \cap B| / (|A| + |B|)$: 1 if they are the same, 0 if they do not touch. Here an outline with a Dice below
# 0.7 is called a **failure**. The line is ours, and another one would be as good.

# %%
show(
    quality_grid(game.cases, *look, revealed=True, quality=game.quality, picked=picks),
    "The same slices with the true outline and the Dice. Red: failures. Blue: sent back. `plain` "
    "and `adversarial`: what two machines, which come below, take the Dice to be.",
    "The grid with white true outlines; failures are framed; below each its Dice and two grades.",
)

# %% [markdown]
# Count the failures yourself: `dice` holds one number for each outline.

# %% tags=["exercise"]
dice = game.true
### BEGIN SOLUTION: how many numbers in dice are below 0.7?
my_count = int((dice < 0.7).sum())
### END SOLUTION

# %%
check("how_many_failures", my_count, dice=dice)
reveal("failures on the desk", mine_or_ours("how_many_failures", my_count, dice=dice), "outlines")

# %% [markdown]
# Look at the outline with the lowest Dice again; the next figure names its scanner. The network drew it like any other, and
# gave no sign that it is wrong: this is a **silent failure**. In the image you may see it, if you look; somebody would have
# to look at every image. On another scanner tissues have another brightness, and the network relies on that.

# %%
from advconf_lite.figures.overlays import overlay

worst, label = game.worst()
show(
    overlay(worst.image, worst.truth, worst.prediction, *look, label=label),
    f"The outline with the lowest Dice on the desk, from {worst.title}, and what the Dice counts.",
    "A slice with its true and its predicted outline; below it the pixels that the Dice counts.",
)

# %% [markdown]
# ## Ask a machine
#
# A second, small network can be trained to *grade* the first one. It is called a **head**. It reads the features that the
# U-Net has computed on its way to the outline, and estimates the Dice that the outline would get, without the truth. The
# U-Net stays as it is. (Lesson 02 draws both.)
#
# Four words are used like this in all lessons. An outline's **quality**, or true score, is its Dice, or another measure,
# against the truth. A **grade**, or predicted score, is a head's estimate of it. **Certainty** is the segmenting network's
# own. A **confidence score** is anything that ranks outlines, an estimate of the quality or not.
#
# Three machines have looked at your desk:
#
# * `plain`: a head that was trained on images of the first scanner only;
# * `adversarial`: the same head, trained the paper's way, also on images that were changed so as to lower its own grades;
# * `agreement-15`: no head; the U-Net draws the outline 15 times with a little noise inside (dropout), and is trusted where
#   the 15 agree. This is the slow way, and its confidence score is an order, not a Dice.
#
# Each sends back as many as you did: those that it trusts least. To compare, write the function that counts. (Nobody can
# catch more than are sent back: that is the line "who knows the truth".)


# %% tags=["exercise"]
def caught(picks, dice):
    """How many failures are caught? picks: what was sent back, counted from 0; dice: of all."""
    ### BEGIN SOLUTION
    return sum(dice[pick] < 0.7 for pick in set(picks))
    ### END SOLUTION


# %%
check("caught", caught)

# %%
mine = mine_or_ours("caught", caught)([number - 1 for number in picks], dice)
print(f"you: {mine} of {game.failures} failures caught, {len(picks)} outlines sent back")
print(game.caught(picks).to_string(index=False))

# %% [markdown]
# Twelve outlines are a game and no evidence: with another twelve the order of these lines may change. What they do show is
# that a machine can be *asked*, in milliseconds, and that its answer is worth something only if it holds on a scanner which
# it has never seen. Look at the grades of the failures above, too. To find a failure it is enough to rank it last; to *say*
# that it failed, the grade itself has to fall.
#
# ## It can be fooled
#
# A grade is a number that a network computes, so one can ask in which direction to change an image for the grade to fall
# fastest: the gradient says so. A small step in that direction lowers the grade. Does it also spoil the outline?
#
# **Guess** first: images are changed so that the grade of `plain` falls by 0.1, as a mean over some slices. How far does the
# true Dice fall, as a mean over the same slices? 0: not at all.

# %%
guess("Dice lost when the grade falls by a tenth", None, within=(-1, 1))

# %%
from advconf_lite.course.quality_control import fool
from advconf_lite.figures.fooling import fooled_row

fooled = fool(run)
show(
    fooled_row(fooled.before, fooled.after, *look, quality=game.quality),
    f"A slice before and after a small change that follows the gradient of `{fooled.maker}`.",
    "An image, a noise-like perturbation, and the outlines before and after, with Dice and grades.",
)
reveal("Dice lost when the grade falls by a tenth", fooled.lost)
print(fooled)

# %% [markdown]
# Where the grade falls further than the Dice, the head reacts to something that does no such harm. The picture is the slice
# on which the two part most, and the line below it has the means, which decide. The paper's idea is to use this: make such
# images during training, look up what they *really* do to the Dice, and train the head on that. Step by step its gradient
# then points to changes that matter. Lesson 03 does it, line by line.
#
# ## Does it help?
#
# One sentence for a whole experiment has to come from many subjects and several trainings. A **seed** fixes the random
# numbers of a training; a pair of seeds is one U-Net and one head on it. With other subjects and seeds each difference
# would come out otherwise, and its 95 % **interval** says how much: where 0 lies inside, the two methods are not told
# apart. A **domain** is a scanner; whoever was on two of them counts twice.
#
# The next cell computes the sentence from all pairs of seeds in this run's folder, whatever comes out, and sets the paper's
# claim beside it. Three measures occur in it: **Pearson** (do grades follow the true scores?), **eAURC** (do they rank
# slices well? smaller is better) and **MAE** (how far are they off? smaller is better).

# %%
verdict(run)

# %% [markdown]
# ## Is this machine ready for the rest?
#
# The other lessons train what is not there yet. One line if all is well; else a line for each thing that is missing.

# %%
from advconf_lite.course.check import print_report, run_checks

status = print_report(run_checks(extras=()))

# %% [markdown]
# ## Summary
#
# * A network can be wrong without a sign of it, most of all on a scanner that it has not been trained on.
# * A small head can be asked for a grade, without the truth; it costs next to nothing.
# * A head can be fooled: a change may lower the grade and do the outline less harm than that, or none.
# * Whether training with such changes helps on new scanners is a question for intervals, not for a picture.
#
# ## How the course goes on
#
# Each lesson starts on its own: what an earlier one would have made is made when it is missing. Lesson
# [01](01_data_preparation.ipynb) makes the scanners, [02](02_pretraining.ipynb) lets the U-Net fail,
# [03](03_adversarial_training.ipynb) trains heads and fools them, [04](04_evaluation_across_scanners.ipynb) asks whether it
# helps, [05](05_score_agreement.ipynb) what agreement costs, [06](06_ablations_and_controls.ipynb) what does the work. The
# [README](../README.md#the-lessons) lists them all. With exercises to fill in they are in the folder `notebooks/student`.
#
# The paper: J. Lennartz and T. Schultz, *Adversarial Perturbations Improve Generalization of Confidence Prediction in
# Medical Image Segmentation*, [MIDL 2025](https://proceedings.mlr.press/v301/lennartz26a.html); [its
# code](https://github.com/MedVisBonn/midl25). Further: [Zenk et al., 2025](https://doi.org/10.1016/j.media.2024.103392)
# compare methods that detect failures; [DeVries and Taylor, 2018](https://arxiv.org/abs/1807.00502), predict a
# segmentation's quality from its uncertainty; [Maier-Hein et al., 2024](https://doi.org/10.1038/s41592-023-02151-z) say
# which quality measure fits which question.
