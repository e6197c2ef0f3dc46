"""The one exception that means "your input, not our code"."""

from __future__ import annotations


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
