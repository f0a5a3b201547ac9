"""Every way to end a process, each in a real child: what is told, and that the ending itself is unchanged."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Optional

import pytest

from wandb.internal.exit_hooks import ExitHooks, code_of

INSTALL = """
import os, sys
from wandb.internal.exit_hooks import ExitHooks
def told(code):
    os.write(1, b"told %d\\n" % code)
hooks = ExitHooks(told)
hooks.install()
"""


class Ending(NamedTuple):
    told: List[int]
    status: int
    stderr: str
    stdout: str


def run(script: str, tmp_path: Path, install: str = INSTALL) -> Ending:
    path = tmp_path / "script.py"
    path.write_text(install + script)
    child = subprocess.run(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    told = [int(line.split()[1]) for line in child.stdout.splitlines() if line.startswith("told ")]
    return Ending(told, child.returncode, child.stderr, child.stdout)


def ends_as_without_hooks(script: str, tmp_path: Path, told: Optional[int]) -> Ending:
    ours, plain = run(script, tmp_path), run(script, tmp_path, install="import os, sys\n\n\n\n\n\n\n")
    assert ours.told == ([] if told is None else [told])
    assert ours.status == plain.status
    assert ("Traceback" in ours.stderr) == ("Traceback" in plain.stderr)
    return ours


@pytest.mark.parametrize(
    "script, told",
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("sys.exit(None)", 0),
        ("sys.exit('text')", 1),
        ("sys.exit(True)", 1),
        ("sys.exit(-1)", -1),
        ("exit(4)", 4),
        ("quit(5)", 5),
        ("from sys import exit as leave; leave(6)", 6),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", 255),
        ("def f():\n    x = [1]\n    sys.exit(8)\nf()", 8),
        ("try:\n    sys.exit(9)\nexcept SystemExit:\n    raise", 9),
        ("try:\n    sys.exit(9)\nexcept SystemExit as e:\n    sys.exit(10)", 10),
        ("try:\n    sys.exit(9)\nfinally:\n    print(hooks.exit_code if 'hooks' in globals() else 9)", 9),
        ("import argparse; argparse.ArgumentParser().parse_args(['--nonsense'])", 2),
        ("os._exit(7)", None),
        ("os.kill(os.getpid(), 9)", None),
    ],
)
def test_every_ending_is_told_with_its_code_and_stays_as_it_was(
    script: str, told: Optional[int], tmp_path: Path
) -> None:
    ends_as_without_hooks(script, tmp_path, told)


@pytest.mark.parametrize(
    "script",
    [
        "try:\n    sys.exit(3)\nexcept SystemExit:\n    pass",
        "def f():\n    try:\n        sys.exit(3)\n    except BaseException as e:\n        return str(e)\nf()",
        "import threading\nt = threading.Thread(target=lambda: sys.exit(3)); t.start(); t.join()",
        "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    ],
)
def test_an_exit_that_was_caught_or_ended_only_a_thread_is_not_the_end(script: str, tmp_path: Path) -> None:
    ends_as_without_hooks(script, tmp_path, 0)


def test_an_exit_in_a_module_run_by_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text(INSTALL + "sys.exit(3)\n")
    child = subprocess.run([sys.executable, "-m", "mod"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert (child.stdout, child.returncode) == ("told 3\n", 3)


def test_the_excepthook_of_another_library_is_called_after_ours(tmp_path: Path) -> None:
    before = "import sys\nsys.excepthook = lambda *args: print('theirs', args[0].__name__)\n"
    ending = run("1 / 0", tmp_path, before + INSTALL)
    assert ending.told == [1] and ending.status == 1
    assert "theirs ZeroDivisionError" in ending.stdout


def test_sigterm_is_told_and_the_process_dies_of_it(tmp_path: Path) -> None:
    ending = run("os.kill(os.getpid(), 15)\nimport time\ntime.sleep(60)", tmp_path)
    assert (ending.told, ending.status) == ([143], -signal.SIGTERM)


def test_a_handler_of_the_user_is_left_alone(tmp_path: Path) -> None:
    before = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(5))\n"
    ending = run("os.kill(os.getpid(), 15)\nimport time\ntime.sleep(60)", tmp_path, before + INSTALL)
    assert (ending.told, ending.status) == ([5], 5)


def test_a_handler_that_the_user_sets_later_survives_uninstall(tmp_path: Path) -> None:
    script = (
        "import signal\nmine = lambda *a: None\nsignal.signal(signal.SIGTERM, mine)\n"
        "hooks.uninstall()\nprint(signal.getsignal(signal.SIGTERM) is mine)\n"
    )
    assert run(script, tmp_path).stdout == "True\n"


def test_another_signal_can_be_told_too(tmp_path: Path) -> None:
    install = INSTALL.replace("ExitHooks(told)", "ExitHooks(told, signals=(10, 15))")
    ending = run("os.kill(os.getpid(), 10)\nimport time\ntime.sleep(60)", tmp_path, install)
    assert (ending.told, ending.status) == ([138], -signal.SIGUSR1)


def test_signals_can_be_left_alone(tmp_path: Path) -> None:
    install = INSTALL.replace("ExitHooks(told)", "ExitHooks(told, signals=())")
    ending = run("os.kill(os.getpid(), 15)\nimport time\ntime.sleep(60)", tmp_path, install)
    assert (ending.told, ending.status) == ([], -signal.SIGTERM)


def test_a_forked_child_tells_nothing_and_dies_of_sigterm(tmp_path: Path) -> None:
    script = (
        "import time\n"
        "first = os.fork()\n"
        "if not first: sys.exit(3)\n"
        "second = os.fork()\n"
        "if not second: time.sleep(60), os._exit(1)\n"
        "os.kill(second, 15)\n"
        "print([os.waitpid(p, 0)[1] for p in (first, second)], flush=True)\n"
    )
    ending = run(script, tmp_path)
    assert ending.told == [0]
    assert f"[{3 << 8}, {int(signal.SIGTERM)}]" in ending.stdout


def test_a_forked_child_may_watch_itself(tmp_path: Path) -> None:
    script = (
        "child = os.fork()\n"
        "if not child:\n"
        "    ExitHooks(lambda code: os.write(1, b'child %d\\n' % code)).install()\n"
        "    sys.exit(4)\n"
        "os.waitpid(child, 0)\n"
    )
    ending = run(script, tmp_path)
    assert ending.told == [0] and "child 4\n" in ending.stdout


def test_two_listeners_are_told_the_last_one_first(tmp_path: Path) -> None:
    script = "ExitHooks(lambda code: os.write(1, b'second %d\\n' % code)).install()\nsys.exit(2)\n"
    assert run(script, tmp_path).stdout == "second 2\ntold 2\n"


def test_a_listener_that_raises_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    script = "ExitHooks(lambda code: 1 / 0).install()\nsys.exit(2)\n"
    ending = run(script, tmp_path)
    assert (ending.told, ending.status, ending.stderr) == ([2], 2, "")


def test_uninstall_restores_what_is_still_ours() -> None:
    before = (sys.exit, sys.excepthook, signal.getsignal(signal.SIGTERM))
    hooks = ExitHooks(lambda code: None)
    hooks.install()
    hooks.install()
    assert sys.exit is not before[0] and sys.excepthook is not before[1]
    hooks.uninstall()
    hooks.uninstall()
    assert (sys.exit, sys.excepthook, signal.getsignal(signal.SIGTERM)) == before


def test_what_others_wrapped_since_stays_and_works_after_uninstall_and_a_new_install() -> None:
    below = sys.exit
    told: List[int] = []
    hooks = ExitHooks(told.append)
    hooks.install()
    ours = sys.exit

    def theirs(code: object = None) -> None:
        ours(code)  # type: ignore[arg-type]

    try:
        sys.exit = theirs  # type: ignore[assignment]
        hooks.uninstall()
        assert sys.exit is theirs
        hooks.install()
        with pytest.raises(SystemExit):
            sys.exit(3)
        hooks.uninstall()
        assert sys.exit is theirs
    finally:
        sys.exit = below


def test_a_marked_exit_can_be_pickled() -> None:
    import pickle

    hooks = ExitHooks(lambda code: None)
    hooks.install()
    try:
        sys.exit(3)
    except SystemExit as error:
        copy = pickle.loads(pickle.dumps(error))
    finally:
        hooks.uninstall()
    assert copy.code == 3


def test_codes_are_read_as_python_reads_them() -> None:
    codes = [None, 0, 3, "text", 2.5, True, -1, 2**40 + 7]
    assert [code_of(SystemExit(code)) for code in codes] == [0, 0, 3, 1, 1, 1, -1, 7]
