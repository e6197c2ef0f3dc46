"""`python -m data_download {list,fetch,prepare,verify}`: real data sets, from their publishers to slice sets."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from advconf_lite.support.command_line import well_behaved, words
from advconf_lite.support.errors import BadInput

COMMANDS = {
    "list": "what exists, under which terms, how to get it and what is on this machine",
    "fetch": "download and unpack a data set, or say how to get it by hand",
    "prepare": "turn a data set's own files into a slice set",
    "verify": "check a slice set: expected and found, side by side",
}
USAGE = "usage: python -m data_download COMMAND ...\n\nReal data sets, prepared as slice sets.\n\n" + "\n".join(
    f"  {name:9s}{purpose}" for name, purpose in COMMANDS.items()
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise BadInput(f"{message}; see {self.prog} --help")


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 if `verify` finds a difference; the others as in `well_behaved`.
    """
    given = words(arguments)
    return well_behaved(lambda: _run(given), "data_download", options={"folder": "--out"})


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    command, *rest = arguments
    if command not in COMMANDS:
        raise BadInput(f"there is no command {command!r}; choose from: {', '.join(COMMANDS)}")
    # Imported only now: `list` and `fetch` need not wait for what `verify` imports.
    module = import_module("data_download." + ("listing" if command == "list" else command))
    parser = _Parser(prog=f"python -m data_download {command}", description=COMMANDS[command])
    module.add_options(parser)
    return module.run(parser.parse_args(rest))


if __name__ == "__main__":
    sys.exit(main())
