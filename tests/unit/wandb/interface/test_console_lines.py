"""The recorder's count of console lines, held to the terminal that makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb.interface.console_lines import ConsoleLines
from wandb_sync.console import Console

_PIECES = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.text(st.sampled_from("ab \n\r\b\t\x1b[2BAKm"), max_size=12)
        | st.sampled_from(["\x1b[3B", "\x1b[A", "\x1b[2K", "\x1b[0m", "x" * 4096, "y" * 9000, "\n\n"]),
    ),
    max_size=12,
)
_PLAIN = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.text(st.sampled_from("ab \n\r\té"), max_size=12)), max_size=12
)


def _both(pieces):
    lines, console = ConsoleLines(), Console()
    for stream, text in pieces:
        lines.add(stream, text)
        console.write(stream, text, 0)
    return lines.n_lines, console.n_lines


@given(_PIECES)
def test_the_count_is_never_below_what_the_terminal_makes(pieces) -> None:
    counted, made = _both(pieces)
    assert counted >= made


@given(_PLAIN)
def test_the_count_is_equal_where_the_cursor_is_not_moved(pieces) -> None:
    counted, made = _both(pieces)
    assert counted == made


@pytest.mark.parametrize("n_chars", [1, 4095, 4096, 4097, 8192, 8193, 20000])
def test_long_lines_are_counted_as_the_terminal_breaks_them(n_chars: int) -> None:
    assert len(set(_both([(1, "x" * n_chars + "\n"), (1, "y")]))) == 1
    assert len(set(_both([(1, "x"), (1, "x" * (n_chars - 1)), (1, "\ny")]))) == 1


@pytest.mark.parametrize("text", ["a", "a\n", "a\nb", "\n", "", "a\n\nb\n"])
def test_finished_lines_are_counted_as_the_terminal_takes_them(text: str) -> None:
    lines, console = ConsoleLines(), Console()
    lines.add_lines(text)
    console.write_line(text, 0)
    assert lines.n_lines == console.n_lines
