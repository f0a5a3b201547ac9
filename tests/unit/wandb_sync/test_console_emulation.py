"""The small terminal."""

from __future__ import annotations

import json
from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb_sync.console import LIVE_LINES, MAX_LINE_CHARS, STDERR, STDOUT, Console, Line, runs_of_lines
from wandb_sync.transcript import Transcript


def shown(*pieces: str) -> List[str]:
    console = Console()
    for piece in pieces:
        console.write(STDOUT, piece, 0)
    return [line.text for line in console.take_changed()]


@pytest.mark.parametrize(
    "pieces, lines",
    [
        (("a\nb\n",), ["a", "b"]),
        (("a", "b", "\nc"), ["ab", "c"]),
        (("a\r\nb\r\n",), ["a", "b"]),
        (("10 %\r20 %\r100 %\n",), ["100 %"]),
        (("abc\rX\n",), ["Xbc"]),
        (("a\n\n\nb\n",), ["a", "", "", "b"]),
        (("a\n\n\n",), ["a"]),
        (("one\ntwo\x1b[Ax\x1b[By\n",), ["onex", "two y"]),
        (("a\nb\nc\x1b[2A!\n",), ["a!", "b", "c"]),
        (("\x1b[9A!\n",), ["!"]),
        (("abc\x1b[1K\n",), ["   "]),
        (("abcdef\r\x1b[2Kxy\n",), ["xy"]),
        (("abcdef\rab\x1b[K\n",), ["ab"]),
        (("abc\b\bX\n",), ["aXc"]),
        (("\x1b[31mred\x1b[0m\n",), ["\x1b[31mred\x1b[0m"]),
        (("a\x1b", "[", "1", "Ab\n"), ["ab"]),
        (("x\x1b[?25l\n",), ["x\x1b[?25l"]),
        (("日本語\rX\n",), ["X本語"]),
        (("y" * (MAX_LINE_CHARS + 5) + "\nz\n",), ["y" * MAX_LINE_CHARS, "y" * 5, "z"]),
    ],
)
def test_the_lines_are_those_of_a_terminal(pieces: tuple, lines: List[str]) -> None:
    assert shown(*pieces) == lines


@given(st.lists(st.text(alphabet="ab\n\r\b\x1b[12AKB\x00é", max_size=12), max_size=6))
def test_the_lines_do_not_depend_on_how_the_text_was_cut(pieces: List[str]) -> None:
    assert shown(*pieces) == shown("".join(pieces))


def test_lines_that_scrolled_out_do_not_change_any_more() -> None:
    lines = shown("first\n" + "x\n" * LIVE_LINES + f"\x1b[{LIVE_LINES + 5}Achanged\n")
    assert lines[0] == "first" and "changed" in "".join(lines[1:3])


def test_both_streams_share_the_numbers_and_neither_the_cursor() -> None:
    console = Console()
    console.write(STDOUT, "out", 0)
    console.write(STDERR, "err", 0)
    console.write(STDOUT, "put\n", 0)
    console.write(STDERR, "or\n", 0)
    assert [(line.text, line.is_error) for line in console.take_changed()] == [
        ("output", False),
        ("error", True),
    ]


def test_only_what_changed_is_sent_again() -> None:
    console = Console()
    console.write(STDOUT, "a\nb\nc", 0)
    console.take_changed()
    console.write(STDOUT, "\x1b[A!", 0)
    assert [(line.number, line.text) for line in console.take_changed()] == [(1, "b!")]


def test_a_line_has_the_time_at_which_it_began() -> None:
    console = Console()
    console.write(STDOUT, "a", 1_500_000)
    console.write(STDOUT, "b\n", 9_000_000)
    (line,) = console.take_changed()
    assert line.wire(False) == "1970-01-01T00:00:01.500000 ab"
    assert json.loads(line.wire(True)) == {"ts": "1970-01-01T00:00:01.500000", "content": "ab"}


def test_finished_lines_are_not_interpreted() -> None:
    console = Console()
    console.write_line("a\rb", 0)
    assert [line.text for line in console.take_changed()] == ["a\rb"]


@given(
    st.lists(
        st.tuples(st.sampled_from((STDERR, STDOUT)), st.text(alphabet="ab\n\r\x1b[A", max_size=8)),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_a_restored_console_goes_on_as_the_one_that_was_kept(pieces: list, cut: int) -> None:
    whole, first = Console(), Console()
    for stream, text in pieces:
        whole.write(stream, text, 5)
    for stream, text in pieces[:cut]:
        first.write(stream, text, 5)
    sent = {line.number: line.text for line in first.take_changed()}
    second = Console.restore(json.loads(json.dumps(first.state())))
    for stream, text in pieces[cut:]:
        second.write(stream, text, 5)
    sent.update({line.number: line.text for line in second.take_changed()})
    assert sent == {line.number: line.text for line in whole.take_changed()}


@given(
    st.lists(
        st.tuples(st.sampled_from((STDERR, STDOUT, 2)), st.text(alphabet="ab\n", max_size=30)), max_size=40
    )
)
def test_the_transcript_has_every_line_in_the_order_of_its_number(pieces: list) -> None:
    import io

    console, transcript = Console(), Transcript()
    console.on_final = transcript.add
    for stream, text in pieces:
        if stream == 2:
            console.write_line(text, 0)
        else:
            console.write(stream, text, 0)
    file = io.BytesIO()
    n_bytes = transcript.write_to(file, console.live_lines())
    transcript.close()
    wanted = "".join(line.text + "\n" for line in console.take_changed())
    assert file.getvalue().decode() == wanted and n_bytes == len(wanted.encode())


def test_lines_are_cut_where_a_number_is_missing() -> None:
    lines = [Line(number, "", 0, False) for number in (3, 4, 7, 9, 10)]
    assert [[line.number for line in run] for run in runs_of_lines(lines)] == [[3, 4], [7], [9, 10]]
