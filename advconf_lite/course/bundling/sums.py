"""Are all files here, and as they were written? Run it with any Python: python check.py

It reads SHA256SUMS beside it, in the form of sha256sum and shasum -a 256, and needs nothing but Python.
"""

import hashlib
import sys
from pathlib import Path

SUMS = "SHA256SUMS"


def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def lines(folder, content):
    """What SHA256SUMS of a folder holds: a line for every file in `content`, files and folders in it.

    What lessons have made there (runs/) is not of the bundle.
    """
    found = [path for name in content for path in [folder / name, *sorted((folder / name).rglob("*"))] if path.is_file()]
    names = [path.relative_to(folder) for path in found]
    return [f"{digest(folder / name)}  {name.as_posix()}" for name in names if "runs" not in name.parts]


def problems(folder):
    """A line for each file that is missing or was changed; none if all is well."""
    try:
        said = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return [f"{folder / SUMS} is not there: this bundle is not finished, or not wholly copied"]
    found = []
    for line in said:
        expected, _, name = line.partition("  ")
        path = folder / name
        try:
            if digest(path) != expected:
                found.append(f"{name} is damaged; copy it again")
        except OSError as error:
            found.append(f"{name} cannot be read ({error.strerror}); copy it again")
    return found or ([] if said else [f"{folder / SUMS} is empty; copy it again"])


def main():
    folder = Path(__file__).resolve().parent
    found = problems(folder)
    print("\n".join(found) or "all files are as they were written")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
