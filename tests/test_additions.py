"""Something new touches one file, and what is generated from it: each is added to a copy of the project and then used.

The fifth addition, a data set, is `test_a_data_set_is_one_new_file` in test_any_grid.py.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parent.parent
COPIED = ("advconf_lite", "data_download", "notebooks", "benchmarks", "docs", "results", "README.md", "pyproject.toml")


class Copy:
    """The project in a folder of its own: edit files, count those that changed, run scripts on it."""

    def __init__(self, folder):
        self.folder = folder
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)
        self.before = self._contents()

    def replace(self, file, old, new):
        """Put `new` in the place of `old`, which must be there once."""
        text = (self.folder / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} holds {text.count(old)} times: {old}"
        (self.folder / file).write_text(text.replace(old, new), encoding="utf-8")

    def append(self, file, text):
        """Add `text` to the end of a file, which is made if it is missing."""
        with open(self.folder / file, "a", encoding="utf-8") as opened:
            opened.write(text)

    def touched(self):
        """Paths of the files that were changed, made or removed."""
        now = self._contents()
        return sorted(path for path in now.keys() | self.before.keys() if now.get(path) != self.before.get(path))

    def run(self, script, *arguments):
        """What a script prints that imports the copy, run from a folder outside of it."""
        outside = self.folder.parent / "outside"
        outside.mkdir(exist_ok=True)
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=outside,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _contents(self):
        files = (path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path / "copy")


def test_the_copy_is_what_runs_and_its_changes_are_seen(copy):
    assert copy.touched() == []
    assert str(copy.folder) in copy.run("import advconf_lite; print(advconf_lite.__file__)")
    copy.append("advconf_lite/new.py", "VALUE = 3\n")
    copy.append("advconf_lite/head.py", "# more\n")
    assert copy.run("from advconf_lite.new import VALUE; print(VALUE)") == "3\n"
    assert copy.touched() == ["advconf_lite/head.py", "advconf_lite/new.py"]
    (copy.folder / "advconf_lite/new.py").unlink()
    copy.replace("advconf_lite/head.py", "# more\n", "")
    assert copy.touched() == []
    with pytest.raises(AssertionError, match="No module named 'advconf_lite.new'"):
        copy.run("import advconf_lite.new")


USE_A_METRIC = """
import sys
import numpy as np
import pandas as pd
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.text import comparison_table, summary_table
from advconf_lite.figures.controls import forest
from advconf_lite.figures.scores import figure3

rng = np.random.default_rng(0)
parts = []
for method, error in (("adversarial", 0.1), ("plain", 0.2), ("agreement-2", 0.3)):
    for domain in ("source", "target"):
        true = rng.random(12)
        parts.append(pd.DataFrame({
            "dataset": "toy", "domain": domain, "subject": [f"p{i // 3}" for i in range(12)], "phase": "",
            "slice": [i % 3 for i in range(12)], "quality": "dice", "method": method, "segmenter_seed": 0, "head_seed": 0,
            "estimates": method != "agreement-2", "true_score": true,
            "predicted_score": true + error * np.where(np.arange(12) % 2, 1, -1)}))
predictions = pd.concat(parts, ignore_index=True)
metrics = metrics_table(predictions, resamples=20)
metrics.to_csv("metrics.csv", index=False)
print(summary_table(metrics, "source"))
rows = compare(predictions, "adversarial", ["plain", "agreement-2"], "source", resamples=20)
print(comparison_table(rows).to_string())
print("dots:", [ax.get_xlabel() for ax in figure3(metrics, "source").axes])
print("forest:", [(ax.get_title(), ax.get_xlabel()) for ax in forest(rows).axes])
"""


def test_a_metric_is_one_record(copy, tmp_path):
    file = "advconf_lite/metrics.py"
    root = "lambda r: np.sqrt(r.weights @ (r.predicted - r.true) ** 2 / r.count)"
    record = f'Metric("rmse", "root mean squared error", False, True, {root}),\n'
    mae = 'Metric("mae", "MAE", False, True, Resamples.mean_error, of_order=False),\n'
    copy.replace(file, mae, mae + "        " + record)
    copy.replace(file, 'REPORTED = ("pearson", "eaurc", "mae")', 'REPORTED = ("pearson", "eaurc", "mae", "rmse")')
    text = copy.run(USE_A_METRIC)
    assert copy.touched() == [file]

    header, *rows = (tmp_path / "outside" / "metrics.csv").read_text().splitlines()
    columns = header.split(",")
    values = {row.split(",")[columns.index("method")]: row.split(",") for row in rows}
    assert [float(values["plain"][columns.index(name)]) for name in ("rmse", "rmse_low", "rmse_high")] == pytest.approx(
        [0.2, 0.2, 0.2]
    )
    assert values["agreement-2"][columns.index("rmse")] == ""  # it only ranks
    assert "root mean squared error (lower better)" in text and "0.200 [0.200, 0.200]" in text
    assert "-0.1000 [-0.1000, -0.1000]" in text  # adversarial minus plain
    assert "root mean squared error\\n(lower is better)" in text
    assert "('root mean squared error', '← adversarial better')" in text


USE_A_QUALITY = """
import sys
import torch
from advconf_lite.agreement import score_agreement
from advconf_lite.evaluation.text import summary_table
from advconf_lite.experiment.run import Run
from advconf_lite.figures.scores import figure2
from advconf_lite.quality import Quality
from advconf_lite.support.errors import BadInput

try:
    Quality("iou", 3)
except BadInput as error:
    print(error)
masks = torch.zeros(3, 1, 1, 4, dtype=torch.int64)  # one row of four pixels
masks[0, ..., :2] = masks[1, ..., 1:3] = masks[2, ..., 2:] = 1
print("agreement:", score_agreement(masks, Quality("jaccard", 3)).tolist())
run = Run("r", sys.argv[1], "smoke", "jaccard", ["plain", "agreement-2"], progress=False)
run.predict_heads()
run.predict_agreement()
print(summary_table(run.metrics()))
print("axis:", figure2(run.predictions()).axes[0].get_xlabel())
print("default:", Run("r", sys.argv[1], "smoke", None, ["plain"], progress=False).qualities)
"""


def test_a_quality_is_one_record(copy, slice_set, tmp_path):
    file = "advconf_lite/quality.py"
    copy.append(
        file,
        '''

def jaccard(pred: Tensor, target: Tensor, g: Quality) -> Tensor:
    """Intersection over union."""
    scores = dice(pred, target, g.num_classes, g.include_background)
    return scores / (2 - scores)


QUALITIES["jaccard"] = Measure("jaccard", "Jaccard index", jaccard)
''',
    )
    text = copy.run(USE_A_QUALITY, slice_set)
    assert copy.touched() == [file]

    assert "quality is 'iou'; choose from dice, surface_dice, jaccard" in text
    # Pairs of class 1: 1 of 3 pixels, none of 4, 1 of 3. No sample has class 2.
    assert f"agreement: [[{(1 / 3 + 0 + 1 / 3) / 3:.6f}" in text and ", 1.0]]" in text
    assert "quality: jaccard" in text and "axis: true Jaccard index of a slice" in text
    assert "default: ['dice', 'surface_dice', 'jaccard']" in text
    rows = (tmp_path / "outside" / "r" / "metrics.csv").read_text().splitlines()[1:]
    found = {tuple(row.split(",")[2:4]) for row in rows}
    assert found == {("jaccard", name) for name in ("plain", "agreement-2", "constant")}


METHOD = '''"""A control of one's own: every image a little brighter."""

from advconf_lite.head_training import Learner, Turn
from advconf_lite.methods.controls import Control
from advconf_lite.methods.registry import register


@register("brighter")
class Brighter(Control):
    """Algorithm 1 with every image brighter by a tenth of its spread."""

    def images(self, turn: Turn, learner: Learner):
        return turn.x + 0.1
'''

USE_A_METHOD = """
import sys
from advconf_lite.course.tables import methods_text
from advconf_lite.evaluation.text import summary_table
from advconf_lite.experiment.run import Run
from advconf_lite.methods.registry import parse_methods
from advconf_lite.support.errors import BadInput

try:
    parse_methods(["darker"])
except BadInput as error:
    print(error)
run = Run("r", sys.argv[1], "smoke", "dice", ["plain", "brighter"], progress=False)
run.predict_heads()
print(summary_table(run.metrics()))
print(methods_text(["brighter"]))
history = run.history()
print("norm:", history[history["method"] == "brighter"]["delta_norm"].dropna().round(3).unique().tolist())
"""


def test_a_method_is_one_file(copy, slice_set):
    copy.append("advconf_lite/methods/mine.py", METHOD)
    text = copy.run(USE_A_METHOD, slice_set)
    assert copy.touched() == ["advconf_lite/methods/mine.py"]
    assert "method 'darker' is unknown; choose from plain" in text and ", brighter," in text
    assert "brighter   " in text and "| `brighter` | Algorithm 1 with every image brighter by a tenth of its spread." in text
    assert "norm: [0.1" in text  # images are z-scored


LESSON = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09 · Mine: a lesson of one's own
#
# <!-- makes: a table of what the run has -->

# %% tags=["parameters", "pipeline"]
data: str = "phantom:cardiac"  # phantom:cardiac, phantom:prostate or a slice-set folder

# %%
print("seen", data)
"""

USE_A_LESSON = """
import sys
from pathlib import Path
from advconf_lite.course.notebooks import execute, lesson, lessons
print(lessons("pipeline"))
execute(lesson("09_mine"), Path("executed.ipynb"), {"data": "mine"})
print("seen mine" in Path("executed.ipynb").read_text(encoding="utf-8"))
"""


def test_a_lesson_is_its_pair_and_what_is_rendered_from_it(copy):
    copy.append("notebooks/09_mine.py", LESSON)
    jupytext.write(jupytext.read(copy.folder / "notebooks" / "09_mine.py"), copy.folder / "notebooks" / "09_mine.ipynb")
    done = subprocess.run([sys.executable, copy.folder / "docs" / "render.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    before = sorted(path.name for path in (copy.folder / "notebooks").glob("*.py"))[-2]  # its link to the next one
    assert copy.touched() == ["README.md", f"notebooks/{before}", "notebooks/09_mine.ipynb", "notebooks/09_mine.py",
                              "notebooks/TEACHING.md"]  # fmt: skip
    readme = (copy.folder / "README.md").read_text(encoding="utf-8")
    assert "| [09 mine](notebooks/09_mine.ipynb) | a table of what the run has |" in readme
    text = copy.run(USE_A_LESSON)
    assert "'05_score_agreement', '09_mine']" in text and text.endswith("True\n")
