"""How commands end: in a sentence, a line or in silence, with the exit code that a shell expects."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advconf_lite.support import progress
from advconf_lite.support.command_line import SIGNALS, STOPPED, ignored, well_behaved
from advconf_lite.support.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent
PYTHON = [sys.executable]
COMMAND = [sys.executable, "-m", "advconf_lite"]


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def ended(command, **more):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment(**more), timeout=60)


def behaved(body):
    """Python that runs `body` (lines of a function) as a command."""
    lines = ["import os, signal, sys, time", "from advconf_lite.support.command_line import well_behaved", "def command():"]
    lines += [f"    {line}" for line in body] + ["sys.exit(well_behaved(command))"]
    return [*PYTHON, "-c", "\n".join(lines)]


# ---- bad input


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BadInput("x is wrong"), "error: x is wrong"),
        (BadInput("x is wrong", "methods"), "error: x is wrong (--methods)"),
        (BadInput("x is wrong", "head_seed"), "error: x is wrong (--head-seed)"),
        (BadInput("x is wrong", "folder"), "error: x is wrong (--out)"),
        (
            OSError(28, "No space left on device", "a/b"),
            "error: a/b cannot be read or written: No space left on device; free",
        ),
    ],
)
def test_an_error_is_a_sentence_that_names_the_option(error, said, capsys):
    def command():
        raise error

    assert well_behaved(command, options={"folder": "--out"}) == 2
    err = capsys.readouterr().err
    assert err.startswith(said) and len(err.splitlines()) == 1


def test_an_error_of_the_code_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        well_behaved(lambda: 1 // 0)


def test_no_error_of_the_core_speaks_of_options():
    """Only a command line has options; a notebook's reader would look for them in vain."""
    found = []
    for path in (ROOT / "advconf_lite").rglob("*.py"):
        for raised in re.findall(r"raise BadInput\((?:[^()]|\([^()]*\))*\)", path.read_text()):
            found += [f"{path.name}: {raised}"] if re.search(r"(?<!fold )(?<!\w)--(?!fold)[a-z]", raised) else []
    assert found == []


def test_a_missing_extra_is_named(tmp_path):
    body = ["import papermill"]
    hidden = ["import sys, importlib.metadata as m", "sys.modules['papermill'] = None",
              "m.requires = lambda name: ['papermill>=2.6; extra == \"lab\"']",
              "m.metadata = lambda name: type('M', (), {'get_all': lambda self, key: ['data', 'lab']})()"]  # fmt: skip
    done = ended(behaved([*hidden, *body]))
    assert done.returncode == 2
    assert done.stderr == (
        "error: papermill is not installed; install the extra it belongs to: pip install 'advconf-lite[lab]'\n"
    )


# ---- streams


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["check", "--verbose"]])
def test_a_reader_that_goes_away_ends_the_command_in_silence(arguments):
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    process.stdout.close()  # before anything is written
    assert process.stderr.read() == b"" and process.wait() == 141


def test_characters_that_a_stream_lacks_are_written_plainly():
    body = ["print('0.5 ± 0.1, – and δ, 漢')", "print('×', file=sys.stderr)", "return 0"]
    done = ended(behaved(body), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.5 +- 0.1, - and delta, \\u6f22\n", "x\n")
    done = ended(behaved(body), PYTHONIOENCODING="utf-8")
    assert done.stdout == "0.5 ± 0.1, – and δ, 漢\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_is_replaced(tmp_path):
    tmp_path.chmod(0o500)
    body = ["print(os.environ['HOME'], os.access(os.environ['HOME'], os.W_OK))", "return 0"]
    home, writable = ended(behaved(body), HOME=str(tmp_path)).stdout.split()
    assert home != str(tmp_path) and writable == "True" and not Path(home).exists()


def test_help_is_quick_and_imports_nothing_heavy():
    done = ended([*PYTHON, "-X", "importtime", "-m", "advconf_lite", "--help"])
    assert done.returncode == 0 and "predict" in done.stdout
    assert not re.search(r"\| +(torch|numpy|pandas|matplotlib|monai|packaging)$", done.stderr, flags=re.M)


# ---- signals


def signalled(body, *numbers, wait=0.0):
    """Send signals to a command in the moment in which it says so; returns the exit code, stdout and stderr."""
    process = subprocess.Popen(behaved(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    line = process.stdout.readline()
    for number in numbers:
        process.send_signal(number)
        time.sleep(wait)
    out, err = process.communicate(timeout=30)
    return process.returncode, line + out, err


SLEEP = ["print('now', flush=True)", "time.sleep(30)", "return 0"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_one_line(number, code):
    assert signalled(SLEEP, number) == (code, "now\n", STOPPED + "\n")


def test_a_signal_that_became_another_error_is_still_a_signal():
    """As when it arrives in the middle of an import."""
    body = ["print('now', flush=True)", "try:", "    time.sleep(30)", "except KeyboardInterrupt as error:",
            "    raise ImportError('numpy') from error"]  # fmt: skip
    assert signalled(body, signal.SIGINT) == (130, "now\n", STOPPED + "\n")


def test_what_was_printed_before_arrives():
    body = ["try:", *[f"    {line}" for line in SLEEP], "except KeyboardInterrupt:", "    print('kept')", "    raise"]
    assert signalled(body, signal.SIGINT) == (130, "now\nkept\n", STOPPED + "\n")


def test_a_second_signal_does_not_disturb_what_the_first_has_begun(tmp_path):
    slow = ["with ignored(*SIGNALS):", "    time.sleep(1)", f"    open({str(tmp_path / 'x')!r}, 'w')"]
    body = ["from advconf_lite.support.command_line import SIGNALS, ignored", "try:", *[f"    {line}" for line in SLEEP]]
    body += ["finally:", *[f"    {line}" for line in slow]]
    assert signalled(body, signal.SIGINT, signal.SIGINT, wait=0.3) == (130, "now\n", STOPPED + "\n")
    assert (tmp_path / "x").exists()


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert well_behaved(lambda: 0) == 0
    with ignored(*SIGNALS):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def descendants(mark):
    """Processes that carry this mark in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"ADVCONF_TEST_MARK={mark}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_a_run_that_is_stopped_in_a_training_cell_leaves_no_kernel_and_goes_on(tmp_path):
    command = [*COMMAND, "run", "--data", "phantom:cardiac", "--profile", "smoke", "--out", "r", "--methods", "plain"]
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=file, stderr=file, start_new_session=True,
            env=environment(ADVCONF_TEST_MARK=str(tmp_path)),
        )  # fmt: skip
        checkpoint = tmp_path / "r" / "checkpoints" / "segmenter-0.pt"
        while not checkpoint.exists():
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(timeout=30) == 130
    lines = log.read_text().splitlines()
    assert lines[-1] == STOPPED and not any("Traceback" in line or "KeyboardInterrupt" in line for line in lines)
    patience = time.monotonic() + 10  # on a busy machine a kernel that was told to go is gone a moment after
    while descendants(tmp_path) and time.monotonic() < patience:
        time.sleep(0.05)
    assert descendants(tmp_path) == []
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert done.returncode == 0 and "finished in" in done.stdout, done.stderr
    assert "KeyboardInterrupt" not in done.stderr and "\r" not in done.stderr and "\x1b" not in done.stderr
    assert max(map(len, done.stdout.splitlines()[:9])) <= 80
    assert not list((tmp_path / "r" / "notebooks").glob("*.log"))


def test_a_log_gets_a_line_now_and_then_without_control_characters(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.2)
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    for _ in progress.bar(range(12), desc="steps"):
        time.sleep(0.05)
    lines = log.getvalue().splitlines()
    assert 2 <= len(lines) <= 4 and lines[-1].startswith("steps: 100%") and "12/12" in lines[-1]
    assert not any(character in log.getvalue() for character in "\r\x1b") and all(len(line) <= 79 for line in lines)
