"""Console capture: what is told, and that printing is as it was.  Redirection is tested in real processes."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from wandb import term
from wandb.errors import UsageError
from wandb.internal.console import ConsoleCapture

Told = List[Tuple[str, str]]


def on_streams(test: Callable[[Tuple[io.TextIOWrapper, io.TextIOWrapper]], None]) -> Callable[[], None]:
    """Run the test with real text streams over memory as sys.stdout and sys.stderr.

    Not a fixture: pytest exchanges the streams itself between a test's set-up and its call.
    """

    def test_on_streams() -> None:
        before = sys.stdout, sys.stderr
        out, err = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
        sys.stdout, sys.stderr = out, err
        try:
            test((out, err))
        finally:
            sys.stdout, sys.stderr = before

    return test_on_streams


def shown(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@contextlib.contextmanager
def capturing(mode: str = "wrap") -> Iterator[Told]:
    told: Told = []
    capture = ConsoleCapture(lambda name, text: told.append((name, text)), mode)
    capture.start()
    try:
        yield told
    finally:
        capture.stop()


@on_streams
def test_printed_text_is_told_as_it_was_written(streams: Any) -> None:
    with capturing() as told:
        print("hello world")
        n_written = sys.stderr.write("err\x1b[31m\n")
    assert told == [("stdout", "hello world"), ("stdout", "\n"), ("stderr", "err\x1b[31m\n")]
    assert n_written == 9
    assert shown(streams[0]) == "hello world\n" and shown(streams[1]) == "err\x1b[31m\n"


@on_streams
def test_nothing_is_told_after_stop_and_the_streams_are_as_before(streams: Any) -> None:
    with capturing() as told:
        pass
    print("later")
    assert told == []
    assert "write" not in vars(streams[0]) and "write" not in vars(streams[1])


@on_streams
def test_references_to_the_stream_that_libraries_keep_are_heard(streams: Any) -> None:
    handler = logging.StreamHandler()
    with capturing() as told:
        handler.emit(logging.LogRecord("n", 20, "f", 1, "logged", (), None))
    assert told == [("stderr", "logged\n")]


@on_streams
def test_two_captures_hear_everything_and_may_stop_in_any_order(streams: Any) -> None:
    first: List[Tuple[str, ...]] = []
    second: List[Tuple[str, ...]] = []
    a = ConsoleCapture(lambda *out: first.append(out))
    b = ConsoleCapture(lambda *out: second.append(out))
    a.start()
    b.start()
    print("both", end="")
    a.stop()
    a.stop()
    print("one", end="")
    b.stop()
    print("none", end="")
    assert first == [("stdout", "both")]
    assert second == [("stdout", "both"), ("stdout", "one")]
    assert "write" not in vars(streams[0])


@on_streams
def test_a_wrap_put_over_ours_by_somebody_else_stays_and_a_new_capture_is_heard_once(streams: Any) -> None:
    with capturing():
        ours = sys.stdout.write
        sys.stdout.write = lambda text: ours(text)  # type: ignore[method-assign]
        theirs = sys.stdout.write
    assert sys.stdout.write is theirs
    with capturing() as told:
        print("x", end="")
    assert told == [("stdout", "x")]
    assert shown(streams[0]) == "x"


@on_streams
def test_a_patch_made_before_ours_is_restored(streams: Any) -> None:
    below = sys.stdout.write
    sys.stdout.write = patch = lambda text: below(text)  # type: ignore[method-assign]
    with capturing():
        assert sys.stdout.write is not patch
    assert sys.stdout.write is patch


@on_streams
def test_a_callback_that_prints_does_not_hear_itself(streams: Any) -> None:
    told: Told = []

    def on_output(name: str, text: str) -> None:
        told.append((name, text))
        print("from the callback")

    capture = ConsoleCapture(on_output)
    capture.start()
    print("x", end="")
    capture.stop()
    assert told == [("stdout", "x")]
    assert shown(streams[0]) == "xfrom the callback\n"


@on_streams
def test_a_callback_that_raises_does_not_disturb_print(streams: Any) -> None:
    capture = ConsoleCapture(lambda name, text: 1 / 0)  # type: ignore[arg-type]
    capture.start()
    print("x")
    capture.stop()
    assert shown(streams[0]) == "x\n"


@on_streams
def test_an_interrupt_inside_the_callback_reaches_the_program(streams: Any) -> None:
    def on_output(name: str, text: str) -> None:
        raise KeyboardInterrupt

    capture = ConsoleCapture(on_output)
    capture.start()
    with pytest.raises(KeyboardInterrupt):
        print("x")
    capture.stop()


@on_streams
def test_an_error_of_the_stream_reaches_print_and_is_not_told(streams: Any) -> None:
    with capturing() as told:
        with pytest.raises(TypeError):
            sys.stdout.write(3)  # type: ignore[arg-type]
        sys.stdout.close()
        with pytest.raises(ValueError):
            print("x")
    assert told == []


@on_streams
def test_our_own_texts_are_not_told(streams: Any) -> None:
    with capturing() as told:
        term.termlog("syncing")
    assert told == []
    assert shown(streams[1]) == "wandb: syncing\n"


@on_streams
def test_a_stream_without_attributes_of_its_own_is_stood_in_for(streams: Any) -> None:
    class Rigid:
        __slots__ = ("texts",)
        encoding = "utf-8"

        def __init__(self) -> None:
            self.texts: List[str] = []

        def write(self, text: str) -> int:
            self.texts.append(text)
            return len(text)

        def flush(self) -> None:
            pass

    stream = Rigid()
    sys.stdout = stream
    with capturing() as told:
        sys.stdout.write("x")
        assert sys.stdout.encoding == "utf-8"
        assert sys.stdout.write("y") == 1
        sys.stdout.writelines(["z"])  # type: ignore[attr-defined,unused-ignore]
    assert told == [("stdout", text) for text in "xyz"]
    assert sys.stdout is stream and stream.texts == ["x", "y", "z"]


@on_streams
def test_no_streams_at_all_is_no_error(streams: Any) -> None:
    sys.stdout = None
    sys.stderr = None
    with capturing() as told:
        print("x")
    assert told == []


@on_streams
def test_one_object_as_both_streams_is_heard_once(streams: Any) -> None:
    sys.stderr = sys.stdout
    with capturing() as told:
        print("x", end="")
    assert told == [("stdout", "x")]


@on_streams
def test_a_stream_exchanged_later_is_heard_after_refresh(streams: Any) -> None:
    told: Told = []
    capture = ConsoleCapture(lambda *out: told.append(out))
    capture.start()
    sys.stdout = io.StringIO()
    capture.refresh()
    print("x", end="")
    capture.stop()
    assert told == [("stdout", "x")]


@on_streams
def test_threads_lose_no_text(streams: Any) -> None:
    def work(n: int) -> None:
        for i in range(500):
            sys.stdout.write(f"{n}:{i}\n")

    with capturing() as told:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(text for _, text in told) == sorted(f"{n}:{i}\n" for n in range(4) for i in range(500))


@on_streams
def test_a_progress_bar_is_told_a_few_times_and_its_end_exactly(streams: Any) -> None:
    with capturing() as told:
        for n in range(5001):
            sys.stderr.write(f"\r{n}/5000")
    assert len(told) < 100
    assert told[-1] == ("stderr", "\r5000/5000")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="console mode 'wrapped' is unknown"):
        ConsoleCapture(lambda name, text: None, "wrapped")


# -- real processes ------------------------------------------------------------------------------------------

CAPTURE = """
import json, os, subprocess, sys, time
from wandb.internal.console import ConsoleCapture
told = []
capture = ConsoleCapture(lambda name, text: told.append([name, text]), {mode!r})
capture.start()
{body}
capture.stop()
open({out!r}, "w").write(json.dumps(told))
print("after")
"""


def run(mode: str, body: str, tmp_path: Path) -> Tuple[str, str, Dict[str, str]]:
    out = tmp_path / "told.json"
    script = CAPTURE.format(mode=mode, body=body, out=str(out))
    child = subprocess.run(
        # From 3.12 on Python warns, on stderr, of forks beside threads.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    told = {"stdout": "", "stderr": ""}
    for name, text in json.loads(out.read_text()):
        told[name] += text
    return child.stdout, child.stderr, told


def test_redirection_hears_children_and_raw_writes_and_relays_all(tmp_path: Path) -> None:
    body = (
        "print('python', flush=True)\n"
        "subprocess.run('echo child; echo oops >&2', shell=True)\n"
        "os.write(1, 'räw\\n'.encode())\n"
    )
    stdout, stderr, told = run("redirect", body, tmp_path)
    assert told == {"stdout": "python\nchild\nräw\n", "stderr": "oops\n"}
    assert stdout == "python\nchild\nräw\nafter\n" and stderr == "oops\n"


def test_our_own_texts_pass_a_redirection_by(tmp_path: Path) -> None:
    body = (
        "from wandb import term\n"
        "os.write(2, b'before\\n')\nterm.termlog('é\\ud800')\n"
        "subprocess.run('echo after >&2', shell=True)\n"
    )
    _, stderr, told = run("redirect", body + "capture.stop()\nterm.termlog('end')\n", tmp_path)
    assert told["stderr"] == "before\nafter\n"
    assert sorted(stderr.splitlines()) == ["after", "before", "wandb: end", "wandb: é\\ud800"]


def test_a_stream_in_memory_gets_our_texts_though_the_descriptor_is_redirected(tmp_path: Path) -> None:
    body = (
        "import io\nfrom wandb import term\nsys.stderr = io.StringIO()\nterm.termlog('x')\n"
        "assert sys.stderr.getvalue() == 'wandb: x\\n'\n"
    )
    run("redirect", body, tmp_path)


def test_in_a_forked_child_our_own_texts_go_where_its_others_go(tmp_path: Path) -> None:
    body = (
        "from wandb import term\n"
        "if not os.fork():\n    term.termlog('child')\n    os._exit(0)\n"
        "assert os.wait()[1] == 0\n"
    )
    _, stderr, told = run("redirect", body, tmp_path)
    assert stderr == told["stderr"] == "wandb: child\n"


def test_redirection_loses_nothing_of_a_flood_that_comes_just_before_the_end(tmp_path: Path) -> None:
    stdout, _, told = run("redirect", "subprocess.run(['seq', '200000'])", tmp_path)
    expected = "".join(f"{n}\n" for n in range(1, 200001))
    assert told["stdout"] == expected
    assert stdout == expected + "after\n"


def test_a_child_that_outlives_a_redirected_run_still_reaches_the_terminal(tmp_path: Path) -> None:
    body = "late = subprocess.Popen('sleep 0.5; echo late', shell=True)\n"
    script = (
        CAPTURE.format(mode="redirect", body=body, out=str(tmp_path / "out"))
        + "late.wait(); time.sleep(0.2)\n"
    )
    child = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert sorted(child.stdout.split()) == ["after", "late"]


def test_redirected_text_is_relayed_when_the_process_ends_without_stop(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom wandb.internal.console import ConsoleCapture\n"
        "ConsoleCapture(lambda *out: None, 'redirect').start()\nprint('x' * 100000)\n1 / 0\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout == "x" * 100000 + "\n"
    assert "ZeroDivisionError" in child.stderr


def test_redirected_programs_see_a_terminal_where_there_is_one(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    out = tmp_path / "told.json"
    body = "print(sys.stdout.isatty(), os.get_terminal_size(1).columns)"
    script = CAPTURE.format(mode="redirect", body=body, out=str(out))
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 77, 0, 0))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=slave)
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the child is gone
        while True:
            seen += os.read(master, 4096)
    os.close(master)
    assert child.wait() == 0
    assert seen == b"True 77\r\nafter\r\n"
    assert "".join(text for _, text in json.loads(out.read_text())) == "True 77\n"


@pytest.mark.parametrize("mode", ["wrap", "redirect"])
def test_two_runs_in_turn_and_at_once_each_hear_their_own(mode: str, tmp_path: Path) -> None:
    body = (
        "other = []\nsecond = ConsoleCapture(lambda name, text: other.append(text), " + repr(mode) + ")\n"
        "print('one', flush=True)\nsecond.start()\nprint('two', flush=True)\nsecond.stop()\n"
        "second.start()\nprint('three', flush=True)\nsecond.stop()\n"
        "assert 'two' in ''.join(other) and 'three' in ''.join(other), other\n"
    )
    stdout, _, told = run(mode, body, tmp_path)
    assert told["stdout"] == "one\ntwo\nthree\n"
    assert stdout == "one\ntwo\nthree\nafter\n"


@pytest.mark.parametrize("mode", ["wrap", "redirect"])
def test_a_forked_child_prints_and_tells_nobody(mode: str, tmp_path: Path) -> None:
    body = (
        "print('parent', flush=True)\n"
        "if not os.fork():\n"
        "    n = len(told)\n    print('child', flush=True)\n    capture.stop()\n    os._exit(len(told) - n)\n"
        "assert os.wait()[1] == 0\n"
    )
    stdout, _, told = run(mode, body, tmp_path)
    assert sorted(stdout.split()) == ["after", "child", "parent"]
    assert ("child" in told["stdout"]) == (
        mode == "redirect"
    )  # there the pipe's reader, the parent, hears it


def test_a_traceback_is_told(tmp_path: Path) -> None:
    script = (
        "import atexit\nfrom wandb.internal.console import ConsoleCapture\n"
        "told = []\ncapture = ConsoleCapture(lambda name, text: told.append(text))\ncapture.start()\n"
        f"atexit.register(lambda: open({str(tmp_path / 'out')!r}, 'w').write(''.join(told)))\n1 / 0\n"
    )
    subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE)
    assert "ZeroDivisionError" in (tmp_path / "out").read_text()
