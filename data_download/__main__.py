"""`python -m data_download list` and `python -m data_download prepare NAME --source DIR --out DIR`."""

from __future__ import annotations

import argparse
import sys

from advconf_lite.errors import BadInput

from .datasets import DATASETS, describe, find


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise BadInput(f"{message}; see {self.prog} --help")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 2 with one sentence on stderr for bad input."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except BadInput as error:
        print(f"data_download: {error}", file=sys.stderr)
        return 2


def _run(arguments: list[str]) -> int:
    parser = _Parser(prog="python -m data_download", description="Real data sets, prepared as slice sets.")
    commands = parser.add_subparsers(dest="command", metavar="{list,prepare}", parser_class=_Parser)
    commands.add_parser("list", help="what exists, under which terms and from where")
    prepare = commands.add_parser(
        "prepare", help="turn a data set's own files into a slice set", add_help=False
    )
    prepare.add_argument("name", nargs="?")
    prepare.add_argument("rest", nargs=argparse.REMAINDER)
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
        return 2
    if chosen.command == "list":
        print(describe())
        return 0
    if chosen.name in (None, "-h", "--help"):
        raise BadInput(
            f"name the data set: python -m data_download prepare NAME; choose from: {', '.join(DATASETS)}"
        )
    module = find(chosen.name)
    options = _Parser(
        prog=f"python -m data_download prepare {module.NAME}",
        description=module.WHAT,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    module.add_options(options)
    print(module.prepare(options.parse_args(chosen.rest)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
