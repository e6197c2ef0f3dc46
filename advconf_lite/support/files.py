"""Files that are whole or absent, however and whenever the process dies."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from advconf_lite.support.alone import refuse_if_taken
from advconf_lite.support.errors import cannot_write


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Call `write(temporary_path)`, then rename the result to `path`.

    The temporary file lies in the same folder, so the rename is atomic: a reader, or a run that is started again after
    SIGKILL, finds the old file or the new one, never half of one.

    Raises:
        BadInput: see `cannot_write`, or another process was given the folder (`alone`); what `path` held before is still
            there.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last, because numpy and pandas choose or append a format by it.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())  # rename may otherwise reach the disk before the contents do
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes 0600, which nobody else in a course could read
        refuse_if_taken(path)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> Path:
    """`write_atomically` for a string, UTF-8."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
