"""Records wait in order and in bounded memory; what is not among those that come out is in the account."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb.backend.backlog import ENTRY_BYTES, Backlog, Entry
from wandb.interface import records
from wandb.interface.rows import RowEncoder
from wandb.interface.wire import encode, field
from wandb.proto import record_pb2

ROWS = RowEncoder()


def body(kind: str, number: int) -> bytes:
    late = {"step": {"num": number}}
    made = {
        "row": lambda: ROWS.row({"n": number}, number),
        "late": lambda: field("Record", "footer", encode("FooterRecord", {"late": late})),
        "pending": lambda: ROWS.pending({"n": number}, number),
        "console": lambda: records.output_line(f"line {number}"),
        "stats": lambda: records.stats(1.5, {"cpu": 1.0}),
        "files": lambda: records.files([("a.txt", 0, 0)]),
        "config": lambda: records.config({"n": number}),
        "exit": lambda: records.exit_(0, 1),
    }
    return made[kind]()


def add(backlog: Backlog, kind: str, number: int) -> None:
    backlog.add(number, records.numbered(number, body(kind, number)))


def taken(backlog: Backlog) -> List[Entry]:
    found = []
    entry: Optional[Entry]
    while (entry := backlog.take()) is not None:
        found.append(entry)
    return found


def lost_in(entry: Entry) -> Any:
    return record_pb2.Record.FromString(entry.payload).footer.lost


def test_records_come_out_in_the_order_of_their_numbers_whatever_their_kind() -> None:
    backlog = Backlog(10_000)
    kinds = ["exit", "row", "console", "config", "row", "stats", "files", "late", "pending"]
    for number, kind in enumerate(kinds, 1):
        add(backlog, kind, number)
    found = taken(backlog)
    assert [entry.number for entry in found] == list(range(1, 10)) and backlog.account() is None
    assert [entry.payload for entry in found] == [
        records.numbered(number, body(kind, number)) for number, kind in enumerate(kinds, 1)
    ]
    assert backlog.n_bytes == 0


def test_console_goes_first_then_metrics_of_the_system_files_rows_and_last_what_the_run_is() -> None:
    order = ["config", "row", "files", "stats", "console"]
    for kept in range(1, 5):
        backlog = Backlog(kept * (ENTRY_BYTES + 60))
        for number, kind in enumerate(order, 1):
            assert len(body(kind, number)) < 58
            add(backlog, kind, number)
        numbers = [entry.number for entry in taken(backlog) if entry.loss is None]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= kept


def test_of_one_kind_the_oldest_goes_and_the_account_stands_where_the_gap_ends() -> None:
    backlog = Backlog(4 * (ENTRY_BYTES + 40))
    backlog.reason = "No space left on device"
    for number in range(1, 11):
        add(backlog, "row", number)
    found = taken(backlog)
    numbers = [entry.number for entry in found]
    assert numbers == sorted(set(numbers)) and found[0].loss is not None and numbers[-1] == 10
    lost = lost_in(found[0])
    first_kept = found[1].number
    assert (lost.history, lost.first_step, lost.last_step) == (first_kept - 1, 1, first_kept - 1)
    assert lost.reason == "No space left on device" and found[0].number == first_kept - 1


def test_an_account_that_could_not_be_written_is_joined_by_what_follows() -> None:
    backlog = Backlog(2 * (ENTRY_BYTES + 40))
    for number in range(1, 6):
        add(backlog, "row", number)
    entry = backlog.take()
    assert entry is not None and entry.loss is not None
    add(backlog, "late", 6)
    backlog.put_back(entry)
    account = backlog.take()
    assert account is not None
    assert lost_in(account).history + len(taken(backlog)) == 6


def test_a_row_of_step_0_is_a_row() -> None:
    backlog = Backlog(1)
    add(backlog, "row", 0)
    account = backlog.account()
    assert account is not None and (account.history, account.first_step, account.last_step) == (1, 0, 0)
    assert str(account) == "rows: 1 (steps 0 to 0)"


def test_a_record_larger_than_all_memory_is_given_up_alone() -> None:
    backlog = Backlog(1000)
    add(backlog, "row", 1)
    backlog.add(2, records.numbered(2, records.config({"large": "x" * 2000})))
    assert backlog.n_bytes <= 1000 and backlog.has_given_up


KINDS = ("row", "late", "pending", "console", "stats", "files", "config", "exit")
ACTIONS = st.lists(st.one_of(st.sampled_from(KINDS), st.sampled_from(["take", "fail"])), max_size=80)


@given(actions=ACTIONS, max_bytes=st.integers(0, 3000))
def test_everything_comes_out_or_is_counted(actions: List[str], max_bytes: int) -> None:
    backlog = Backlog(max_bytes)
    added: List[Tuple[int, str]] = []
    written: List[Entry] = []
    for action in [*actions, *["take"] * 200]:
        if action in ("take", "fail"):
            entry = backlog.take()
            if entry is None:
                continue
            if action == "fail":
                backlog.put_back(entry)
            else:
                written.append(entry)
        else:
            added.append((len(added) + 1, action))
            add(backlog, action, len(added))
            assert backlog.n_bytes <= max_bytes
    numbers = [entry.number for entry in written]
    assert numbers == sorted(set(numbers)) and backlog.account() is None
    whole = {entry.number for entry in written if entry.loss is None}
    lost = [lost_in(entry) for entry in written if entry.loss is not None]
    gone = [kind for number, kind in added if number not in whole]
    assert sum(loss.history for loss in lost) == sum(kind in ("row", "late") for kind in gone)
    assert sum(loss.console for loss in lost) == gone.count("console")
    assert sum(loss.stats for loss in lost) == gone.count("stats")
    others = sum(kind in ("pending", "files", "config", "exit") for kind in gone)
    assert sum(loss.other for loss in lost) == others


@pytest.mark.parametrize("step", [0, 1, 127, 128, 2**40, 2**63 - 1])
def test_steps_are_read_as_they_were_written(step: int) -> None:
    backlog = Backlog(0)
    backlog.add(1, records.numbered(1, ROWS.row({"a": 1.5, ("b", "c"): "x" * 300}, step)))
    account = backlog.account()
    assert account is not None and account.first_step == account.last_step == step


def test_a_record_that_comes_back_late_is_the_oldest_and_so_the_first_to_be_given_up() -> None:
    backlog = Backlog(2 * (ENTRY_BYTES + 40))
    add(backlog, "row", 1)
    entry = backlog.take()
    assert entry is not None
    for number in range(2, 6):
        add(backlog, "row", number)
    backlog.put_back(entry)
    account, *rest = taken(backlog)
    lost = lost_in(account)
    assert (lost.history, lost.first_step, lost.last_step) == (5 - len(rest), 1, 5 - len(rest))
