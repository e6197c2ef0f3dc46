# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Score agreement: the baseline that pays with time
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [04 evaluation across scanners](04_evaluation_across_scanners.ipynb) ·
# Next: [06 ablations and controls](06_ablations_and_controls.ipynb)
#
# **To read:** about 12 minutes; exercises and widgets come on top. **To run:** 40 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 800 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/05_score_agreement.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/05_score_agreement.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/05_score_agreement.ipynb
# <!-- end -->
#
# <!-- makes: maps of disagreement, the baseline that needs 15 passes, and what it costs -->
#
# **The question.** A head has to be trained. Could the segmentation network be asked directly, by letting it draw the
# same outline fifteen times and looking how well it agrees with itself? What does that know, what does it not know,
# and what does it cost?
#
# **After this lesson you can**
#
# * say what score agreement measures, and compute it for masks by hand,
# * show in one picture why it *ranks* but does not *estimate*,
# * weigh its order against its price, which is passes.
#
# It continues [lesson 04](04_evaluation_across_scanners.ipynb), and starts on its own. A multiple choice: put the letter
# of your answer in place of `None`, and run the cell again.

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

# %% tags=["parameters", "pipeline", "dropout", "beside"]
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

run = start(data, profile, out, quality, methods, use)
segmenter, g = run.segmenter(segmenter_seeds[0]), run.qualities[0]
source, title = run.experiment.slices.source_domain, run.quality(g).measure.title
seeds = [(s, h) for s in segmenter_seeds for h in head_seeds]

# %% [markdown]
# ## Failure first: wrong, and agreed on it
#
# Dropout switches off random parts of the network in each pass, here also when it is not trained. So each pass draws
# a slightly different outline. Below are fifteen outlines of the best slice of the source scanner, and of one of the
# worst of all targets: of those that share the lowest true score, the one whose agreement is in the middle.
#
# **Your guess, before you look:** how large is the agreement of the fifteen outlines, their mean Dice with each other,
# on the *worst* slice? 1 is perfect agreement.

# %%
from advconf_lite.course.teach import guess, reveal

guess("agreement_on_the_worst_slice", None, within=(0, 1))

# %%
from advconf_lite.course.pictures import sampled_slices
from advconf_lite.figures.outlines import disagreement_map
from advconf_lite.figures.style import show

cases, tied = sampled_slices(run, segmenter, n=15)
show(
    disagreement_map(cases, run.experiment.spacing_mm, title),
    "Fifteen samples of a good and of a failing slice: truth, all outlines, where they differ.",
    "Two rows of three images: a slice, its sampled outlines, and a map of disagreement.",
)

# %%
good, failing = cases.values()
reveal("agreement_on_the_worst_slice", failing.agreement)
print(f"{'':8}{'agreement':>12}{'true ' + title:>12}")
for name, case in (("good", good), ("failing", failing)):
    print(f"{name:8}{case.agreement:12.2f}{case.true:12.2f}")
print(f"agreement where the true score is as low, {len(tied)} slices sampled: {tied[0]:.2f} to {tied[-1]:.2f}")

# %% [markdown]
# On a good slice disagreement is a thin rim around the outline. On a failing one look *where* the samples are: do they
# agree better with each other than with the truth? One slice proves nothing, so the last line has the range over slices
# that failed as badly. At its lower end the samples waver, and agreement warns; at its upper end they are sure of one
# mistake. Agreement sees how much the network wavers. It cannot see a mistake that all samples share.
#
# ## The idea in symbols
#
# Draw $N$ masks $\hat{y}_1, \dots, \hat{y}_N$ of the same image, and let the quality $g$, Dice for instance, compare
# each with each (Roy et al. 2018):
#
# $$a = \frac{2}{N (N - 1)} \sum_{i < j} g(\hat{y}_i, \hat{y}_j).$$
#
# No ground truth and no training, but $N$ passes, and a comparison for each pair. **Exercise:** how many pairs?


# %% tags=["exercise"]
def pairs_of(n):
    ### BEGIN SOLUTION
    pairs = n * (n - 1) // 2
    ### END SOLUTION
    return pairs


# %%
from advconf_lite.course.teach import check

check("pairs_of", pairs_of)

# %% [markdown]
# The paper takes $N = 15$ "to saturate performance", and $N = 2$ to come nearer to the cost of a head (section 4.3).
# **Exercise:** the agreement itself, for boolean masks of one class. A sample that draws nothing agrees perfectly with
# another that draws nothing: two *empty* masks count 1.

# %% tags=["exercise"]
from itertools import combinations

import numpy as np


def my_agreement(masks):
    ### BEGIN SOLUTION
    sizes = [(2 * (a & b).sum(), a.sum() + b.sum()) for a, b in combinations(masks, 2)]
    answer = np.mean([overlap / size if size else 1.0 for overlap, size in sizes])
    ### END SOLUTION
    return answer


# %%
check("my_agreement", my_agreement)

# %% [markdown]
# The rule for two empty masks is a choice, and one that matters: counted 0 instead, the correlation on the phantom's
# heart is 0.696<!--=controls:cardiac/dice/agreement-15-zero:pearson--> and not
# 0.712<!--=controls:cardiac/dice/agreement-15:pearson-->; on the prostate, with its one organ, nearly nothing changes
# ([all methods](../docs/results/controls.md); the method is `agreement-15-zero`).
#
# ## How many samples?
#
# Agreement is a mean over pairs, so a few samples give about the same *mean* as many, and only more noise around it:
# more samples do not move it towards the truth. Turn `samples` and watch the dots and their spread, not their middle.

# %%
from advconf_lite.course.sampling import few_slices, sample_slider
from advconf_lite.course.teach import Slider, explore

few = few_slices(run, segmenter, n_slices=24, samples=15)
widget = explore(
    sample_slider(few, title),
    "Agreement with N samples against the true score; whiskers: spread over which N were drawn.",
    "A scatter of agreement against true score, with whiskers that shrink as N grows.",
    samples=Slider(2, 2, 15, 1),
)

# %%
spread = {n: float(np.mean(few.spread(n))) for n in (2, 5, 10)}
print("mean agreement with N = 2 and N = 15:", *(f"{few.agreement(n).mean():.3f}" for n in (2, 15)))
print("mean spread of a slice:", ", ".join(f"N = {n}: {s:.3f}" for n, s in spread.items()))

# %% [markdown]
# ## What it costs
#
# **Your guess:** in the time of one agreement with $N = 15$, how many plain segmentations could be made on this machine?

# %%
guess("cost_of_fifteen_samples", None, unit="segmentations")

# %%
from advconf_lite.course.timings import cost_table

costs = cost_table(run, segmenter)
ms = costs.set_index("method")["ms per image"]
reveal("cost_of_fifteen_samples", float(ms[f"agreement, N = 15, {g}"] / ms["segmentation alone"]))
costs.assign(**{"times": costs["ms per image"] / ms["segmentation alone"]}).round(2)

# %% [markdown]
# The head adds little to the one pass that is needed anyway, and its time does not depend on the quality that it
# predicts. Agreement may cost more than its number of passes: on a CPU, drawing a dropout mask for each element of
# each layer is work of its own, and the pairs come on top. Times are of your machine; some per cent between two rows
# are its noise. The paper's times, on a GPU, are in lesson 06.
#
# ## A rank, and no estimate
#
# All slices now, and all pairs of seeds that the run's folder has, as in lessons 04 and 06. First look at agreement
# as if it were a grade, an estimate of the true score.

# %%
from advconf_lite.course.tables import all_predictions, of_run
from advconf_lite.figures.promises import promises

all_predictions(run, seeds)  # what the folder lacks is made now
predictions, metrics = of_run(run)
ranks = ("agreement", "entropy")
sampled = [name for name in dict.fromkeys(predictions["method"]) if name.startswith(ranks)]
for name in run.qualities if sampled else []:
    show(
        promises(predictions, name, sampled, source),
        f"Agreement against true {run.quality(name).measure.title}, as if it were a grade.",
        "Scatter plots of agreement against true score, with the diagonal.",
    )

# %%
from advconf_lite.course.sampling import as_estimate

table = as_estimate(predictions, source, g)
ranked = table["distance of a slice"].dropna().sort_values()
print("slice by slice, the nearest to the truth first:", ", ".join(ranked.index))
table.round(3)

# %% [markdown]
# `difference of the means` says how far a method is off on average over the targets, `distance of a slice` how far
# slice by slice. Agreement, which is no estimate, may well be *nearer* to the truth than heads that were trained to
# estimate: on scanners that they have never seen these are far off, too. The difference is one of kind. A head's number
# *claims* to be the score; nothing in $a$ knows the truth, so where it lies is luck, until somebody calibrates it on
# outlined slices, or maps it by a line of source validation, as is done below. The paper says
# that it "does not estimate the corresponding quality metric directly", and gives no MAE for it.

# %%
from advconf_lite.course.teach import choose

choose("agreement_error", None)

# %% [markdown]
# ## All methods
#
# **Your guess:** of the eAURC, the price of a method's order (lower is better), averaged over the target scanners: which
# method of this run is best?

# %%
guess("best_order", None, choices=list(dict.fromkeys(predictions["method"])))

# %%
from advconf_lite.figures.scores import figure3

show(
    figure3(metrics, source),
    "As the paper's Figure 3: all methods per scanner; agreement has no MAE.",
    "Dots per scanner and method in a panel for each of correlation, eAURC and MAE.",
)

# %%
from advconf_lite.evaluation.text import domain_table

of_g = metrics[metrics["quality"] == g]
targets = [name for name in dict.fromkeys(of_g["domain"]) if name != source]
rows = {name: name for name in dict.fromkeys(of_g["method"]) if name != "constant"}
means = of_g[of_g["domain"].isin(targets) & of_g["method"].isin(list(rows))].groupby("method", sort=False)["eaurc"].mean()
reveal("best_order", means.dropna().idxmin() if means.notna().any() else None)
domain_table(of_g, "eaurc", rows, targets, mean=True)

# %% [markdown]
# Rows are eAURC, the last column their mean over the targets. Where nearly every slice has failed there is no order
# to find, and every method's eAURC is small. With several pairs of seeds, whiskers and ± are standard deviations over
# them (the bars of the paper's Figure 3 are 95 % bootstrap intervals of five head seeds): of heads on one U-Net they
# say nothing about another U-Net, and nothing about other subjects. If agreement leads, ask by how much *per pass*: a
# head had one. And which differences are more than chance is a question for intervals:

# %%
from advconf_lite.course.teach import verdict

against = [name for name in sampled if name.startswith("agree")] or ["agreement-15"]
verdict(predictions, against, "adversarial", source)

# %% [markdown]
# The paper's own reading (section 4.3): its method "narrows the gap" to score agreement with $N = 15$ and outperforms
# it "in several cases"; against $N = 2$ "direct prediction is mostly superior". Counted in its Figure 3, of 22 scanners
# and scores: against $N = 15$ the head has the higher correlation in 6 and the lower eAURC in 4, against $N = 2$ the
# higher correlation in 14. Does *this* run say the same? It need not: another network, another shift, other images.
#
# ## Three networks in place of fifteen samples
#
# Samples of one network share its habits; networks that were trained from other seeds share fewer. `ensemble-3` asks
# three U-Nets how far they agree: three passes, and two trainings more. Both can be mapped to a Dice by the straight
# line that fits the source's validation best, without a label of any target. On the phantom's prostate, with five
# U-Nets, three seeds of dropout each, and the scanners of this lesson ([all of
# it](../docs/results/phantoms.md#massive-shift-the-phantoms-prostate)), the
# MAE is then 0.284<!--=evidence-phantom-prostate-quick:dice/mean of the targets/agreement-15 mapped:mae--> for
# `agreement-15`, and 0.159<!--=evidence-phantom-prostate-quick:dice/mean of the targets/ensemble-3 mapped:mae--> for
# `ensemble-3`, where a head trained by Algorithm 1 has
# 0.417<!--=evidence-phantom-prostate-quick:dice/mean of the targets/adversarial:mae--> and a constant
# 0.459<!--=evidence-phantom-prostate-quick:dice/mean of the targets/constant:mae-->. On the scanners with a coil the
# samples of one network agree on its mistake; three networks mostly do not make the same one.
# (In another profile, `medium`, with a wider network and longer training, three networks did: there the MAE of
# `ensemble-3` is 0.282<!--=evidence-phantom-prostate-medium:dice/mean of the targets/ensemble-3 mapped:mae-->, that of
# `agreement-15` 0.253<!--=evidence-phantom-prostate-medium:dice/mean of the targets/agreement-15 mapped:mae-->,
# and they are not told apart.)
#
# Where the shift is moderate, fifteen samples are nearly as good as three networks: on the phantom's heart the MAE is
# 0.072<!--=evidence-phantom-heart-quick:counted/dice/mean of the targets/agreement-15 mapped:mae--> for
# `agreement-15`, 0.068<!--=evidence-phantom-heart-quick:counted/dice/mean of the targets/ensemble-3 mapped:mae--> for
# `ensemble-3`, 0.094<!--=evidence-phantom-heart-quick:counted/dice/mean of the targets/adversarial:mae--> for the head
# and 0.109<!--=evidence-phantom-heart-quick:counted/dice/mean of the targets/constant:mae--> for a constant. Both are
# certainly better than the head there, in eAURC and in MAE, and on six more scanners that were drawn by lot. Beside a
# head of `strong-augmentation` it is less clear: on these six the MAE of neither is told apart from it. A line
# is only as good as what it was fitted to, and that was the source.
#
# On real hearts, other hospitals and motion ([all of it](../docs/results/real.md)), both, mapped, had a lower
# MAE than every head that was tried, and as low as each other.
#
# The same line for your own images: `python -m advconf_lite calibrate --run RUN --method agreement-15 --risk 0.1 --out
# calibration.json` writes it down without a label, and `predict --calibration calibration.json` gives each new image a
# Dice by it, and a decision.
#
# ## Summary
#
# * Score agreement is the mean quality over all pairs of $N$ dropout samples: no truth, no training, $N$ passes.
# * It measures how much the network wavers. A mistake that all samples share is invisible to it.
# * It ranks and does not estimate: no MAE, and no threshold on it means a Dice unless it is calibrated.
# * More samples make it less noisy, not more true.
# * A head has one pass and grades at once; whether its order is as good is a matter of intervals.
#
# **Go on** with [06 · Ablations and controls](06_ablations_and_controls.ipynb): *why* is one head better than another?
# Or back to [04 · Evaluation](04_evaluation_across_scanners.ipynb). **Read on:** [the
# paper](https://proceedings.mlr.press/v301/lennartz26a.html), sections 4.3 and 4.4; Roy et al. 2018, [Inherent brain
# segmentation quality control](https://arxiv.org/abs/1804.07046); Zenk et al. 2025, [a benchmark of failure
# detection](https://arxiv.org/abs/2406.03323), where the agreement of an *ensemble's* members is the robust baseline:
# an ensemble is a method here, too (`ensemble-3` in `methods`); Valindria et al. 2017, [Reverse classification
# accuracy](https://arxiv.org/abs/1702.03407), which asks the outlined images instead.
