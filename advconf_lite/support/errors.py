"""The one exception that means "your input, not our code"."""

from __future__ import annotations


class BadInput(ValueError):
    """Something that the user gave is wrong.

    The message is one sentence that names the file or option, what was wrong with it and what to do. The command
    line prints it without a traceback and exits with code 2.
    """
