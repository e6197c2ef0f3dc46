# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · The paper's scale: a GPU, and the real data
#
# <!-- lesson -->
# [Open in Colab] · [Open in Kaggle] · [Read on GitHub]
#
# Previous: [07 your own images](07_your_own_images.ipynb)
#
# **To read:** about 7 minutes; exercises and widgets come on top. **To run:** 25 seconds where the run's folder is
# filled (measured on 2 cores without a GPU, busy with other work, with 1100 MB of memory).
#
# [Open in Colab]: https://colab.research.google.com/github/_owner_/advconf-lite/blob/main/notebooks/08_the_papers_scale.ipynb
# [Open in Kaggle]: https://www.kaggle.com/kernels/welcome?src=https://github.com/_owner_/advconf-lite/blob/main/notebooks/08_the_papers_scale.ipynb
# [Read on GitHub]: https://github.com/_owner_/advconf-lite/blob/main/notebooks/08_the_papers_scale.ipynb
# <!-- end -->
#
# <!-- makes: a plan for this machine, and the commands for M&Ms-2 and PMRI on a GPU; it trains nothing -->
#
# **The question.** All lessons so far ran in minutes, on made-up organs. What would it take to do what the paper did: its
# networks, its number of steps, real hearts (M&Ms-2) and real prostates (PMRI)? And what may you say when it is done?
#
# **After this lesson you can**
#
# * say in what your run differs from the paper, and in what the paper differs from its own published code,
# * get and prepare the paper's data, and start, stop and resume a run of hours,
# * run single lessons on it by papermill.
#
# **Nothing is trained here**: the cells measure a few steps and print a plan. A multiple choice: put the letter of your
# answer in place of `None`, and run the cell again.

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

# %% tags=["parameters", "own-profile"]
data: str = "phantom:prostate"  # phantom:prostate, phantom:cardiac or a slice-set folder
profile: str = "paper"  # which one to plan: smoke, quick, full or paper
out: str = ""  # the run's folder; "" is runs/DATA-PROFILE, as runs/prostate-paper
methods: str = "plain adversarial agreement-2 agreement-15"  # separated by spaces

# %% [markdown]
# ## Failure first: the paper's profile on this machine
#
# **Your guess:** how many *hours* does the profile in the parameters train on the machine that you sit at: one U-Net,
# and the heads of one pair of seeds?

# %%
from advconf_lite.course.teach import guess, reveal

guess(f"hours_of_{profile}", None, unit="hours")

# %%
from advconf_lite.course.first_screen import duration
from advconf_lite.course.plan import plan_table
from advconf_lite.figures.plan import durations
from advconf_lite.figures.style import show

plan = plan_table(data, dict.fromkeys(["smoke", "quick", profile]), methods)
seconds = (3600 * (plan["U-Net, h"] + plan["heads, h"])).to_dict()
words = {name: f"about {duration(value)}" for name, value in seconds.items()}
show(
    durations(seconds, words),
    "Training of one U-Net and its heads on this machine, from a few steps measured now.",
    "A bar per profile on an axis of powers of ten, with a mark at one hour.",
)

# %%
reveal(f"hours_of_{profile}", seconds[profile] / 3600)
plan.round(3)

# %% [markdown]
# Steps times the seconds of a step: nothing else is in these numbers. A step is measured now, for each profile on images
# of its own size; on a CPU a large batch is measured on a part of it and counted whole, the paper's 32 slices on one or a
# few. Early stopping may end a training sooner. On a machine of yours with a GPU the same cell gives another answer; we
# have measured none at this scale, so no hours for a GPU stand here. On two CPU cores the quick profile's run, lessons
# included, took 292<!--=single-numbers:tutorial-faster:value--> and 338<!--=single-numbers:tutorial-slower:value--> s.
#
# `run` prints the same plan as its first lines, and then begins. Here they are, without the beginning:

# %%
from advconf_lite.course.plan import screen

print(screen(data, profile, methods))

# %% [markdown]
# ## In what the profiles differ
#
# The quick profile takes fewer steps, on smaller batches of coarser images and at larger learning rates. A number of
# the quick profile is therefore never one of the paper's, not even nearly. The column of `paper` holds what the paper
# says, and where it says nothing the published code's value (the U-Net's steps, batch and patience) or ours (the
# phantom's subjects).

# %%
from advconf_lite.course.plan import unlike_the_paper

unlike_the_paper("quick")

# %% [markdown]
# ## In what the published code differs from the paper
#
# The paper leaves choices open, and its published code settles some of them differently from the text. Each is a named
# setting. By default a run takes what the paper says, and our choice where it says nothing; `--settings published-code`
# takes what the code does. The first column says where the paper speaks of it.

# %%
from advconf_lite.course.plan import unlike_the_published_code

unlike_the_published_code()

# %% [markdown]
# A row to look at twice is `split`: with `slice`, neighbouring slices of one patient are in training *and* in
# validation ([lesson 01](01_data_preparation.ipynb)). [All settings, and why ours are what they
# are](../docs/paper_vs_course.md).
#
# ## The data
#
# M&Ms-2 needs a registration, and PMRI comes from a drive that limits downloads per day; neither comes with this
# course. `fetch` prints what to do, with licence and citation.
#
# ```bash
# python -m data_download fetch mnms2 --out data/downloads
# python -m data_download prepare mnms2 --source data/downloads/mnms2 --out data/mnms2
# python -m data_download verify data/mnms2
#
# python -m data_download fetch pmri --out data/downloads
# python -m data_download prepare pmri --source data/downloads/pmri --out data/pmri
# python -m data_download verify data/pmri
# ```
#
# `verify` compares subjects and slices per scanner with the paper's Table 2, for `pmri` after `--geometry
# published-code` of `prepare`. That option repeats a slip: the published loader resamples PMRI's volumes along the
# wrong axis, across slices instead of within them, and Table 2's counts fit only that. So a part of the shift that
# the paper calls massive may be geometry (our inference; nobody has measured how much). By default the plane is
# resampled. For the published protocol add `--orientation as-stored --split slice`. What is on this machine already?

# %%
from pathlib import Path

for name in ("mnms2", "pmri"):
    there = (Path("data") / name / "slices.csv").exists()
    print(f"data/{name}: {'prepared' if there else 'not there yet'}")

# %% [markdown]
# ## The run
#
# ```bash
# python -m advconf_lite check
# python -m advconf_lite run --data data/mnms2 --profile paper --out runs/mnms2 --head-seed 0 1 2 3 4
# python -m advconf_lite run --data data/pmri --profile paper --out runs/pmri --head-seed 0 1 2 3 4
# python -m advconf_lite run --data data/pmri --profile paper --settings published-code --out runs/pmri-code
# ```
#
# The paper gives mean and standard deviation "across five runs", and does not say what was drawn anew in each. Its
# published code draws five head seeds on **one** U-Net, as above: what another U-Net would change is in none of its
# error bars. Add `--segmenter-seed 0 1 2` to see it. In a scheduler's script it is the same line; it needs no display
# and asks nothing.
#
# ### Stopped? The same line again
#
# Each network leaves a checkpoint every so many steps (`checkpoint_steps`), and each finished thing is a file that is
# not made twice. Killed at any moment, by you, the scheduler or a power cut, the same command goes on from there; with
# *other* settings, data or network it refuses, and says which differ. What has the folder of this lesson's parameters
# so far?

# %%
from advconf_lite.course.lessons import folder_of

folder = Path(out or folder_of(data, profile))
made = sorted(path.name for path in folder.glob("*") if path.is_file())
print(f"{len(made)} files are finished" if made else "nothing yet: a run would begin from nothing")
print(*made[:8], sep="\n")

# %% [markdown]
# ### Single lessons by papermill
#
# Each lesson is a program with parameters. `-p` sets text, `-y` anything else; the executed copy has your figures and
# tables. What the run's folder has is read, and only what it lacks is trained.
#
# ```bash
# papermill --help-notebook notebooks/04_evaluation_across_scanners.ipynb
# papermill notebooks/04_evaluation_across_scanners.ipynb mnms2-04.ipynb -k python3 \
#     -p data data/mnms2 -p profile paper -p out runs/mnms2 -y "head_seeds: [0, 1, 2, 3, 4]"
# papermill notebooks/06_ablations_and_controls.ipynb pmri-06.ipynb -k python3 \
#     -p data data/pmri -p profile paper -p out runs/pmri -p methods "plain plain-2b replay adversarial random-direction"
# ```
#
# ## When it is done
#
# You have a table, and the paper has one. Which sentence may stand between them?

# %%
from advconf_lite.course.teach import choose

choose("beside_the_paper", None)

# %% [markdown]
# ## Your guesses, counted
#
# All guesses of scores that you have made in this course, as if you were a head:

# %%
from advconf_lite.course.teach import scorecard

scorecard()

# %% [markdown]
# ## Summary
#
# * The paper's profile is the same code with more steps, larger batches and images, and smaller learning rates; the plan
#   says what that costs *here*.
# * Paper and published code are two different ends; each difference is a setting with a name.
# * A run of hours is one line. The same line again goes on where it was stopped.
# * Compare differences between methods from your own runs, and say in what these are unlike the paper's.
#
# This is the last lesson. **Back** to [07 · Your own images](07_your_own_images.ipynb), or to [the
# beginning](00_start_here.ipynb). **Read on:** [the paper](https://proceedings.mlr.press/v301/lennartz26a.html),
# sections 3.4 and 4.1, and appendix A; its [published code](https://github.com/MedVisBonn/midl25); [all options of
# `run`](../docs/commands.md#run).
