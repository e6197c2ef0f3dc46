"""How every command behaves and ends: bad input in one sentence, Ctrl-C in one line, a closed pipe in silence."""

from __future__ import annotations

# As little as possible: what is imported here, an interrupt meets before anything can be done about it.
import codecs
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from advconf_lite.support.errors import BadInput, readable, reason, remedy

PACKAGE = "advconf-lite"
STOPPED = "stopped; the same command goes on from here"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_CLEAN_UP = 5

# What an ASCII terminal or a Latin-1 file gets of the tables' characters; any other one is written as Python would, \u6f22.
PLAIN = {"±": "+-", "–": "-", "−": "-", "×": "x", "·": "-", "δ": "delta", "Δ": "Delta", "α": "alpha", "η": "eta"}


def well_behaved(command: Callable[[], int], prefix: str = "error", options: dict[str, str] | None = None) -> int:
    """Run a command to its exit code.

    Args:
        command: returns its exit code.
        prefix: begins the sentence about bad input.
        options: Python argument -> option, where that is not the argument's name with two dashes.

    Returns:
        The command's own exit code; 2 with one sentence on stderr for bad input, for a file that cannot be read or written
        and for an extra that is not installed; 141, as a shell reports SIGPIPE, when nobody reads the output any more.
        After Ctrl-C (130) and SIGTERM (143) the process ends here, with one line on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # another one, as in a notebook, takes any character
            stream.reconfigure(errors="advconf_plain")
    received: list[int] = []

    def stop(number: int, _: object) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        with _writable_home():
            try:
                code = command()
            except SystemExit as end:  # of argparse, after --help or options that it does not know
                code = end.code
            sys.stdout.flush()
        return code
    except BaseException as error:
        if received:  # in the middle of an import, an interrupt may come out as an error of any kind
            _end(received[0])
        if isinstance(error, BrokenPipeError):  # ... | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again when it ends
            return 141
        if (sentence := _sentence(error, options or {})) is None:
            raise
        print(f"{prefix}: {_one_line(sentence)}", file=sys.stderr)
        return 2
    finally:
        if not received:
            for number, handler in before.items():
                signal.signal(number, handler)


def words(arguments: list[str] | None = None) -> list[str]:
    """The words of a command line, by default of this one, with the home folder where the shell left a ~.

    It expands none in --out=~/x, and none in quotes. To be called outside `well_behaved`, which may give another home.
    """
    return [_at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]


def _at_home(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{os.path.expanduser(value)}"


def line_width() -> int | None:
    """Columns of the terminal that stdout is; None for a file or a pipe, which takes lines of any length."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or None if sys.stdout.isatty() else None


@contextmanager
def ignored(*numbers: int) -> Iterator[None]:
    """These signals are ignored inside this block, and for ever by the processes that start in it.

    With both of `SIGNALS` around what the first of them has interrupted, a second one does not disturb it. With SIGINT
    around the start of a pool, its processes do not each write a traceback at Ctrl-C, which a terminal sends to all.
    """
    import threading

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int) -> NoReturn:
    """One line, and out: no traceback, and nothing left of a pool of processes."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    import multiprocessing
    import threading

    for child in multiprocessing.active_children():
        child.terminate()
    with suppress(OSError):  # what was printed before belongs in the file or the pipe, if there still is one
        sys.stdout.flush()
    # A terminal shows ^C, or half a progress bar, on the line where the cursor is.
    print("\n" * sys.stderr.isatty() + STOPPED, file=sys.stderr, flush=True)
    # What the interrupt left half done, such as the event loop of a notebook, cleans up, and has nothing to say any more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    limit = threading.Timer(SECONDS_TO_CLEAN_UP, os._exit, [128 + number])
    limit.daemon = True
    limit.start()
    sys.exit(128 + number)


def _sentence(error: BaseException, options: dict[str, str]) -> str | None:
    """What to tell the user, if it is the user who can do something about the error."""
    if isinstance(error, BadInput):
        if error.argument is None:
            return str(error)
        return f"{error} ({options.get(error.argument, '--' + error.argument.replace('_', '-'))})"
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error.name)):
        return f"{error.name} is not installed; install the extra it belongs to: pip install '{PACKAGE}[{extra}]'"
    if isinstance(error, OSError):  # a full disk, a folder without permission: papermill's own files, mostly
        return f"{error.filename or 'a file'} cannot be read or written: {reason(error)}; {remedy(error)}"
    return None


def _one_line(text: str) -> str:
    """Names of files may hold line ends, and signs that a terminal takes for commands."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in readable(text))


def _extra_of(module: str | None) -> str | None:
    """The package's extra that asks for a module of this name."""
    from importlib import metadata

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        extras, requirements = metadata.metadata(PACKAGE).get_all("Provides-Extra") or [], metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # a clone that is imported without being installed
        return None
    name = canonicalize_name((module or "").split(".")[0])
    for requirement in map(Requirement, requirements):
        if canonicalize_name(requirement.name) == name and requirement.marker:
            return next((extra for extra in extras if requirement.marker.evaluate({"extra": extra})), None)
    return None


@contextmanager
def _writable_home() -> Iterator[None]:
    """A home that ends with the command, where there is none to write to.

    Jupyter, IPython and matplotlib keep files of their own in it, and fail or complain at length where they cannot.
    """
    if os.access(os.path.expanduser("~"), os.W_OK):
        yield
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="advconf-") as folder:
        os.environ["HOME"] = folder
        yield


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = readable(error.object[error.start : error.end])
    return "".join(PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in text), error.end


codecs.register_error("advconf_plain", _plainly)
