# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · Evaluation across scanners: does it help?
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [03 adversarial training](03_adversarial_training.ipynb) ·
# Next: [05 score agreement](05_score_agreement.ipynb)
#
# **To read:** about 16 minutes; exercises and widgets come on top. **To run:** not measured yet.
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/04_evaluation_across_scanners.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/04_evaluation_across_scanners.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/04_evaluation_across_scanners.ipynb
# <!-- end -->
#
# <!-- makes: broken promises, risk-coverage curves, three numbers with intervals, and a verdict (Figure 3) -->
#
# **The question.** A head gives grades, and you have taught it with its own adversarial images. On scanners that it has
# never seen: are its grades right, do they at least put the slices into the right order, and is it *better* than the head
# without that teaching? A bar that is higher than another is no answer. This lesson is about what is.
#
# **After this lesson you can**
#
# * look at predictions before you summarise them, and count the promises that were broken,
# * read a risk-coverage curve, and compute AURC and eAURC by hand,
# * say why intervals are drawn over subjects and seeds and never over slices,
# * write the one sentence that an interval supports, and no other.
#
# It continues [lesson 03](03_adversarial_training.ipynb), and starts on its own.

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
from advconf_lite.course.tables import all_predictions

run = start(data, profile, out, quality, methods, use)
source, g = run.experiment.slices.source_domain, run.qualities[0]
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]
all_predictions(run, seeds)  # what the folder lacks is made now
metrics, predictions = run.metrics(), run.predictions()

# %% [markdown]
# `predictions` has one row per slice, method and pair of seeds (one of the U-Net, one of the head): what was promised,
# and what is true. On the way to a promise nothing looks at the ground truth. The table holds *everything* that the
# run's folder has, also from other lessons.

# %%
from advconf_lite.course.evidence import methods_of

names = methods_of(predictions)
ours, others = names[0], names[1:]  # adversarial, where the run has it
counts = predictions.groupby("method", sort=False)[["segmenter_seed", "head_seed"]].nunique()
print(f"{len(predictions):,} rows; methods: {', '.join(names)}")
print(f"seeds of {ours}: {counts.loc[ours, 'segmenter_seed']} of the U-Net, "
      f"{counts.loc[ours, 'head_seed']} of the head")  # fmt: skip

# %% [markdown]
# ## Failure first: promises that were broken
#
# Say that a promise is **broken** when a head predicts more than 0.2 above what the slice is worth. It is the
# dangerous kind of error: somebody relies on that outline.
#
# **Your guess:** of all slices of the *target* scanners, on which share does the adversarial head break its promise?
# Put a number from 0 to 1 in place of `None`.

# %%
from advconf_lite.course.teach import guess, reveal

guess("share_of_broken_promises", None, within=(0, 1))

# %%
from advconf_lite.course.evidence import overpromised
from advconf_lite.course.pictures import slices_of
from advconf_lite.figures.outlines import one_subject_all_scanners
from advconf_lite.figures.style import show

title, segmenter = run.quality(g).measure.title, run.segmenter(segmenter_seeds[0])
worst = overpromised(run, predictions, ours, g)
judges = {key: head for key, head in run.heads(*seeds[0]).items() if key[0] in ("plain", ours)}
cases = slices_of(run, segmenter, worst, judges)
show(
    one_subject_all_scanners(cases, run.experiment.class_names, run.experiment.spacing_mm, title),
    f"Where {ours} promised most above the truth: white is the true outline; below each slice its "
    f"true {title}, and what each head promised.",
    f"Slices of target scanners with a poor outline, a low true {title} and high promises.",
)

# %% [markdown]
# Each of these would have been released. Look at the *outlines*, not only at the numbers. In the stored run of the
# prostate the network draws a neat, smooth outline, and draws it around the *coil*, the dark disc below the gland: you
# see it at a glance, and the heads do not. Do they differ at least, or are both wrong together?
#
# ## Look before you summarise
#
# Six slices are an anecdote. Here are all of them, one point each. **Before you run the next cell:** which picture
# would a head make that always predicts the same number?

# %%
from advconf_lite.figures.promises import BROKEN_BY, promises

heads = [name for name in names if name in ("plain", "adversarial")] or names
shown = [*heads, "constant"]
for name in run.qualities:
    show(
        promises(predictions, name, shown, source),
        f"Predicted against true {run.quality(name).measure.title}. Red: broken promises.",
        "Scatter plots of predicted against true score, a panel per method; broken ones in red.",
    )

# %%
from advconf_lite.course.evidence import of_first_pair

rows = of_first_pair(predictions, g)
rows = rows[(rows["method"] == ours) & (rows["domain"] != source)]
broken = rows["predicted_score"] - rows["true_score"] > BROKEN_BY
reveal("share_of_broken_promises", broken.mean())

# %% [markdown]
# `constant` is the horizontal line: it predicts the mean score of source validation for every image, and looks at
# nothing. A head that is worth its name has to beat it. Points may lie above 1: the head's last layer is linear, and
# nothing stops it.
#
# ## Three numbers
#
# With the predicted score $\hat{s}$ and the true one $s$:
#
# | number | question | what it cannot see |
# |---|---|---|
# | **Pearson** $r$ of $\hat{s}$ and $s$ | do high grades go with high scores? | a shift or a scale of all grades |
# | **MAE** $\frac{1}{n}\sum_i \lvert \hat{s}_i - s_i \rvert$ | are the numbers themselves right? | the order |
# | **eAURC** | whom would you have sent back? | the numbers |
#
# They are the paper's three (section 4.3). Its *volumetric Dice* is our `dice`, its confidence score $g$ our
# *quality*; both are taken slice by slice.

# %%
from advconf_lite.course.teach import choose

choose("high_correlation")

# %% [markdown]
# ### Risk and coverage
#
# You release the slices that were promised most, and send back the others. **Coverage** is the share that you release;
# **risk** is the mean of $1 - s$ over what you have released. Sort by promise, release one slice more each time, and the
# risks make a curve. Its mean is the AURC (Geifman et al. 2018):
#
# $$\mathrm{AURC} = \frac{1}{n} \sum_{k=1}^{n} \frac{1}{k} \sum_{i \le k} (1 - s_{(i)}), \qquad
#   \mathrm{eAURC} = \mathrm{AURC} - \mathrm{AURC}_{oracle}.$$
#
# The **oracle** sorts by the true score itself. What you pay above it is the price of your order: the *excess* AURC, 0
# for a perfect one. **Exercise:** five slices, the second best promise is the worst slice. Do it by hand.

# %% tags=["exercise"]
import numpy as np

predicted = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
true = np.array([0.9, 0.4, 0.8, 0.7, 0.6])
### BEGIN SOLUTION
risk = 1 - true  # they are sorted by promise already
my_aurc = np.mean([risk[:k].mean() for k in range(1, 6)])
### END SOLUTION

# %%
from advconf_lite.course.teach import check

check("aurc_by_hand", my_aurc)

# %% [markdown]
# **Exercise:** the same for any slices, in any order, and minus the oracle's.


# %% tags=["exercise"]
def my_eaurc(predicted, true):
    ### BEGIN SOLUTION
    def aurc(confidence):
        risk = (1 - true)[np.argsort(-confidence)]
        return np.mean(np.cumsum(risk) / np.arange(1, len(risk) + 1))

    excess = aurc(predicted) - aurc(true)
    ### END SOLUTION
    return excess


# %%
check("my_eaurc", my_eaurc)

# %% [markdown]
# ### The curves
#
# One scanner, a panel per method. The shaded area *is* the eAURC in the title.

# %%
from advconf_lite.course.evidence import telling_scanner
from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.figures.promises import risk_coverage

scanner = telling_scanner(of_first_pair(predictions, g), source, FAILURE)
curves = [*heads, *(name for name in names if name.startswith("agreement"))][:4]
show(
    risk_coverage(predictions, scanner, g, curves),
    f"Risk-coverage curves on {scanner}. Shaded: what the order of each method costs, its eAURC.",
    "A panel per method: its curve above the oracle's, the area between them shaded.",
)

# %% [markdown]
# Read a curve from the left. The first slices are those that the method is surest of; a curve that *starts* high has
# its worst mistakes among them. All curves end in one point: who releases everything needs no order. A curve at the
# dotted line is as good as drawing lots.
#
# ### The triage desk
#
# Now you sit at the desk. A pile of slices, a budget of how many a colleague has the time to look at. The challenge:
# **which ranking catches most failures with ten slices?** Write your own order into `my_picks` first (numbers, the one
# that you would send back first comes first), and look whether you beat the heads.

# %%
from advconf_lite.course.widgets.desk import triage_desk

my_picks = []  # for example [3, 17, 8]
desk = triage_desk(run, segmenter, scanner, my_picks, predictions, [*curves, "constant"])

# %%
budget = min(10, len(desk.true) // 2)
for ranking in desk.scores:
    desk.draw(budget, ranking, False)
    now = desk.now
    print(f"{ranking:20} {now.caught:4.1f} of {now.failures} failures caught, "
          f"risk of what is released {now.risk:.3f}")  # fmt: skip

# %% [markdown]
# Your point on the curve is one number. **Exercise:** write the function that gives it, for any share that is released.


# %% tags=["exercise"]
def released_risk(predicted, true, share):
    ### BEGIN SOLUTION
    best_first = np.argsort(-predicted)[: round(share * len(true))]
    risk = np.mean(1 - true[best_first])
    ### END SOLUTION
    return risk


# %%
check("released_risk", released_risk)

# %% [markdown]
# ## How sure are we?
#
# Every number so far is of *these* people. Other people would have given other numbers; how different, the
# **bootstrap** estimates: draw as many again with replacement, compute anew, do it often, and take the middle 95 %.
# The only decision is *what* is drawn. Slices of one subject resemble each other: the tenth slice of a patient is no
# tenth patient.
#
# **Exercise:** the width of the interval of the MAE, once when `unit` is the slice and once when it is the subject.
# How many times wider is the second?

# %%
rows = of_first_pair(predictions[predictions["method"] == ours], g)
rows = rows[(rows["domain"] != source) & np.isfinite(rows["predicted_score"])]
subjects = rows["domain"] + "/" + rows["subject"]
error = (rows["predicted_score"] - rows["true_score"]).abs()


# %% tags=["exercise"]
def width(unit):
    ### BEGIN SOLUTION: draw units anew, 2000 times; the MAE of each draw; the middle 95 %
    sums = error.groupby(np.asarray(unit)).agg(["sum", "count"]).to_numpy()
    drawn = sums[np.random.default_rng(1).integers(len(sums), size=(2000, len(sums)))]
    low, high = np.percentile(drawn[..., 0].sum(1) / drawn[..., 1].sum(1), [2.5, 97.5])
    wide = high - low
    ### END SOLUTION
    return wide


# %% tags=["exercise"]
by_slice, by_subject = width(range(len(rows))), width(subjects)
### BEGIN SOLUTION: how many times wider is the second?
ratio = by_subject / by_slice
### END SOLUTION

# %%
from advconf_lite.course.teach import mine_or_ours

given = {"subjects": subjects, "predicted": rows["predicted_score"], "true": rows["true_score"]}
check("width_ratio", ratio, **given)
times = mine_or_ours("width_ratio", ratio, **given)
print(f"{len(rows)} slices of {subjects.nunique()} subjects: {times:.1f} times as wide by subject")

# %% [markdown]
# An interval over slices pretends to know more people than were measured. All intervals of this course draw subjects, and
# seeds as well, where there are several: another U-Net is another experiment.
#
# ## Is it better?
#
# Not "how good is each", but "how large is the **difference**": both methods are scored on the same slices of the same
# drawn subjects, scanner by scanner, and the differences are averaged over the target scanners. **Your guess**, of the
# correlation: is `adversarial` better than `plain` on this run, worse, or can the two not be told apart?

# %%
guess("adversarial_against_plain", None, choices=["better", "worse", "not told apart"])

# %%
from advconf_lite.course.evidence import beside_the_other_organ, differences
from advconf_lite.figures.controls import forest

table = differences(predictions, source, ours, others)
if others:
    show(
        forest(beside_the_other_organ(run, table, ours), ours),
        f"{ours} minus each other method with its 95 % interval, means over the target scanners.",
        "A row per method, a panel per number: intervals beside or across the line at zero.",
    )
else:
    print("This run has one method here, and nothing to compare it with.")

# %%
from advconf_lite.course.evidence import word_for

word = word_for(predictions, source, "adversarial", "plain", "pearson", g)
reveal("adversarial_against_plain", word)

# %% [markdown]
# Go row by row: does the interval cross the zero line? Then this run does not tell the two apart, which is not the
# same as *equal*: its ends say how large a difference could still be there. Does it lie on one side? Then look which
# side is better (for eAURC and MAE, the left), and at the end that is nearer to zero.
#
# The other methods are [lesson 06](06_ablations_and_controls.ipynb)'s controls: heads that saw as many images, or images
# changed by as much, without the idea of the paper. A head that beats `plain` and none of them owes it to something else.

# %%
choose("supported_sentence")

# %% [markdown]
# ### The verdict
#
# `verdict` reads the intervals and says what they say, and sets the paper's claim beside it as what it is: another
# measurement, on other images.

# %%
from advconf_lite.course.teach import verdict

verdict(run, against=others[:1] or ["plain"], method=ours)

# %% [markdown]
# ## One seed is an example
#
# Train the same thing again with other seeds, and the number moves. The **seed fan** adds pairs of seeds one after the
# other. The cross is what a pair says alone; the band is what all so far say together. Move `pairs` from 1 upwards:
# does the first pair's sentence survive? `order` shuffles the pairs: which sentence would *you* have published with
# one pair?

# %%
from advconf_lite.course.widgets.seeds import seed_fan

pairs = predictions[predictions["method"] == ours].groupby(["segmenter_seed", "head_seed"]).ngroups
if pairs > 1 and others:
    against = [name for name in others if name in ("plain", *curves)] or others[:1]
    fan = seed_fan(predictions, source, against, ours, g)
else:
    print(f"pairs of seeds: {pairs}, methods: {len(names)}; a fan needs two of each (head_seeds).")

# %%
from advconf_lite.figures.fan import seed_fan as whole_fan

if pairs > 1 and others:
    other, metric = against[0], fan.metrics[0]
    opened = fan.opened(other, metric, 0)
    show(
        whole_fan(opened, ours, other, metric),
        f"All pairs of seeds: {ours} minus {other} as each is added. Hollow: not told apart.",
    )
    higher = (opened["alone"] > 0).sum()
    print(f"alone, {higher} of {len(opened)} pairs put {ours} above {other}")

# %% [markdown]
# In class everybody can be one seed: each laptop trains its own head, and the fan of the room is drawn at the end.
#
# ## Scanner by scanner
#
# A mean over scanners may hide one. **Your guess:** on which target scanner does adversarial training gain most
# correlation?

# %%
targets = [name for name in dict.fromkeys(metrics["domain"]) if name != source]
guess("scanner_of_the_largest_gain", None, choices=targets or [source])

# %%
from advconf_lite.course.evidence import gains
from advconf_lite.figures.scores import figure3

show(
    figure3(metrics[metrics["method"].isin(heads)], source),
    "As the paper's Figure 3, heads only: three numbers per scanner.",
    "Dots per scanner and method in a panel for each of correlation, eAURC and MAE.",
)
gain = gains(metrics, source, "adversarial", "plain", "pearson", g)
reveal("scanner_of_the_largest_gain", gain.index[0] if len(gain) else None)

# %%
gain.round(3).to_frame("Pearson: adversarial minus plain")

# %% [markdown]
# Count the signs before you look at the largest one. A method that gains on one scanner and loses on the next is
# sensitive to the scanner, and a mean says little about the next one. What the whiskers are stands below the figure:
# with one pair of seeds an interval over subjects, with several the spread over seeds.
#
# ## You, as a head
#
# Each of your guesses of a score was a predicted score. So you have an MAE and an eAURC of your own, from the lessons
# so far:

# %%
from advconf_lite.course.teach import scorecard

scorecard(run, ours, g)

# %% [markdown]
# A head had one glance at one slice, and you had the whole story: it is a mirror, and no race. With `sure=0.8` in a guess
# you can also say how sure you are, and see whether you know when you know.
#
# ## The transfer case
#
# Does it hold on another organ? Set `data = "phantom:cardiac"` in the parameters and run this lesson again; nothing else
# changes. On the heart the shift is moderate, and a class may be *absent*: what that does to every number here is told in
# [lesson 02](02_pretraining.ipynb). Nine pairs of seeds of both organs are on [a page of their
# own](../docs/results/phantom.md).
#
# ## Summary
#
# * Look first: the scatter shows broken promises that no correlation sees.
# * $r$ forgets shift and scale, MAE forgets the order; eAURC is the area between your risk-coverage curve and the
#   oracle's.
# * Draw subjects and seeds, never slices; compare two methods by their paired difference.
# * An interval supports one sentence: of whom, on what, in which direction, or that this run does not tell them apart.
# * One pair of seeds is an example. The paper itself adds that it "does not yet establish a new benchmark".
#
# **Go on** with [05 · Score agreement](05_score_agreement.ipynb), or back to
# [03 · Adversarial training](03_adversarial_training.ipynb).
# **Read on:** [the paper](https://proceedings.mlr.press/v301/lennartz26a.html), sections 4.3 and 5; Geifman et al. 2018,
# [Bias-reduced uncertainty estimation](https://arxiv.org/abs/1805.08206), for risk and coverage; Zenk et al. 2025,
# [a benchmark of failure detection in segmentation](https://arxiv.org/abs/2406.03323).
