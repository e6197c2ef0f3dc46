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


def lines(folder):
    """What SHA256SUMS of a folder holds: a line for every file in it, in order, but for itself and what is hidden."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    shown = [name for name in names if name != SUMS and not any(part.startswith(".") for part in name.split("/"))]
    return [f"{digest(folder / name)}  {name}" for name in shown]


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
