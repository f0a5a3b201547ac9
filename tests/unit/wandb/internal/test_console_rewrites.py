"""Held-back redraws, against a naive terminal: the screen must be the same whether or not we merged."""

from __future__ import annotations

from typing import List, Tuple

from hypothesis import given, settings
from hypothesis import strategies as st

from wandb.internal.console_rewrites import INTERVAL_S, MAX_HELD_CHARS, Rewrites


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def screen(text: str) -> List[Tuple[List[Tuple[str, str]], int, str]]:
    """Every line's cells as (character, colour), the cursor's column in each and the colour after it."""
    lines: List[Tuple[List[Tuple[str, str]], int, str]] = []
    cells: List[Tuple[str, str]] = []
    column, color, at = 0, "", 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\n":
            lines.append((cells, column, color))
            cells, column = [], 0
        elif char == "\r":
            column = 0
        elif char == "\b":
            column = max(0, column - 1)
        elif text.startswith("\x1b[", at - 1):
            end = at + 1
            while text[end] in "0123456789;":
                end += 1
            code = text[at + 1 : end]
            if text[end] == "m":
                color = "" if code in ("", "0") else code
            elif code == "2":
                cells = [(" ", "")] * len(cells)
            else:
                del cells[column:]
            at = end + 1
        else:
            cells += [(" ", "")] * (column + 1 - len(cells))
            cells[column] = (char, color)
            column += 1
    lines.append((cells, column, color))
    return lines


def trimmed(text: str) -> List[Tuple[List[Tuple[str, str]], int, str]]:
    result = []
    for cells, column, color in screen(text):
        while cells and cells[-1] == (" ", ""):
            cells = cells[:-1]
        result.append((cells, column, color))
    return result


piece = st.lists(
    st.sampled_from(
        [
            "\r",
            "\r",
            "a",
            "bb",
            "ccccc",
            " ",
            "\n",
            "\x1b[31m",
            "\x1b[0m",
            "\x1b[m",
            "\x1b[K",
            "\x1b[2K",
            "█",
            "\b\b\r",
        ]
    ),
    max_size=6,
).map("".join)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(piece, st.sampled_from([0.0, 0.01, 0.3])), max_size=25))
def test_the_screen_is_the_same_as_without_merging_whenever_nothing_is_held(
    writes: List[Tuple[str, float]],
) -> None:
    clock = Clock()
    rewrites = Rewrites(clock)
    went_in = came_out = ""
    for text, pause_s in writes:
        clock.now_s += pause_s
        went_in += text
        came_out += rewrites.feed(text)
        if not rewrites.held:
            assert trimmed(came_out) == trimmed(went_in)
    came_out += rewrites.flush()
    assert trimmed(came_out) == trimmed(went_in)
    assert rewrites.flush() == ""


def feed_all(pieces: List[str], pause_s: float = 0.001) -> List[str]:
    clock = Clock()
    rewrites = Rewrites(clock)
    out = []
    for text in pieces:
        clock.now_s += pause_s
        out.append(rewrites.feed(text))
    return [text for text in [*out, rewrites.flush()] if text]


def test_text_without_carriage_returns_passes_untouched() -> None:
    pieces = ["hello", "\n", "a\tb\x1b[31m", "", "\x1b[2A", "\n\n"]
    assert feed_all(pieces) == [text for text in pieces if text]


def test_a_thousand_redraws_a_second_become_four() -> None:
    out = feed_all([f"\r{n:4d}/2000 |{'█' * (n // 100):20s}|" for n in range(2000)])
    assert 2 / INTERVAL_S <= len(out) <= 2 / INTERVAL_S + 2
    assert out[-1].startswith("\r1999/2000")


def test_colored_redraws_are_merged_too() -> None:
    assert len(feed_all([f"\r\x1b[32m{n:4d}\x1b[0m of 2000" for n in range(2000)])) <= 2 / INTERVAL_S + 2


def test_print_with_a_carriage_return_as_its_end_is_merged() -> None:
    writes = [text for n in range(1000) for text in (f"step {n}", "\r")]
    out = feed_all(writes, pause_s=0.0005)
    assert len(out) <= 12
    assert trimmed("".join(out)) == trimmed("".join(writes))


def test_a_newline_brings_the_final_state_out_at_once() -> None:
    clock = Clock()
    rewrites = Rewrites(clock)
    assert rewrites.feed("\r 50%") == "\r 50%"
    assert rewrites.feed("\r 99%") == "" and rewrites.feed("\r100%") == ""
    assert rewrites.feed("\n") == "\r100%\n"


def test_a_shorter_text_leaves_the_tail_of_the_longer_one() -> None:
    assert feed_all(["\r", "\rlonger", "\rab"])[-1] == "\rabnger\rab"


def test_cursor_movements_are_never_held_back() -> None:
    assert feed_all(["\r", "\rheld", "\x1b[1A", "\r"])[1] == "\rheld\x1b[1A"


def test_a_line_that_only_grows_is_not_held_without_bound() -> None:
    out = feed_all(["\r", *["." * 100] * 100], pause_s=0.0)
    assert max(map(len, out)) <= MAX_HELD_CHARS + 200
    assert "".join(out).count(".") == 10_000
