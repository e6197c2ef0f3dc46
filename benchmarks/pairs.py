"""Finished pairs of seeds as files, so that a protocol goes on on another machine, and anyone makes its tables without
training anything.

A zip for each pair holds what the tables read: predictions.csv, validation.csv, history.csv, costs.csv and seconds.csv, and
what the pair was made with. Networks are not in it. Real hearts are never written so: what belongs to a person stays where
the images are.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically

NAME = re.compile(r"-s(\d+)-h(\d+)")
NOTE = "made_with.json"
Pair = tuple[int, int]


class KeptPairs:
    """The pairs of one study in a folder.

    Args:
        made_with: what all pairs of a study share, as numbers and words; those of another study are refused.
    """

    def __init__(self, folder: Path, study: str, made_with: dict) -> None:
        self.folder, self.study = folder, study
        self.made_with = json.loads(json.dumps(made_with))
        self._seen: dict[tuple[Pair, str], pd.DataFrame] = {}

    def path(self, pair: Pair) -> Path:
        return self.folder / f"{self.study}-s{pair[0]}-h{pair[1]}.zip"

    def there(self) -> list[Pair]:
        found = (NAME.fullmatch(path.stem.removeprefix(self.study)) for path in self.folder.glob(f"{self.study}-s*.zip"))
        return sorted((int(name[1]), int(name[2])) for name in found if name)

    def read(self, pair: Pair, name: str, how: Callable[[Path], pd.DataFrame] = pd.read_csv) -> pd.DataFrame:
        """A table of a pair.

        Raises:
            BadInput: the file is damaged, or of another study.
        """
        if (pair, name) not in self._seen:
            path = self.path(pair)
            try:
                with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
                    same = json.loads(archive.read(NOTE)) == self.made_with
                    table = how(Path(archive.extract(f"{name}.csv", folder))) if same else None
            except (OSError, EOFError, KeyError, ValueError, lzma.LZMAError, zipfile.BadZipFile) as error:
                raise BadInput(f"{path} cannot be read ({error}); delete it, and its pair of seeds is made anew") from error
            if table is None:
                raise BadInput(
                    f"{path} was made with other settings or images than these; delete it, or choose other results"
                )
            self._seen[pair, name] = table
        return self._seen[pair, name]

    def write(self, pair: Pair, tables: dict[str, pd.DataFrame]) -> Path:
        """The same tables always make the same bytes."""
        texts = {NOTE: json.dumps(self.made_with, indent=1, sort_keys=True) + "\n"}
        texts |= {f"{name}.csv": table.to_csv(index=False, lineterminator="\n") for name, table in tables.items()}
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, text in texts.items():
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_LZMA)  # half of what zip's usual way takes
        return write_atomically(self.path(pair), lambda path: path.write_bytes(made.getvalue()))


def of_pair(log: pd.DataFrame, pair: Pair, segmenters: Sequence[int]) -> pd.DataFrame:
    """The rows of a log of parts that a pair needed."""
    names = [f"segmenter {seed}" for seed in segmenters]
    return log[log["part"].str.endswith(f"seeds {pair[0]} {pair[1]}") | log["part"].isin(names)]
