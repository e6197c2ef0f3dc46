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
# **To read:** about 21 minutes; exercises and widgets come on top. **To run:** 40 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 700 MB of memory).
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

# %% tags=["parameters", "pipeline", "beside"]
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
from advconf_lite.course.tables import all_predictions, of_run, pairs_text

run = start(data, profile, out, quality, methods, use)
source, g = run.experiment.slices.source_domain, run.qualities[0]
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]
all_predictions(run, seeds)  # what the folder lacks is made now
predictions, metrics = of_run(run)

# %% [markdown]
# `predictions` has one row per slice, method and pair of seeds (one of the U-Net, one of the head): what was promised,
# and what is true. On the way to a promise nothing looks at the ground truth. The rows are those of this lesson's methods,
# with all pairs of seeds that the run's folder has; where one pair is shown, it is the first.

# %%
from advconf_lite.course.evidence import methods_of

names = methods_of(predictions)
ours, others = names[0], names[1:]  # adversarial, where the run has it
print(f"{len(predictions):,} rows")
print(pairs_text(predictions))

# %% [markdown]
# ## Failure first: promises that were broken
#
# A head's **grade** is its promise of the **quality**, here the Dice. Say that it is **broken** when the grade lies more
# than 0.2 above the quality. It is the dangerous kind of error: somebody relies on that outline.
#
# **Your guess:** of all slices of the *target* scanners, on which share does the adversarial head break its promise?
# (Lesson 03 has counted those of the plain head: more, or fewer?) Put a number from 0 to 1 in place of `None`.

# %%
from advconf_lite.course.teach import guess, reveal

guess("share_of_broken_promises", None, within=(0, 1))

# %%
from advconf_lite.course.evidence import overpromised
from advconf_lite.course.pictures import slices_of
from advconf_lite.figures.outlines import one_subject_all_scanners
from advconf_lite.figures.style import show

title, segmenter = run.quality(g).measure.title, run.segmenter(segmenter_seeds[0])
worst = overpromised(run, predictions, ours, g, n=3)
judges = {key: head for key, head in run.heads(*seeds[0]).items() if key[0] in ("plain", ours)}
cases = slices_of(run, segmenter, worst, judges)
show(
    one_subject_all_scanners(cases, run.experiment.class_names, run.experiment.spacing_mm, title),
    f"Where {ours} promised most above the truth: white is the true outline; below each slice its "
    f"true {title}, and what each head promised.",
    f"Slices of target scanners with a poor outline, a low true {title} and high promises.",
)

# %% [markdown]
# Each of these would have been released. On the prostate you see at a glance what the heads do not: the network has drawn
# a neat, smooth outline around the *coil*, the dark disc below the gland. But nobody looks at every slice; that is what
# grades are for. Do the heads differ at least, or are both wrong together?

# %%
from advconf_lite.course.evidence import of_first_pair
from advconf_lite.figures.promises import BROKEN_BY, promises

rows = of_first_pair(predictions, g)
rows = rows[(rows["method"] == ours) & (rows["domain"] != source)]
broken = rows["predicted_score"] - rows["true_score"] > BROKEN_BY
reveal("share_of_broken_promises", broken.mean())

# %% [markdown]
# ## Look before you summarise
#
# Three slices are an anecdote. Here are all of them, one point each. **Before you run the next cell:** which picture
# would a head make that always predicts the same number?

# %%
heads = [name for name in names if name in ("plain", "adversarial")] or names
shown = [*heads, "constant"]
for name in run.qualities:
    show(
        promises(run.predictions(), name, shown, source),
        f"Predicted against true {run.quality(name).measure.title}. Red: broken promises.",
        "Scatter plots of predicted against true score, a panel per method; broken ones in red.",
    )

# %% [markdown]
# `constant` is the horizontal line: it predicts the mean score of source validation for every image, and looks at
# nothing. Compare the counts of red points: a head that breaks about as many promises as `constant` gives no better
# *numbers* than it, whatever its order is worth. Points may lie above 1: the head's last layer is linear, and nothing
# stops it.
#
# ## Three numbers
#
# With the predicted score $\hat{s}$ and the true one $s$:
#
# | number | question | what it cannot see |
# |---|---|---|
# | **Pearson** $r$ of $\hat{s}$ and $s$ | do high grades go with high scores? | a shift or a scale of all grades |
# | **MAE** $\frac{1}{n}\sum_i \lvert \hat{s}_i - s_i \rvert$ | are the numbers themselves right? | the order |
# | **eAURC**, explained below | whom would you have sent back? | the numbers, and how bad all are |
#
# They are the paper's three (section 4.3). Its *volumetric Dice* is our `dice`, its true confidence score $g$ our
# *quality*; both are taken slice by slice. The $r$ in the picture above is over all targets of one pair of seeds; from
# here on $r$ is taken scanner by scanner, and then averaged. The first also rewards telling scanners apart.
#
# A multiple choice: put the letter of your answer in place of `None`, and run the cell again.

# %%
from advconf_lite.course.teach import choose

choose("high_correlation", None)

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
# The **oracle** sorts by the true score itself. What you pay above it is the price of your order: the *excess* AURC, 0 for
# a perfect one. (Two methods on the same masks have the same oracle, so they differ in eAURC as in AURC.) **Exercise:**
# five slices, the second best promise is the worst slice. Do it by hand.

# %% tags=["exercise"]
import numpy as np

predicted = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
true = np.array([0.9, 0.4, 0.8, 0.7, 0.6])
### BEGIN SOLUTION
my_aurc = np.mean([(1 - true)[:k].mean() for k in range(1, 6)])  # they are sorted by promise already
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
# One scanner, a panel per method: that with the most failures among those where a quarter of the slices is good, for where
# all fail there is nothing to choose from. The shaded area *is* the eAURC in the title.

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
# Now you sit at the desk. A pile of slices, thirty at most, evenly over that scanner; a budget of how many a colleague has
# the time to look at. **How many failures does each ranking catch?** Write your own order into `my_picks` first (numbers
# from 1, the one that you would send back first comes first), and look whether you beat the heads.

# %%
from advconf_lite.course.widgets.desk import triage_desk

my_picks = []  # for example [3, 17, 8]
desk = triage_desk(run, segmenter, scanner, my_picks, predictions, [*curves, "constant"], n=30)

# %%
import pandas as pd

from advconf_lite.course.triage import triage
from advconf_lite.course.widgets.desk import MINE

n, rankings = len(desk.true), [name for name in desk.scores if my_picks or name != MINE]
budgets = sorted({round(share * n) for share in (1 / 6, 1 / 3, 1 / 2)})
caught = {b: [triage(desk.scores[name], desk.true, b).caught for name in rankings] for b in budgets}
print(f"failures caught, of {(desk.true < FAILURE).sum()} among {n} slices, by how many are sent back:")
pd.DataFrame(caught, rankings).round(1)

# %% [markdown]
# `constant` is what lots would catch. Rankings that catch as many are not told apart by so few slices; their curves use
# all of them. Your point on the curve is one number. **Exercise:** write the function that gives it, for any share that is
# released.


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
# tenth patient. So subjects are drawn, with all their slices, and within each scanner, for the scanners are given.
#
# **Exercise:** the line in the middle of it. A draw is a row of `weights`: how often each slice is in it.


# %% tags=["exercise"]
def mae_of_draws(weights, errors):
    ### BEGIN SOLUTION
    maes = (weights * errors).sum(1) / weights.sum(1)
    ### END SOLUTION
    return maes


# %%
from advconf_lite.course.teach import mine_or_ours
from advconf_lite.evaluation.bootstrap import draw_subjects, percentiles

check("mae_of_draws", mae_of_draws)
of_draws = mine_or_ours("mae_of_draws", mae_of_draws)
rows = of_first_pair(predictions[predictions["method"] == ours], g)
rows = rows[(rows["domain"] != source) & np.isfinite(rows["predicted_score"])]
error = (rows["predicted_score"] - rows["true_score"]).abs()
width = {}
for unit, drawn in {"slices": pd.Series(range(len(rows)), rows.index), "subjects": rows["subject"]}.items():
    parts = [(drawn[of.index], of.to_numpy()) for _, of in error.groupby(rows["domain"])]
    maes = [of_draws(draw_subjects(units, 2000), errors) for units, errors in parts]
    width[unit] = float(np.ptp(percentiles(np.mean(maes, 0)))) if maes else float("nan")
    print(f"95 % interval of the mean MAE of {len(parts)} scanners, {unit} drawn anew: {width[unit]:.3f} wide")

# %% [markdown]
# An interval over slices pretends to know more people than were measured. Intervals of differences in this course draw
# subjects, and seeds as well, where there are several: another U-Net is another experiment. (A $\pm$ is something else,
# the standard deviation over pairs of seeds.)
#
# ## Is it better?
#
# Not "how good is each", but "how large is the **difference**": both methods are scored on the same slices of the same
# drawn subjects, scanner by scanner, and the differences are averaged over the target scanners. Such a *paired* interval
# can be narrow where those of the two methods are wide and overlap: what makes a draw hard makes it hard for both.
#
# This project names eAURC and MAE as what counts, before it looks. **Your guess**, of eAURC, the order: is `adversarial`
# better than `plain` on this run, worse, or can the two not be told apart?

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

word = word_for(predictions, source, "adversarial", "plain", "eaurc", g)
reveal("adversarial_against_plain", word)

# %% [markdown]
# Go row by row: does the interval cross the zero line? Then this run does not tell the two apart, which is not the
# same as *equal*: its ends say how large a difference could still be there. Does it lie on one side? Then look which
# side is better (for eAURC and MAE, the left), and at the end that is nearer to zero. "None" stands where a method only
# ranks, and has no MAE.
#
# A head that beats `plain` may owe it to something else than the idea of the paper, as to more images seen. For that there
# are controls, in [lesson 06](06_ablations_and_controls.ipynb).

# %%
choose("supported_sentence", None)

# %% [markdown]
# ### The verdict
#
# `verdict` reads the intervals and says what they say, and sets the paper's claim beside it as what it is: another
# measurement, on other images.

# %%
from advconf_lite.course.teach import verdict

verdict(predictions, against=others[:1] or ["plain"], method=ours, source=source)

# %% [markdown]
# ### And on real scanners?
#
# All of this is a phantom, unless you brought images of your own. The same was asked of real hearts: trained on one
# hospital's (ACDC), judged on those of other hospitals and of people who breathed, with experts' outlines,
# three U-Nets and three heads each ([all of it](../docs/results/real.md)). Each line is a method minus `adversarial`,
# with its interval; below zero is better:
#
# * `plain-2b`, as many images without the idea of the paper: eAURC
#   +0.0011<!--=evidence-hearts-dev-quick-differences:counted/dice/plain-2b/adversarial:eaurc-->
#   (-0.0028<!--=evidence-hearts-dev-quick-differences:counted/dice/plain-2b/adversarial:eaurc_low-->
#   to +0.0053<!--=evidence-hearts-dev-quick-differences:counted/dice/plain-2b/adversarial:eaurc_high-->),
#   MAE
#   -0.0012<!--=evidence-hearts-dev-quick-differences:counted/dice/plain-2b/adversarial:mae-->
#   (-0.0109<!--=evidence-hearts-dev-quick-differences:counted/dice/plain-2b/adversarial:mae_low-->
#   to +0.0098<!--=evidence-hearts-dev-quick-differences:counted/dice/plain-2b/adversarial:mae_high-->);
# * `soft-dice`, the segmenter's own probabilities read as a Dice, with no head at all: eAURC
#   -0.0135<!--=evidence-hearts-dev-quick-differences:counted/dice/soft-dice/adversarial:eaurc-->
#   (-0.0177<!--=evidence-hearts-dev-quick-differences:counted/dice/soft-dice/adversarial:eaurc_low-->
#   to -0.0073<!--=evidence-hearts-dev-quick-differences:counted/dice/soft-dice/adversarial:eaurc_high-->),
#   MAE
#   +0.0132<!--=evidence-hearts-dev-quick-differences:counted/dice/soft-dice/adversarial:mae-->
#   (-0.0000<!--=evidence-hearts-dev-quick-differences:counted/dice/soft-dice/adversarial:mae_low-->
#   to +0.0286<!--=evidence-hearts-dev-quick-differences:counted/dice/soft-dice/adversarial:mae_high-->);
# * `agreement-15 mapped`: fifteen samples of one network, 16 passes, and no head; the straight line that fits the
#   source's validation makes a Dice of it: eAURC
#   -0.0157<!--=evidence-hearts-dev-quick-differences:counted/dice/agreement-15 mapped/against=adversarial:eaurc-->
#   (-0.0203<!--=evidence-hearts-dev-quick-differences:counted/dice/agreement-15 mapped/against=adversarial:eaurc_low-->
#   to -0.0086<!--=evidence-hearts-dev-quick-differences:counted/dice/agreement-15 mapped/against=adversarial:eaurc_high-->),
#   MAE
#   -0.0213<!--=evidence-hearts-dev-quick-differences:counted/dice/agreement-15 mapped/against=adversarial:mae-->
#   (-0.0312<!--=evidence-hearts-dev-quick-differences:counted/dice/agreement-15 mapped/against=adversarial:mae_low-->
#   to -0.0113<!--=evidence-hearts-dev-quick-differences:counted/dice/agreement-15 mapped/against=adversarial:mae_high-->).
#
# So there the head was no better than without Algorithm 1, as far as these subjects can tell. A better order than the
# head's comes for nothing, from soft Dice; agreement gives such an order and a better number, too, and costs its
# passes in every use ([lesson 05](05_score_agreement.ipynb)), where a head costs one: [is a head worth
# it?](../docs/results/evidence.md#is-a-head-worth-it) (In a run of your own, `soft-dice` is a method like any other:
# put it into `methods`.) And who works by a threshold of Algorithm 1's head: one that lets through a mean risk of a
# fifth at home let through
# 0.223<!--=evidence-hearts-dev-quick-release:risk=0.2/dice/adversarial/all targets:released_risk-->
# (0.194<!--=evidence-hearts-dev-quick-release:risk=0.2/dice/adversarial/all targets:released_risk_low--> to
# 0.268<!--=evidence-hearts-dev-quick-release:risk=0.2/dice/adversarial/all targets:released_risk_high-->) there, so a
# fifth is not ruled out; but it also let through
# 0.636<!--=evidence-hearts-dev-quick-release:risk=0.2/dice/adversarial/all targets:missed--> of all failures (at home
# 0.525<!--=evidence-hearts-dev-quick-release:risk=0.2/dice/adversarial/ACDC:missed-->). A mean risk says little of
# single slices ([what a clinic would meet](../docs/results/evidence.md#what-a-clinic-would-meet)).
#
# ### And where the shift is massive?
#
# On the phantom's prostate, fourteen methods were compared with five U-Nets and three heads each ([all of
# it](../docs/results/phantoms.md#massive-shift-the-phantoms-prostate)). The question was written down before the first
# run: does anything beat both `adversarial` and `strong-augmentation` (a library's bias fields, ringing, noise and
# gamma) in eAURC *and* in MAE,
# with every interval below zero? No head does.
#
# * `constant` is wrong by 0.459<!--=evidence-phantom-prostate-quick:dice/mean of the targets/constant:mae--> on
#   average, `adversarial` by 0.417<!--=evidence-phantom-prostate-quick:dice/mean of the targets/adversarial:mae-->,
#   `strong-augmentation` by
#   0.357<!--=evidence-phantom-prostate-quick:dice/mean of the targets/strong-augmentation:mae-->, and both together
#   (`adversarial+strong`) by
#   0.318<!--=evidence-phantom-prostate-quick:dice/mean of the targets/adversarial+strong:mae-->.
# * `adversarial+strong` minus `adversarial`: eAURC
#   -0.0202<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/adversarial:eaurc-->
#   (-0.0379<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/adversarial:eaurc_low--> to
#   -0.0045<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/adversarial:eaurc_high-->), MAE
#   -0.0989<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/adversarial:mae-->
#   (-0.1231<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/adversarial:mae_low--> to
#   -0.0744<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/adversarial:mae_high-->).
# * `adversarial+strong` minus `strong-augmentation`: eAURC
#   -0.0122<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:eaurc-->
#   (-0.0349<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:eaurc_low-->
#   to
#   +0.0034<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:eaurc_high-->),
#   MAE -0.0393<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:mae-->
#   (-0.0769<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:mae_low--> to
#   -0.0083<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:mae_high-->).
#
# Among heads, the last one is the best, and one interval short of what had been asked. But a judge that is wrong by a
# third of the whole scale is none. What beat both has no head: three U-Nets that are asked how far they agree, mapped
# to a Dice by a straight line of the source's validation (`ensemble-3 mapped`). Minus `strong-augmentation`: eAURC
# -0.0216<!--=evidence-phantom-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc-->
# (-0.0445<!--=evidence-phantom-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc_low--> to
# -0.0033<!--=evidence-phantom-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc_high-->),
# MAE -0.1987<!--=evidence-phantom-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:mae-->
# (-0.2549<!--=evidence-phantom-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:mae_low--> to
# -0.1479<!--=evidence-phantom-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:mae_high-->). That
# was asked after a look at these scanners, so it was asked once more, of six that nobody had seen, drawn by lot. It
# held: minus `strong-augmentation`, eAURC
# -0.0133<!--=evidence-sealed-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc-->
# (-0.0258<!--=evidence-sealed-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc_low--> to
# -0.0031<!--=evidence-sealed-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc_high-->), MAE
# -0.0734<!--=evidence-sealed-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:mae-->
# (-0.0959<!--=evidence-sealed-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:mae_low--> to
# -0.0515<!--=evidence-sealed-prostate-quick-differences:dice/ensemble-3 mapped/strong-augmentation:mae_high-->).
#
# Was that the last word? In another profile (`medium`: a wider network, three times the steps, another start of the
# loop; three U-Nets with two heads each, the same scanners) *nothing* beat both. The three networks agreed on their
# mistakes where a coil lies in the rectum: minus `strong-augmentation`, eAURC
# +0.0111<!--=evidence-phantom-prostate-medium-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc-->
# (-0.0216<!--=evidence-phantom-prostate-medium-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc_low--> to
# +0.0467<!--=evidence-phantom-prostate-medium-differences:dice/ensemble-3 mapped/strong-augmentation:eaurc_high-->),
# MAE -0.0250<!--=evidence-phantom-prostate-medium-differences:dice/ensemble-3 mapped/strong-augmentation:mae-->
# (-0.0648<!--=evidence-phantom-prostate-medium-differences:dice/ensemble-3 mapped/strong-augmentation:mae_low--> to
# +0.0260<!--=evidence-phantom-prostate-medium-differences:dice/ensemble-3 mapped/strong-augmentation:mae_high-->);
# without these scanners agreement is [the better judge](../docs/results/evidence.md#where-it-is-won-and-lost) there,
# too. And what Algorithm 1 had not shown before, it showed there: it was nearer to the truth than random directions,
# MAE of `random-direction` minus `adversarial`
# +0.0135<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:mae-->
# (+0.0022<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:mae_low--> to
# +0.0257<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:mae_high-->), though not
# nearer than `plain-2b`, which saw as many clean images; and on the six sealed scanners that difference did not come
# again. A ranking of methods is one of networks, of settings and of scanners, too. And of seeds: when three of these
# six pairs were there, this page said that its *order* was certainly better, as well. With all six, eAURC is
# +0.0189<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:eaurc-->
# (-0.0035<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:eaurc_low--> to
# +0.0402<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:eaurc_high-->).
#
# ## One seed is an example
#
# Train the same thing again with other seeds, and the number moves. The **seed fan** adds pairs of seeds one after the
# other. The cross is what a pair says alone; the band is what all so far say together. Move `pairs` from 1 upwards, for
# each of the three numbers (`metric`): of which does the first pair's sentence survive? `order` shuffles the pairs: which
# sentence would *you* have published with one pair?

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
from advconf_lite.metrics import METRICS

if pairs > 1 and others:
    other = against[0]
    opened = {name: fan.opened(other, name, 0) for name in fan.fans[other].metrics}
    metric = list(opened)[-1]
    show(
        whole_fan(opened[metric], ours, other, metric),
        f"{METRICS[metric].title} of {ours} minus that of {other} as pairs of seeds are added. Hollow: not told apart.",
    )
    for name, table in opened.items():
        better = ((table["alone"] > 0) == METRICS[name].higher_is_better).sum()
        print(f"{METRICS[name].title}: alone, {better} of {len(table)} pairs put {ours} before {other}")

# %% [markdown]
# Pairs that share a U-Net are no independent runs; with fewer than five U-Nets the band is too narrow. In class everybody
# can be one seed: each laptop trains its own head, and the fan of the room is drawn at the end.
#
# ## Scanner by scanner
#
# A mean over scanners may hide one; and it counts scanners on which there is nothing to rank. Where most slices have one
# and the same true score, as a Dice of 0, $r$ rests on the few others, and eAURC is *small* whatever a head says.

# %%
from advconf_lite.course.evidence import gain_table, nothing_to_rank

flat = nothing_to_rank(predictions, source, g)
targets = [name for name in dict.fromkeys(metrics["domain"]) if name != source]
rankable = [name for name in targets if name not in flat] or targets or [source]
print(f"nothing to rank: {', '.join(f'{name} ({share:.0%} have one score)' for name, share in flat.items()) or 'none'}")

# %% [markdown]
# **Your guess:** on which of the other target scanners does adversarial training gain most correlation?

# %%
guess("scanner_of_the_largest_gain", None, choices=rankable)

# %%
from advconf_lite.figures.scores import figure3

show(
    figure3(metrics[metrics["method"].isin(heads)], source),
    "In the manner of the paper's Figure 3, heads only: three numbers per scanner.",
    "Dots per scanner and method in a panel for each of correlation, eAURC and MAE.",
)
gain = gain_table(metrics, flat, source, "adversarial", "plain", "pearson", g)
first = [name for name in gain.index if name in rankable]
reveal("scanner_of_the_largest_gain", first[0] if first else None)

# %%
gain.round(3)

# %% [markdown]
# Pearson, scanner by scanner, and both means. Count the signs before you look at the largest one: a method that gains on
# one scanner and loses on the next is sensitive to the scanner, and a mean says little about the next one. And $r$ depends
# on how far a scanner's true scores spread, so it compares methods, not scanners. What the whiskers are stands below the
# figure: with one pair of seeds an interval over subjects, with several the standard deviation over pairs, which says
# nothing of other subjects. (The paper's bars are 95 % bootstrap intervals of five head seeds.)
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
# * Where nearly all true scores are equal there is nothing to rank.
# * An interval supports one sentence: of whom, on what, in which direction, or that this run does not tell them apart.
# * One pair of seeds is an example. The paper itself adds that it "does not yet establish a new benchmark".
#
# **Go on** with [05 · Score agreement](05_score_agreement.ipynb), or back to
# [03 · Adversarial training](03_adversarial_training.ipynb). **Read on:**
# [the paper](https://proceedings.mlr.press/v301/lennartz26a.html), sections 4.3 and 5; Geifman et al. 2018,
# [Bias-reduced uncertainty estimation](https://arxiv.org/abs/1805.08206), for risk and coverage; Traub et al. 2024,
# [flaws of the AURC](https://arxiv.org/abs/2407.01032), and a number without them (`augrc` in the run's metrics.csv);
# Jaeger et al. 2023, [evaluation of failure detection](https://arxiv.org/abs/2211.15259); Zenk et al. 2025,
# [a benchmark in segmentation](https://arxiv.org/abs/2406.03323).
