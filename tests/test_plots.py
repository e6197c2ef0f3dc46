import itertools
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.figures.captions import restart_numbers
from advconf_lite.figures.controls import forest
from advconf_lite.figures.images import Perturbed, figure4, samples
from advconf_lite.figures.panels import outline
from advconf_lite.figures.scores import figure2, figure3, scatter
from advconf_lite.figures.style import CLASSES, METHODS, TRUTH, WIDTH, half_cue, method_cue, ordered, png, show
from advconf_lite.figures.training import figure1, learning_curves, training_scores
from advconf_lite.support.errors import BadInput

DOMAINS = ("near", "source", "far")


def predictions(seeds=(0,), subjects=4, qualities=("dice", "surface_dice"), methods=tuple(METHODS)[:4]):
    rng = np.random.default_rng(0)
    rows = []
    for domain, quality, subject, number in itertools.product(DOMAINS, qualities, range(subjects), range(5)):
        true = rng.random()
        for method, seed in itertools.product(methods, seeds):
            rows.append(
                dict(
                    dataset="toy",
                    domain=domain,
                    subject=str(subject),
                    phase="",
                    slice=number,
                    quality=quality,
                    method=method,
                    segmenter_seed=0,
                    head_seed=seed,
                    estimates=not method.startswith("agreement"),
                    true_score=true,
                    predicted_score=true + 0.1 * rng.standard_normal(),
                )
            )
    return pd.DataFrame(rows)


def history(seeds=(0, 1), qualities=("dice", "surface_dice"), steps=60):
    rng = np.random.default_rng(0)
    epoch = np.arange(10, steps + 1, 10)
    parts = [
        pd.DataFrame(
            dict(
                stage="segmenter",
                segmenter_seed=s,
                step=epoch,
                epoch=epoch // 10,
                loss=1 / epoch,
                val_loss=2 / epoch,
                val_dice=1 - 2 / epoch,
            )
        )
        for s in seeds
    ]
    for method, quality, seed in itertools.product(("plain", "adversarial"), qualities, seeds):
        step = np.arange(1, steps + 1)
        part = pd.DataFrame(
            dict(
                stage="head",
                quality=quality,
                method=method,
                segmenter_seed=0,
                head_seed=seed,
                step=step,
                loss=rng.random(steps),
                val_loss=np.where(step % 10 == 0, 0.1, np.nan),
            )
        )
        if method == "adversarial":
            drops = {
                "alpha": 0.8 + 0.01 * rng.standard_normal(steps),
                "predicted_drop": 0.1,
                "true_drop": 0.05,
            }
            part = part.assign(**{name: np.where(step < 20, np.nan, value) for name, value in drops.items()})
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def images(n=5, size=24):
    g = torch.Generator().manual_seed(0)
    masks = torch.zeros(n, size, size, dtype=torch.long)
    masks[:, 6:18, 6:18] = 2
    masks[:, 9:15, 9:15] = 1
    masks[0] = 0  # an empty slice
    masks[1, :10, :10] = 3  # touches the border
    return torch.randn(n, 1, size, size, generator=g), masks


def perturbed(image, mask):
    return Perturbed(image + 0.1, torch.roll(mask, 1, 0), (0.9, 0.7), (0.9, 0.88))


def heads_figure(n=2):
    x, y = images()
    return figure4(x[2], y[2], {f"head {i}": perturbed(x[2, 0], y[2]) for i in range(n)}, ["LV", "MYO", "RV"], 1.5)


def metrics(**kwargs):
    return metrics_table(predictions(**kwargs), resamples=20, constant={"dice": 0.5})


def compared(**kwargs):
    table = predictions(**kwargs)
    return compare(table, "adversarial", sorted({*table["method"]} - {"adversarial"}), "source", resamples=20)


FIGURES = {
    "samples": lambda: samples(*images(), [f"scanner {i}" for i in range(5)], ["LV", "MYO", "RV"], 1.5),
    "samples, one, no mask": lambda: samples(np.zeros((1, 9, 9))),
    "learning, segmenter": lambda: learning_curves(history()),
    "learning, head": lambda: learning_curves(history(), "head"),
    "figure1": lambda: figure1(history()),
    "figure1, one seed, one quality": lambda: figure1(history((3,), ("dice",)), delta_s=0.2),
    "figure1, two steps": lambda: figure1(history((0,), ("dice",), steps=21)),
    "figure2": lambda: figure2(predictions(), "source"),
    "figure2, one slice": lambda: figure2(predictions(subjects=1).iloc[:1]),
    "figure2, splits": lambda: figure2(
        predictions().assign(split=lambda t: np.where(t["slice"] < 2, "train", "test")), "source"
    ),
    "figure3": lambda: figure3(metrics(), "source"),
    "figure3, seeds": lambda: figure3(metrics(seeds=(0, 1, 2)), "source"),
    "figure3, one subject": lambda: figure3(metrics(subjects=1, qualities=("dice",))),
    "figure3, all NaN": lambda: figure3(metrics().assign(pearson=np.nan, pearson_low=np.nan)),
    "figure4": heads_figure,
    "figure4, one head": lambda: heads_figure(1),
    "scatter": lambda: scatter(predictions(seeds=(0, 1)), "surface_dice", source_domain="source"),
    "scatter, agreement": lambda: scatter(predictions(subjects=1), "dice", ("agreement-15",)),
    "forest": lambda: forest(compared()),
    "forest, two subjects": lambda: forest(compared(subjects=2, qualities=("dice",))),
    "forest, scores from samples": lambda: forest(compared(methods=("adversarial", "agreement-2"))),
    "training scores": lambda: training_scores({"clean": torch.rand(50), "adversarial": [0.1, np.nan, 1.0]}),
    "training scores, clean alone": lambda: training_scores({"clean": [0.5]}, "surface_dice"),
    "training scores, nothing perturbed": lambda: training_scores({"clean": [0.5], "perturbed": []}),
}
OF_IMAGES = ("samples", "figure4")


@pytest.mark.filterwarnings("error")  # a NaN, an empty legend or a glyph without a font shows up as a warning
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_small_and_labelled(name):
    fig = FIGURES[name]()
    assert isinstance(fig, Figure)
    content = png(fig)
    assert content.startswith(b"\x89PNG") and len(content) < 110_000  # twice in base64: below 300 kB
    assert fig.get_size_inches()[0] <= WIDTH  # a notebook on 1280 pixels does not scale it down
    for ax in fig.axes:
        if ax.axison and not name.startswith(OF_IMAGES):
            columns_share = fig.get_supxlabel() or ax.get_subplotspec().is_last_row()
            rows_share = fig.get_supylabel() or not ax.get_subplotspec().is_first_col()
            assert ax.get_xlabel() or columns_share, name
            assert ax.get_ylabel() or rows_share, name
    assert "matplotlib.pyplot" not in sys.modules or not matplotlib.pyplot.get_fignums()


def test_images_have_a_scale_and_named_outlines():
    for fig in (FIGURES["samples"](), heads_figure()):
        texts = [text.get_text() for text in fig.axes[0].texts]
        assert texts == ["5 mm"]  # 24 pixels of 1.5 mm are 36 mm; a quarter is 9
        (bar,) = fig.axes[0].lines
        assert np.ptp(bar.get_xdata()) == pytest.approx(5 / 1.5)
        assert [text.get_text() for text in fig.legends[0].get_texts()] == ["LV", "MYO", "RV"]
        assert len({line.get_linestyle() for line in fig.legends[0].get_lines()}) == 3


def test_outlines_follow_the_masks():
    x, y = images()
    fig = samples(x, y, None, ["LV", "MYO", "RV"])
    drawn = [len(ax.collections) for ax in fig.axes[:5]]
    assert drawn == [0, 3, 2, 2, 2]  # empty; all three; no RV
    inner = fig.axes[2].collections[-1].get_paths()[0].vertices
    assert inner.min() == pytest.approx(8.5) and inner.max() == pytest.approx(14.5)  # edges of pixels 9 to 14


def test_an_outline_is_that_of_contour():
    mask = np.random.default_rng(0).random((9, 12)) > 0.6  # islands, holes, diagonals, pixels at the border
    ours, theirs = (Figure(dpi=72).subplots() for _ in range(2))
    outline(ours, mask, TRUTH)
    theirs.contour(range(-1, 13), range(-1, 10), np.pad(mask, 1), levels=[0.5])
    corners = [set(map(tuple, ax.collections[0].get_paths()[0].vertices)) for ax in (ours, theirs)]
    ends = [(ax.collections[0].get_paths()[0].codes == 79).sum() for ax in (ours, theirs)]
    assert corners[0] == corners[1] and ends[0] == ends[1] > 3  # as many closed lines


def test_cues_differ_without_colour():
    for cues in (METHODS.values(), {half_cue(name) for name in ("clean", "perturbed")}):
        assert len({(c.colour, c.marker) for c in cues}) == len({(c.colour, c.hatch) for c in cues}) == len(cues)
    shown = [METHODS[name] for name in ("plain", "adversarial", "agreement-2", "agreement-15", "constant")]
    for values in (
        [(c.marker, c.hatch) for c in shown],
        [c.marker for c in METHODS.values()][:4],
        [str(c.line) for c in shown],
        [str(c.line) for c in CLASSES],
    ):
        assert len(set(values)) == len(values)
    dots = [line for line in FIGURES["figure3"]().axes[0].lines if line.get_linestyle() == "None"]
    assert len({line.get_marker() for line in dots}) == len({line.get_color() for line in dots}) == 4
    left, right = FIGURES["figure1, one seed, one quality"]().axes
    styles = [(line.get_linestyle(), line.get_marker()) for line in left.lines if line.get_linewidth() > 1]
    assert len(set(styles)) == 3  # predicted, true, and the target
    assert len({line.get_linestyle() for line in FIGURES["figure1"]().axes[1].lines}) == 2
    markers = [len(c.get_facecolor()) for c in FIGURES["scatter"]().axes[0].collections]
    assert markers == [1, 0]  # filled, open


def test_twenty_methods_have_twenty_cues():
    known = ["plain", "adversarial", "agreement-2", "agreement-15", "constant"]
    cues = [method_cue(name, number) for number, name in enumerate([*known, *(f"other-{i}" for i in range(15))])]
    assert len({(cue.colour, cue.marker) for cue in cues}) == len({(cue.colour, cue.hatch) for cue in cues}) == 20


def test_figures_of_algorithm_1_show_the_adversarial_head_alone():
    table = history()
    more = pd.concat([table, table[table["method"] == "adversarial"].assign(method="adversarial-0.2", true_drop=9.0)])
    lines = [[np.asarray(line.get_ydata()).tolist() for line in figure1(each).axes[0].lines] for each in (table, more)]
    assert str(lines[0]) == str(lines[1])  # as text, in which NaN equals NaN


def test_figure1_lines_and_target():
    left, right = FIGURES["figure1, one seed, one quality"]().axes
    assert any(np.allclose(line.get_ydata(), 0.2) and line.get_linestyle() != "-" for line in left.lines)
    assert len(right.lines) == 1 and len(right.lines[0].get_xdata()) == 41  # the warm-up has no drop
    with pytest.raises(BadInput, match="no adversarial steps"):
        figure1(history().query("method != 'adversarial'"))
    with pytest.raises(BadInput, match="no rows of stage 'head'"):
        learning_curves(history().query("stage == 'segmenter'"), "head")


def test_figure2_counts_a_slice_once():
    fig = figure2(predictions(seeds=(0, 1)), "source")
    labels = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert labels == ["source, n = 20", "near, n = 20", "far, n = 20"]
    points = [c for c in fig.axes[0].collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in points] == [20, 20, 20]
    expected = np.percentile(np.asarray(points[0].get_offsets())[:, 0], [25, 75])
    box = fig.axes[0].patches[0]
    assert [box.get_x(), box.get_x() + box.get_width()] == pytest.approx(list(expected))


def dots(fig, method, panel=0):
    """Where figure 3 puts the dots of a method."""
    lines = [line for line in fig.axes[panel].lines if line.get_linestyle() == "None"]
    return next(list(line.get_xdata()) for line in lines if line.get_color() == METHODS[method].colour)


def test_figure3_dots_and_whiskers():
    one, several = metrics(), metrics(seeds=(0, 1, 2))
    fig = figure3(one, "source")
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [
        "mean of targets",
        "source (source)",
        "near",
        "far",
    ]
    plain = one[(one["method"] == "plain") & (one["quality"] == "dice")].set_index("domain")
    expected = plain.loc[["source", "near", "far"], "pearson"].tolist()
    assert dots(fig, "plain") == pytest.approx([np.mean(expected[1:]), *expected])
    whiskers = [segment for segment in fig.axes[0].collections[0].get_segments() if len(segment)]  # the mean has none
    assert [list(segment[:, 0]) for segment in whiskers] == [
        pytest.approx(list(plain.loc[name, ["pearson_low", "pearson_high"]])) for name in ("source", "near", "far")
    ]
    assert "bootstrap" in fig.get_supxlabel() and "standard deviation" in figure3(several).get_supxlabel()
    group = several[(several["method"] == "plain") & (several["quality"] == "dice") & (several["domain"] == "near")]
    assert dots(figure3(several), "plain")[1] == pytest.approx(group["pearson"].mean())
    assert [tick.get_text() for tick in figure3(several).axes[0].get_yticklabels()][0] == "mean"  # no source: of all
    assert len(fig.axes[2].collections[-1].get_segments()) == 4  # the constant's MAE, and its mean
    assert "constant prediction" in [t.get_text() for t in fig.legends[0].get_texts()]
    with pytest.raises(BadInput, match="empty"):
        figure3(one, methods=("nonsense",))


def test_scatter_takes_one_pair_of_seeds_and_says_so():
    fig = scatter(predictions(seeds=(0, 1)), "dice")
    assert all(len(c.get_offsets()) == 20 for c in fig.axes[0].collections)
    assert "head seed 0" in fig.get_supxlabel()
    assert "seed" not in scatter(predictions(), "dice").get_supxlabel()
    with pytest.raises(BadInput, match="no predictions of iou"):
        scatter(predictions(), "iou")


def test_user_settings_neither_matter_nor_change():
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        fig = training_scores({"clean": [0.2], "perturbed": [0.3]})
        assert fig.axes[0].get_facecolor() == (1, 1, 1, 1) and matplotlib.rcParams["font.size"] == 30


def test_ordered():
    assert ordered(["b", "a", "z", "b"], ["a", "c"]) == ["a", "b", "z"]


def test_colours_survive_the_small_palette():
    """A thin outline of a rare colour must not be averaged into the greys."""
    from io import BytesIO

    from PIL import Image

    x, y = images(4, 96)
    pixels = np.asarray(Image.open(BytesIO(png(samples(x, y, None, ["LV", "MYO", "RV"])))).convert("RGB"))
    red, blue = pixels[..., 0].astype(int), pixels[..., 2].astype(int)
    assert (red - blue > 150).sum() > 50 and (blue - red > 80).sum() > 50  # vermillion, sky blue


def test_show_in_a_notebook_has_image_alt_text_and_caption(capsys):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    restart_numbers()
    InteractiveShell.instance()
    try:
        with capture_output() as seen:
            for caption in ("A caption.", "Another.", "A caption."):
                show(training_scores({"clean": [0.2]}), caption, alt="one bar & a 'line'")
    finally:
        InteractiveShell.clear_instance()
    output = seen.outputs[0]
    assert output.data["image/png"].startswith("iVBOR") and seen.stdout == ""
    assert output.metadata["image/png"]["alt"] == "one bar & a 'line'"
    assert output.metadata["image/png"]["width"] == 816  # 6.8 inches
    assert 'alt="one bar &amp; a &#x27;line&#x27;"' in output.data["text/html"]
    numbers = [each.data["text/plain"].split(".")[0] for each in seen.outputs]
    assert numbers == ["Figure 1", "Figure 2", "Figure 1"]  # a cell that is run again keeps its number
    assert sum(map(len, output.data.values())) < 300_000


@pytest.mark.parametrize("backend", [None, "Agg", "module://matplotlib_inline.backend_inline"])
def test_show_outside_a_notebook_with_any_backend(backend):
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    environment |= {"MPLBACKEND": backend} if backend else {}
    imports = "from advconf_lite.figures.training import training_scores; from advconf_lite.figures.style import show"
    code = f"{imports}; show(training_scores({{'clean': [.2]}}), 'A caption.')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Figure 1. A caption.\n"), done.stderr


def test_show_closes_a_pyplot_figure():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    fig = pyplot.figure()
    show(fig, "")
    assert fig.number not in pyplot.get_fignums()
