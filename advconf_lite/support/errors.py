"""The one exception that means "your input, not our code", and words for what the system says and names."""

from __future__ import annotations

import errno

SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


class BadInput(ValueError):
    """Something that the user gave is wrong.

    The message is one sentence that names the file or value, what was wrong with it and what to do. The command
    line prints it without a traceback and exits with code 2.

    Args:
        argument: the Python argument that was wrong, if it was one; the command line adds the option it came from.
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


def reason(error: OSError) -> str:
    """What the system says, without the number and the file."""
    return error.strerror or " ".join(str(error).split()) or type(error).__name__


def remedy(error: OSError) -> str:
    """What helps against an error of the system, by its cause; it ends a sentence on a file that cannot be written."""
    if error.errno in SPACE:
        return (
            "free some space or choose another folder, then run the same command again (what was already written is intact)"
        )
    if error.errno in PERMISSION:
        return "give yourself the permission or choose another folder"
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return "a file stands where a folder is needed, or a folder where a file is: choose another folder"
    if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
        return "choose a shorter and plainer name"
    if error.errno in (errno.ENOENT, errno.ELOOP):
        return "check the path, or choose another folder"
    return "see whether the disk is well, or choose another folder, then run the same command again"


def cannot_write(path: object, error: OSError) -> BadInput:
    """The sentence on a disk that is full, or a folder that cannot be written."""
    return BadInput(f"cannot write {path}: {reason(error)}; {remedy(error)}", argument="folder")


def mended(error: Exception, otherwise: str) -> str:
    """What helps against a file that cannot be read: the permission if that is what lacks, and no new file."""
    return "give yourself the permission to read it" if isinstance(error, PermissionError) else otherwise


def readable(text: str) -> str:
    r"""`text` with \xfc for a byte that is no UTF-8, as in a file name that came from Windows, so that it can be written."""
    return "".join(f"\\x{ord(sign) - 0xDC00:02x}" if "\udc80" <= sign <= "\udcff" else sign for sign in text)
