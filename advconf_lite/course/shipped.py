"""What ships trained, laid out as a run's folder, in which nothing is trained."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from advconf_lite import __version__
from advconf_lite.course.edition import MANIFEST, PAIR, TRAIN, Stage, check_sums, find_artefacts, read_array, read_manifest
from advconf_lite.data.slices import write_slice_set
from advconf_lite.evaluation.rules import counted
from advconf_lite.experiment.compact import images, read_weights, unpacked, write_weights
from advconf_lite.experiment.folder import Key, read_config
from advconf_lite.experiment.heads import untrained_head
from advconf_lite.experiment.profiles import profile_from_config
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import done
from advconf_lite.experiment.weights import load_weights
from advconf_lite.methods.registry import head_methods
from advconf_lite.support.alone import alone_in
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically


class ShippedRun(Run):
    """A run of which everything is there and nothing is trained: lessons use it as any other.

    Its predictions are those of all test subjects and pairs of seeds; weights are there for one pair, images for a dozen
    subjects, and numbers that are computed again on those are the stored ones.

    Args:
        folder: filled, or filled anew if it holds another edition.
        organ: one that ships.
        quality, methods: which of those that ship; None for all.
        artefacts: where they lie; None to look for them.

    Attributes:
        stages_of_heads: the heads' stages, for `stage_head`.

    Raises:
        BadInput: there are no artefacts, a file of them is damaged, or they lack the organ, a quality or a method.
    """

    def __init__(
        self,
        folder: str | Path,
        organ: str,
        quality: Sequence[str] | None = None,
        methods: Sequence[str] | None = None,
        device: str | None = None,
        progress: bool = True,
        artefacts: Path | None = None,
    ) -> None:
        folder, artefacts = Path(folder), artefacts or find_artefacts()
        manifest = read_manifest(artefacts)
        known = _one_of(manifest["organs"], [organ], "organ")[0]
        entry = manifest["organs"][known]
        quality = _one_of(entry["qualities"], quality or entry["qualities"], "quality")
        methods = _one_of(entry["methods"], methods or entry["methods"], "method")
        self.manifest, self.entry = manifest, entry
        text = (artefacts / MANIFEST).read_bytes() + __version__.encode()
        self.shipped = f"{known} of {manifest['commit']}, {hashlib.sha256(text).hexdigest()[:12]}"
        self.stages_of_heads = [Stage(**stage) for stage in entry["stages"]]
        with alone_in(folder, wait=True):
            check_sums(artefacts, manifest, known)
            if not self._is_filled(folder):
                _fill(folder, artefacts / known, known)
        profile = profile_from_config(entry["profile"])
        super().__init__(folder, f"phantom:{known}", profile, quality, methods, device, progress)

    def _is_filled(self, folder: Path) -> bool:
        path = folder / "config.json"
        if not path.exists():
            return False
        there = read_config(folder).get("shipped")
        if not there:
            raise BadInput(f"{folder} holds a run of your own; choose another folder for what ships", argument="folder")
        if there != self.shipped:
            path.unlink()  # written again at the end
        return there == self.shipped

    def stage_head(self, stage: Stage) -> nn.Module:
        """The head as it was at that stage, in evaluation mode."""
        segmenter = self.segmenter(PAIR[0])
        head = untrained_head(self, segmenter, stage.quality, PAIR[1])
        load_weights(head, self.folder / stage.file)
        return head.eval()

    def _make_segmenter(self, seed: int) -> nn.Module:
        raise BadInput(f"no weights of segmenter seed {seed} ship; take seed {PAIR[0]}, {TRAIN}")

    def heads(self, segmenter_seed: int = 0, head_seed: int = 0) -> dict[Key, nn.Module]:
        """Those of the run's heads whose weights ship; of the other methods there are predictions only."""
        if (segmenter_seed, head_seed) != PAIR:
            raise BadInput(
                f"no weights of heads with segmenter seed {segmenter_seed} and head seed {head_seed} ship, only their "
                f"predictions; take seeds {PAIR[0]} and {PAIR[1]}, {TRAIN}"
            )
        asked, known = self.methods, {stage.method for stage in self.stages_of_heads}
        try:
            self.methods = [name for name in asked if name in known]
            return super().heads(*PAIR)
        finally:
            self.methods = asked

    def predict_heads(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """Their shipped predictions."""
        return self._predicted(head_methods(self.methods), segmenter_seed, head_seed)

    def predict_agreement(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """The shipped scores of the methods that train no head."""
        heads = head_methods(self.methods)
        return self._predicted([name for name in self.methods if name not in heads], segmenter_seed, head_seed)

    def _predicted(self, methods: list[str], s: int, h: int) -> pd.DataFrame:
        there = done(self, methods, s, h)
        if there is None:
            pairs = ", ".join(f"{a} and {b}" for a, b in self.entry["pairs"])
            raise BadInput(
                f"no predictions with segmenter seed {s} and head seed {h} ship; those with {pairs} do: take two of these, "
                f"{TRAIN}"
            )
        return there

    def constant_prediction(self, segmenter_seed: int = 0) -> dict[str, float]:
        """As it was on all validation subjects, whose images do not ship."""
        table = self.predictions()
        rows = table[(table["method"] == "constant") & (table["segmenter_seed"] == segmenter_seed)]
        constants = rows.groupby("quality")["predicted_score"].first()
        return {quality: float(constants[quality]) for quality in self.qualities}

    def metrics(self) -> pd.DataFrame:
        """As they were made with the predictions."""
        return counted(pd.read_csv(self.folder / "metrics.csv", keep_default_na=False, na_values=["", "nan", "NaN"]))


def _one_of(known: Sequence[str], asked: Sequence[str], what: str) -> list[str]:
    if missing := [name for name in asked if name not in known]:
        raise BadInput(f"no {what} {missing[0]} ships; what does: {', '.join(known)}; take one of these, {TRAIN}")
    return list(dict.fromkeys(asked))


def _fill(folder: Path, made: Path, organ: str) -> None:
    """Lay out what ships as a run does; config.json, which says that all is there, is written after it."""
    for path in made.glob("*.safetensors"):
        write_weights(unpacked(read_weights(path)), folder / path.name)
    for path in [*made.glob("seen-*.npz"), made / "metrics.csv"]:
        write_atomically(folder / path.name, lambda temporary, path=path: shutil.copyfile(path, temporary))
    for name in ("history.csv", "predictions.csv"):
        text = lzma.decompress((made / f"{name}.xz").read_bytes())
        write_atomically(folder / name, lambda temporary, text=text: temporary.write_bytes(text))
    info = json.loads((made / "dataset.json").read_text(encoding="utf-8"))
    table = pd.read_csv(made / "slices.csv", dtype={"subject": str, "phase": str}, keep_default_na=False)
    drawn, masks = images(read_array(made / "images.npy.xz")), read_array(made / "masks.npy.xz")
    write_slice_set(folder / "data" / f"phantom-{organ}", drawn, masks, table, info)
    with np.load(made / "one.npz") as one:
        arrays = {f"{kind}_{n}": each for kind in ("image", "mask") for n, each in enumerate(one[f"{kind}s"])}
    arrays = {name: images(each[None])[0] if name.startswith("image") else each for name, each in arrays.items()}
    path = folder / "data" / f"one-{organ}-0.npz"
    write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))
