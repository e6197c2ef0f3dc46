# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · Ablations and controls: which part of the method does the work?
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [05 score agreement](05_score_agreement.ipynb) ·
# Next: [07 your own images](07_your_own_images.ipynb)
#
# **To read:** about 18 minutes; exercises and widgets come on top. **To run:** 65 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 800 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/06_ablations_and_controls.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/06_ablations_and_controls.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/06_ablations_and_controls.ipynb
# <!-- end -->
#
# <!-- makes: what else could explain the gain: delta_s, fine-tuning, controls, timings (Tables 1 and 3) -->
#
# **The question.** Say that `adversarial` beats `plain` in your run. *Why?* Because its images point in the direction
# that the head itself fears? Or because it saw more images, saw each twice, saw changed ones at all, saw hard ones?
#
# **After this lesson you can**
#
# * build a ladder of controls, each of which has one thing more of the method,
# * read a forest of paired intervals, and say how many of them would err by chance,
# * lay out an ablation as in the paper's Table 3, and times as in its Table 1,
# * say what a run supports and what it does not.
#
# It continues [lesson 05](05_score_agreement.ipynb), and starts on its own; from nothing it is the longest computation
# of the course. A multiple choice: put the letter of your answer in place of `None`, and run the cell again.

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

# %% tags=["parameters", "one-head-seed"]
data: str = "phantom:prostate"  # phantom:prostate, phantom:cardiac or a slice-set folder
profile: str = "quick"  # smoke (seconds), quick (minutes), medium (hours), full, paper (GPU)
out: str = ""  # the run's folder; "" is runs/DATA-PROFILE, as runs/prostate-quick
use: str = "train"  # train what the folder lacks; or shipped: what the course brings along (quick, Dice)
quality: str = "dice"  # qualities g to predict, separated by spaces; two double the work
methods: str = (
    "plain plain-2b replay random-direction segmenter-attack adversarial adversarial-0.05 adversarial-0.2 finetuned "
    "strong-augmentation agreement-2 agreement-15 entropy-15"
)  # separated by spaces; adversarial is always among them
segmenter_seeds: list = [0]  # of the U-Net; more for intervals; the stored outputs are of [0, 1, 2]
head_seeds: list = [0]  # of the confidence head; stored: [0, 1, 2], and [0] for what no other lesson has

# %%
from advconf_lite.course.lessons import start

run = start(data, profile, out, quality, f"{methods} adversarial", use)
source, g = run.experiment.slices.source_domain, run.qualities[0]
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]

# %% [markdown]
# ## Failure first: one question, and answers that do not agree
#
# "Is `adversarial` better than `plain`?" This project has asked it more than once, on the same phantom and with the
# same profile. The answers, as the difference in correlation with Dice and its 95 % interval:
#
# * **heart**, three segmenters, three heads each:
#   -0.041<!--=phantom-differences:cardiac/dice/plain:pearson-->
#   (-0.130<!--=phantom-differences:cardiac/dice/plain:pearson_low-->
#   to +0.015<!--=phantom-differences:cardiac/dice/plain:pearson_high-->);
# * **heart**, two segmenters, one head each:
#   -0.058<!--=controls-differences:cardiac/dice/plain:pearson-->
#   (-0.122<!--=controls-differences:cardiac/dice/plain:pearson_low-->
#   to -0.010<!--=controls-differences:cardiac/dice/plain:pearson_high-->).
# * **prostate**, three segmenters, three heads each:
#   +0.085<!--=phantom-differences:prostate/dice/plain:pearson-->
#   (+0.002<!--=phantom-differences:prostate/dice/plain:pearson_low-->
#   to +0.220<!--=phantom-differences:prostate/dice/plain:pearson_high-->);
# * **prostate**, two segmenters, one head each:
#   +0.055<!--=controls-differences:prostate/dice/plain:pearson-->
#   (-0.020<!--=controls-differences:prostate/dice/plain:pearson_low-->
#   to +0.173<!--=controls-differences:prostate/dice/plain:pearson_high-->).
#
# On the heart, one of the two is "worse" and the other "not told apart"; on the prostate, one is "better" and the
# other "not told apart". No number is wrong. The intervals overlap nearly wholly, and zero lies near an end of each.
# It is the *words* that jump. (By eAURC, which this project had named before it looked, all four contain zero: a number
# that is chosen afterwards is one more way to find a word.) Now this run, pair by pair of seeds.

# %%
from advconf_lite.course.evidence import differences
from advconf_lite.course.tables import all_predictions, of_run, pairs_text
from advconf_lite.evaluation.predictions import SEEDS
from advconf_lite.figures.controls import forest
from advconf_lite.figures.style import show

all_predictions(run, seeds)  # what the folder lacks is made now
predictions, metrics = of_run(run)
print(pairs_text(predictions))
first = next((name for name in run.methods if name != "adversarial"), "plain")

# %%
import pandas as pd

answers = []
for pair, part in predictions[predictions["method"].isin(["adversarial", first])].groupby(SEEDS):
    one = differences(part, source, "adversarial", [first] if first in set(part["method"]) else [])
    answers.append(one.assign(method="U-Net {}, head {}".format(*pair)))
answers = pd.concat(answers)
if len(answers):
    show(
        forest(answers),
        f"adversarial minus {first}: one question, asked with each pair of seeds alone.",
        "A row per pair of seeds, a panel per number: intervals beside or across the line at zero.",
    )

# %% [markdown]
# Each row could have been somebody's paper. What follows is how to ask so that the answer does not depend on the row:
# of all pairs of seeds that the run's folder has, as in lessons 04 and 05. Two methods are compared on the pairs that
# both have.
#
# ## Why controls
#
# The paper compares a head with and without Algorithm 1, in its published code with equally large batches. But the two
# differ in more than one thing. With Algorithm 1 the head
#
# 1. sees $2B$ images a step instead of $B$,
# 2. sees every image twice,
# 3. sees images that are changed, by a certain norm,
# 4. sees images that are *hard*: changed so that the segmentation gets worse, and
# 5. sees images that are changed in the direction that the head itself fears, $-\nabla_x C_\phi(z_\theta(x))$.
#
# The fifth is the paper's first argument (training corrects what the head fears without reason), the fourth its
# second (the head sees lower scores than the clean images have). A **control** has some of these things and not the
# others. Four make a ladder.

# %%
from IPython.display import Markdown

from advconf_lite.course.tables import methods_text

CONTROLS = ["plain-2b", "replay", "random-direction", "segmenter-attack"]
Markdown(methods_text(["plain", *CONTROLS, "adversarial"]))

# %% [markdown]
# **Exercise:** which of the five things does each control share with `adversarial`?

# %% tags=["exercise"]
### BEGIN SOLUTION
shared = {
    "plain-2b": [1],
    "replay": [1, 2],
    "random-direction": [1, 2, 3],
    "segmenter-attack": [1, 2, 3, 4],
}
### END SOLUTION

# %%
from advconf_lite.course.teach import check, guess, reveal

check("which_control", shared)

# %% [markdown]
# All heads of one seed start from the same weights, see the same clean batches, and share the segmenter's pass over
# them. So a difference is one of the method.
#
# **Your guess:** by eAURC, from how many of the four controls does this run tell `adversarial` apart?

# %%
guess("controls_told_apart", None, choices=["none", "some", "all"])

# %%
others = [name for name in ("plain", *CONTROLS) if name in run.methods]
table = differences(predictions, source, "adversarial", others)
if len(table):
    show(
        forest(table),
        "adversarial minus plain and minus its controls, means over targets and pairs of seeds.",
        "A row per method, a panel per number: intervals beside or across the line at zero.",
    )
else:
    print("This run has none of them; add plain-2b, replay, random-direction and segmenter-attack to methods.")

# %%
rows = table[table["method"].isin(CONTROLS) & (table["quality"] == g)] if len(table) else table
rows = rows[rows["metric"] == "eaurc"] if len(rows) else rows
apart = (rows["low"] > 0) | (rows["high"] < 0) if len(rows) and rows["low"].notna().all() else None
reveal("controls_told_apart", None if apart is None else "all" if apart.all() else "some" if apart.any() else "none")

# %% [markdown]
# Read each row for the zero line first, then for the side, and for the size last. An interval that **contains 0**
# supports no claim, neither that `adversarial` is better nor that the two are equal. Go up the ladder: if it beats
# `replay` and not `random-direction`, that images were changed at all may be enough; if it beats `random-direction`
# and not `segmenter-attack`, harmful images may be, whoever chooses them. A cross without a line: no interval, for
# fewer than three subjects in every domain, as in the smoke profile.

# %%
from advconf_lite.course.teach import choose

choose("contains_zero", None)

# %% [markdown]
# ## All others, and what chance does
#
# Now whatever else this run has. The longer the table, the more certain that *something* in it looks certain.
# **Exercise:** of $n$ intervals of differences that are all zero, how many leave out 0 on average?


# %% tags=["exercise"]
def false_alarms(n):
    ### BEGIN SOLUTION
    expected = 0.05 * n
    ### END SOLUTION
    return expected


# %%
check("false_alarms", false_alarms)

# %%
rest = [name for name in run.methods if name not in ("adversarial", *others)]
Markdown(methods_text(rest) if rest else "No further methods in this run.")

# %%
comparison = differences(predictions, source, "adversarial", rest)
estimates = predictions.groupby("method")["estimates"].first()
heads, ranks = ([n for n in rest if estimates[n] == kind] for kind in (True, False))
for kind, names in {"other head": heads, "score from samples": ranks}.items():
    if names:
        show(
            forest(comparison[comparison["method"].isin(names)]),
            f"adversarial minus each {kind}, 95 % paired intervals.",
            "A row per method, a panel per number: intervals beside or across the line at zero.",
        )
compared = len(table) + len(comparison)
print(f"{compared} intervals in all; if nothing differed, {0.05 * compared:.1f} of so many would leave out 0 on average")

# %% [markdown]
# At least that many, and they do not err one by one: all have the same `adversarial` heads in them, so if these were
# lucky, every row was. And with few segmenters every interval is too narrow: whoever draws two or three of them anew
# often draws one alone.
#
# So name the comparison that counts *before* you look. This project names MAE and eAURC, averaged over the target
# domains. Agreement and entropy rank slices and estimate nothing, so they have no MAE. `oracle-augmentation`, where
# you add it to `methods`, knows the kind of shift that will be tested: no competitor, but a mark to measure by.
#
# ## What a constant would get
#
# `constant` predicts the mean score of source validation for every image, and looks at nothing. A grade whose MAE is not
# below it on some scanner is, as it stands, no better there than a constant, whatever its correlation. Its *order* may
# still be of use, and a few outlines from that scanner could mend the level. (The constant with the lowest MAE is the
# median, not the mean: a stricter mark.)

# %%
from advconf_lite.evaluation.text import mae_floor

mae_floor(metrics, source)

# %% [markdown]
# Whether a head is below the constant is a question for an interval, too, of the difference on the same slices:

# %%
from advconf_lite.course.evidence import beside_the_constant
from advconf_lite.evaluation.predictions import CONSTANT
from advconf_lite.evaluation.text import comparison_table

pairs = run.predictions()
constants = pairs[(pairs["method"] == CONSTANT) & (pairs["quality"] == g)]
beside = beside_the_constant(predictions[predictions["quality"] == g], constants, source)
below = list(beside.loc[beside["high"] < 0, "method"])
print(f"certainly nearer to the truth than a constant: {len(below)} of {len(beside)} heads ({', '.join(below) or 'none'})")
comparison_table(beside)[["MAE"]].rename(columns={"MAE": "MAE minus the constant's"})

# %% [markdown]
# ## How large a drop to ask for (Table 3)
#
# $\Delta_s$ is the drop of the predicted score that Algorithm 1 aims at: 0.1 in the paper, with 0.05 and 0.2 in its
# ablation. `finetuned` goes on from the `adversarial` head, and also trains a copy of the segmenter, from which the
# head reads its features; so it has seen more images than the other rows. The paper says only that a copy of
# $f_\theta$ is fine-tuned; that it goes on from a trained head is in the published code. The rows are of the pairs of
# seeds that all of them have.
#
# **Before you run the next cell:** what could be bad about too small a $\Delta_s$, and what about too large a one?

# %%
from advconf_lite.course.tables import ablation_rows, on_shared_pairs, table3

ablations = list(ablation_rows(run.methods).values())
if len(ablations) < 2:
    print("One row only; add adversarial-0.05 adversarial-0.2 finetuned to methods.")
of_ablations = on_shared_pairs(metrics, ablations)
means = of_ablations[(of_ablations["domain"] != source) & (of_ablations["quality"] == g)].groupby("method")["mae"].mean()
print("MAE, mean over the targets:", ", ".join(f"{name} {means[name]:.3f}" for name in ablations if name in means))
table3(of_ablations, source, run.settings.delta_s)

# %% [markdown]
# $\pm$ is the standard deviation over pairs of seeds. It is *not* the error of a difference: heads of one pair share
# their U-Net and their batches. Whether two rows differ is said by the interval of their paired difference, in the
# figure of all other heads above. Without a $\pm$ there is one pair, and the table **cannot be read**.
#
# Too small a $\Delta_s$, and the range of scores may hardly widen. A larger one does not simply help more: the paper
# finds its method "rather robust for these settings", and expects that more severe perturbations need "a procedure
# that is more complex than taking a single gradient step" (section 5). Does the line above the table agree?
#
# ## What the heads have seen in training
#
# One of the paper's two arguments for Algorithm 1 is that it "widens the value range of quality metrics that are
# observed during training". The ladder has a test of it: noise of the same norm, which has no aim, and the
# segmenter's own loss, which aims at harm. **Before you run the next cell:** which of the three kinds of images will
# have the lowest scores?

# %%
from advconf_lite.course.tables import seen_by
from advconf_lite.figures.training import training_scores

for name in run.qualities:
    seen = seen_by(run, ["adversarial", "random-direction", "segmenter-attack"], name, seeds)
    show(
        training_scores(seen, name),
        f"True scores ({name}) in training: {', '.join(seen)}. Dashed: the 5th percentile.",
        "Histograms of true scores in training, a panel for each kind of image.",
    )

# %% [markdown]
# Compare each panel with the grey outline of the clean images. A panel that coincides with it shows perturbations that
# hardly harmed the segmentation: the head has seen changed images, but no new scores.

# %%
from advconf_lite.course.tables import perturbation_table

history = run.history()
history = history[history["quality"].isin(run.qualities) & history["method"].isin(run.methods)]
history = history[history["segmenter_seed"].isin(segmenter_seeds)]
history = history[history["head_seed"].isin(head_seeds)]
perturbation_table(history).round(3)

# %% [markdown]
# The same in numbers, in the last tenth of each head's training: the relative size of what was added to the image,
# how much the quality really fell, and how much the head believed it to fall. Methods of similar size and different
# true drop differ in their *direction*; where size and drop differ both, a comparison of the two says less. So look
# before you speak of the rung between two controls: noise whose true drop is nearly 0 has the norm of the adversarial
# images, and none of their difficulty. `replay` adds nothing, so nothing falls.
#
# ## What it costs (Table 1)
#
# **Before you run the next cell:** direct prediction was 0.9<!--=table1:direct prediction/dice:paper_ms--> ms an image in
# the paper, and agreement with surface Dice 1896<!--=table1:agreement N = 15/surface_dice/ours:paper_ms--> ms. Which
# of the two numbers depends on how the metric is programmed?

# %%
from advconf_lite.course.timings import table1

table1(run, run.segmenter(segmenter_seeds[0]))

# %% [markdown]
# The columns are times of *your* machine and network, with the middle half of the calls in brackets; the last one is
# the paper's, on an NVIDIA A40. Machines, networks and protocols differ, so compare down a column and not across. The
# first two rows do the *same* work, whatever quality a head predicts: how far they lie apart is your machine's noise,
# and no smaller difference means anything. The time of agreement depends on the code of the metric: the paper uses
# MONAI's, and calls it what "by far dominates the overall running time of score agreement". With this package's code
# the passes cost the most, and on a CPU a batch need not make them cheaper. `python benchmarks/table1.py` measures it
# in full, also with MONAI's metrics; what a protocol of timing has to mind is in [its
# page](../docs/results/speed.md).
#
# ## What follows, and what does not
#
# In words, from the intervals over all pairs of seeds:

# %%
from advconf_lite.course.teach import verdict

verdict(predictions, against=others or ["plain"], source=source)

# %% [markdown]
# Go through them in this order:
#
# 1. Better than `plain`? That is the paper's claim, on this data.
# 2. Better than `plain-2b` and `replay`? If not, more images, or seeing them twice, may be all there is to it.
# 3. Better than `random-direction`? If not, changed images of any kind may do; look at the true drops before you say why.
# 4. Better than `segmenter-attack`? If not, harmful images may do, and the head need not choose them.
# 5. Better than `strong-augmentation`? If not, a library call would have done.
# 6. How far from `agreement-15`, which pays with 15 passes? And is it below the constant's MAE?
#
# With two other segmenters, [the study of all controls](../docs/results/controls.md) found that on the prostate every
# interval of eAURC against these four controls contains 0. If a word here is another one, that is the jump of this
# lesson's beginning.
#
# What never follows from one run of this lesson: anything about another kind of shift, or about real scanners from a
# phantom; and with one seed of the U-Net, anything about another U-Net.
#
# On real hearts, of other hospitals and with motion, the controls were trained too ([all of
# it](../docs/results/real.md)). By neither eAURC nor MAE did three U-Nets with three heads each tell Algorithm 1 apart
# from `plain-2b`, `replay`, `random-direction` or `strong-augmentation`. (By the difference in eAURC, `replay` minus
# `adversarial` was
# +0.0026<!--=evidence-hearts-dev-quick-differences:counted/dice/replay/adversarial:eaurc-->
# (-0.0007<!--=evidence-hearts-dev-quick-differences:counted/dice/replay/adversarial:eaurc_low-->
# to +0.0063<!--=evidence-hearts-dev-quick-differences:counted/dice/replay/adversarial:eaurc_high-->).)
# What did not use the head at all, `soft-dice`, `agreement-15` and `ensemble-3`, put the images into a better order.
#
# The paper leaves massive shift open, and perturbations of more than one step. On the phantom's prostate they were
# tried, with five U-Nets and three heads each ([all of
# it](../docs/results/phantoms.md#massive-shift-the-phantoms-prostate)). MAE minus that of
# `adversarial`, so that below zero is better: several steps (`severity`)
# -0.0078<!--=evidence-phantom-prostate-quick-differences:dice/severity/adversarial:mae-->
# (-0.0313<!--=evidence-phantom-prostate-quick-differences:dice/severity/adversarial:mae_low--> to
# +0.0132<!--=evidence-phantom-prostate-quick-differences:dice/severity/adversarial:mae_high-->), the direction in
# which the head promises too much (`overconfidence`)
# -0.0091<!--=evidence-phantom-prostate-quick-differences:dice/overconfidence/adversarial:mae-->
# (-0.0239<!--=evidence-phantom-prostate-quick-differences:dice/overconfidence/adversarial:mae_low--> to
# +0.0100<!--=evidence-phantom-prostate-quick-differences:dice/overconfidence/adversarial:mae_high-->), each of them in
# a space of appearance (bias field, intensity curves, blur, noise: `severity-appearance`)
# -0.0338<!--=evidence-phantom-prostate-quick-differences:dice/severity-appearance/adversarial:mae-->
# (-0.0642<!--=evidence-phantom-prostate-quick-differences:dice/severity-appearance/adversarial:mae_low--> to
# +0.0010<!--=evidence-phantom-prostate-quick-differences:dice/severity-appearance/adversarial:mae_high-->) and
# (`overconfidence-appearance`)
# -0.0147<!--=evidence-phantom-prostate-quick-differences:dice/overconfidence-appearance/adversarial:mae-->
# (-0.0311<!--=evidence-phantom-prostate-quick-differences:dice/overconfidence-appearance/adversarial:mae_low--> to
# +0.0030<!--=evidence-phantom-prostate-quick-differences:dice/overconfidence-appearance/adversarial:mae_high-->); and
# `strong-augmentation`, a library call,
# -0.0596<!--=evidence-phantom-prostate-quick-differences:dice/method=strong-augmentation/adversarial:mae-->
# (-0.0896<!--=evidence-phantom-prostate-quick-differences:dice/method=strong-augmentation/adversarial:mae_low--> to
# -0.0266<!--=evidence-phantom-prostate-quick-differences:dice/method=strong-augmentation/adversarial:mae_high-->). In
# eAURC none of these is told apart from `adversarial`. The library call is certainly nearer to the truth than three of
# the four; with Algorithm 1 on top of it (`adversarial+strong`) the MAE falls once more, by
# -0.0393<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:mae-->
# (-0.0769<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:mae_low--> to
# -0.0083<!--=evidence-phantom-prostate-quick-differences:dice/adversarial+strong/strong-augmentation:mae_high-->).
#
# Another organ, another order: on the phantom's heart, where the shift is moderate, `strong-augmentation`,
# `overconfidence` and both methods in the space of appearance put the slices into a certainly better order than
# `adversarial`, and none of them is told apart from it in MAE; `severity` and `adversarial+strong` are in neither.
# And another rule, another answer: there eight of the eleven heads are certainly nearer to the truth than a constant,
# and where classes do not count that the truth lacks, [none
# is](../docs/results/phantoms.md#moderate-shift-the-phantoms-heart): on these scanners the numbers of quick's heads hang
# on one bit, whether a right ventricle was drawn that is not there. (On the sealed ones they do not.)
#
# Another profile, another answer: in `medium` (a wider network, three times the steps, another start of the loop; the
# prostate, three U-Nets with two heads each) the loop aligns further, a true drop of
# 0.080<!--=evidence-phantom-prostate-medium-history:dice/adversarial:true_drop--> in place of
# 0.065<!--=evidence-phantom-prostate-quick-history:dice/adversarial:true_drop-->, and there `adversarial` is
# certainly nearer to the truth than `replay` and `random-direction`. `random-direction` minus it is, in MAE,
# +0.0135<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:mae-->
# (+0.0022<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:mae_low--> to
# +0.0257<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:mae_high-->); in eAURC
# the two are not told apart,
# +0.0189<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:eaurc-->
# (-0.0035<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:eaurc_low--> to
# +0.0402<!--=evidence-phantom-prostate-medium-differences:dice/random-direction/adversarial:eaurc_high-->). From
# `plain-2b` it is told apart in neither. On six scanners that were drawn by lot
# ([sealed](../docs/results/phantoms.md#sealed-medium-profile)) that did not come again. Two other things did:
# `adversarial+strong` is the best head in both, and `overconfidence` is certainly nearer to the truth than
# `adversarial`, MAE -0.0254<!--=evidence-phantom-prostate-medium-differences:dice/overconfidence/adversarial:mae-->
# (-0.0415<!--=evidence-phantom-prostate-medium-differences:dice/overconfidence/adversarial:mae_low--> to
# -0.0056<!--=evidence-phantom-prostate-medium-differences:dice/overconfidence/adversarial:mae_high-->) and, sealed,
# -0.0152<!--=evidence-sealed-prostate-medium-differences:dice/overconfidence/adversarial:mae-->
# (-0.0276<!--=evidence-sealed-prostate-medium-differences:dice/overconfidence/adversarial:mae_low--> to
# -0.0003<!--=evidence-sealed-prostate-medium-differences:dice/overconfidence/adversarial:mae_high-->). What a run
# finds, for or against, is of its settings and its seeds until it comes again. All that was found for and
# against Algorithm 1 beside its controls, with two organs, two profiles and real hearts, stands in [one table, with what
# came again](../docs/results/evidence.md#does-algorithm-1-help).
#
# ## Summary
#
# * Two methods that differ in five things explain nothing; ideally, each control removes one of them.
# * Report the paired difference with its interval, over subjects and seeds, and how many differences you looked at.
# * An MAE means something next to the MAE of a constant.
# * Check what a perturbation did (size, true drop) before you explain what it was good for.
# * One pair of seeds gives a sentence; another pair may give the opposite one.
#
# **Go on** with [07 · Your own images](07_your_own_images.ipynb), or back to
# [05 · Score agreement](05_score_agreement.ipynb).
# **Read on:** [the paper](https://proceedings.mlr.press/v301/lennartz26a.html), section 3.3 and appendix C;
# [the controls with several seeds, both organs](../docs/results/controls.md).
