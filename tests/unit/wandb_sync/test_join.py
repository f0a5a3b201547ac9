"""Records of several logs as one sequence: the order, what waits, and what a log's own order is worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, List, Tuple

from hypothesis import given, strategies as st

from wandb.interface import records
from wandb.interface.rows import RowEncoder
from wandb.transaction_log.parser import Lost, Record
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.writer import Writer
from wandb.proto.record_pb2 import Record as Message
from wandb_sync.join import Part, join
from wandb_sync.record_kind import kind_of


def row(at: float, **values: Any) -> bytes:
    return RowEncoder().row({**values, "_step": 0, "_runtime": at, "_timestamp": 7.0}, 0)


def log(path: Path, *payloads: bytes) -> Path:
    writer = Writer.create(path)
    for payload in payloads:
        writer.write(payload)
    writer.close()
    return path


def joined(parts: List[Part], until_s: float = math.inf) -> List[Tuple[str, Any]]:
    found = []
    for part, event in join(parts, until_s):
        assert isinstance(event, Record)
        items = Message.FromString(event.payload).history.item
        found.append((part.id, next((item.value_json for item in items if item.key == "x"), None)))
    return found


def test_rows_come_in_order_of_time_and_clocks_begin_when_their_logs_say(tmp_path: Path) -> None:
    main = log(tmp_path / "m", row(1.0, x=1), row(5.0, x=5))
    side = log(tmp_path / "s", row(1.5, x=2), row(2.5, x=3))  # its clock began two seconds later
    parts = [Part(Reader(main), 100.0), Part(Reader(side), 102.0, id="s")]
    assert joined(parts) == [("", "1"), ("s", "2"), ("s", "3"), ("", "5")]


def test_what_is_newer_than_wanted_waits_and_what_is_written_then_is_not_passed_over(tmp_path: Path) -> None:
    main = log(tmp_path / "m", row(1.0, x=1), row(9.0, x=9))
    side = log(tmp_path / "s", row(2.0, x=2))
    parts = [Part(Reader(main), 0.0), Part(Reader(side), 0.0, id="s")]
    assert joined(parts, 5.0) == [("", "1"), ("s", "2")]
    writer = Writer.append_to(tmp_path / "s")
    writer.write(row(6.0, x=6))
    writer.close()
    assert joined(parts, 5.0) == []
    assert joined(parts) == [("s", "6"), ("", "9")]


def test_a_log_keeps_its_own_order_and_what_has_no_time_follows_what_it_follows(tmp_path: Path) -> None:
    config = records.config({"a": 1})
    main = log(tmp_path / "m", row(3.0, x=3), config, row(1.0, x=1))
    side = log(tmp_path / "s", config, row(2.0, x=2), row(4.0, x=4))
    parts = [Part(Reader(main), 0.0), Part(Reader(side), 0.0, id="s")]
    assert joined(parts) == [("s", None), ("s", "2"), ("", "3"), ("", None), ("", "1"), ("s", "4")]


def test_console_lines_and_samples_have_the_time_at_which_they_were_seen(tmp_path: Path) -> None:
    main = log(tmp_path / "m", row(1.0, x=1), row(3.0, x=3))
    side = log(
        tmp_path / "s", records.output(records.STDOUT, 102.0, "hello"), records.stats(103.5, {"cpu": 1})
    )
    parts = [Part(Reader(main), 100.0), Part(Reader(side), 0.0, id="s")]
    assert [id for id, _ in joined(parts)] == ["", "s", "", "s"]


def test_a_part_ends_at_its_limit(tmp_path: Path) -> None:
    main = log(tmp_path / "m", row(1.0, x=1), row(2.0, x=2))
    with Reader(main) as reader:
        end = next(iter(reader.events())).end
    assert joined([Part(Reader(main), 0.0, limit=end)]) == [("", "1")]


def test_a_user_s_text_is_not_taken_for_a_time(tmp_path: Path) -> None:
    text = '"\n\x08_runtime", "_runtime": 99'
    main = log(tmp_path / "m", row(1.0, x=1, note=text, zz={"_runtime": 50.0}))
    part = Part(Reader(main), 0.0)
    assert part.has_next() and part.time_s == 1.0


def test_damage_is_handed_on(tmp_path: Path) -> None:
    main = log(tmp_path / "m", *[row(float(n), x=n, pad="y" * 900) for n in range(80)])
    data = bytearray(main.read_bytes())
    data[500] ^= 255
    main.write_bytes(data)
    events = [event for _, event in join([Part(Reader(main), 0.0)], math.inf)]
    assert any(isinstance(event, Lost) for event in events) and len(events) > 20


@given(st.binary(max_size=40))
def test_any_bytes_have_a_kind_or_none(payload: bytes) -> None:
    assert kind_of(payload) >= 0


def test_the_kind_of_each_of_our_records_is_seen() -> None:
    bodies: Dict[str, bytes] = {
        "history": row(1.0, x=1),
        "stats": records.stats(1.0, {"a": 1}),
        "output_raw": records.output(records.STDOUT, 1.0, "x"),
        "footer": records.run_state({"next_step": 1}),
        "exit": records.exit_(0, 1),
        "run": records.run({"run_id": "a"}),
    }
    for name, body in bodies.items():
        number = Message.DESCRIPTOR.fields_by_name[name].number
        assert kind_of(body) == number and kind_of(records.numbered(300, body)) == number
