"""Every golden vector of the log, read as a whole and in pieces; nothing is skipped."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest
import zstandard

from wandb.errors import BadFileHeader
from wandb.proto import record_pb2
from wandb.transaction_log.log_file import open_log
from wandb.transaction_log.parser import Lost, Parser, Record
from wandb.transaction_log.reader import Reader, read_records
from wandb.transaction_log.verify import repair, verify
from wandb.transaction_log.writer import Writer

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "schema" / "log" / "vectors"
NAMES = sorted(path.stem for path in VECTORS.glob("*.wandb"))
FOREIGN = [name for name in NAMES if name.startswith("written_by_wandb_")]
READABLE = [name for name in NAMES if "error" not in json.loads((VECTORS / f"{name}.json").read_text())]


def expected(name: str) -> Dict[str, Any]:
    verdict: Dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return verdict


def found(data: bytes, piece_bytes: int) -> Dict[str, Any]:
    """What a parser makes of `data` fed in pieces, as it stands in the JSON file."""
    parser = Parser()
    records, lost = [], []

    def take(event: "Record | Lost") -> None:
        if isinstance(event, Record):
            message = record_pb2.Record.FromString(event.payload)
            records.append(
                {
                    "offset": str(event.offset),
                    "end": str(event.end),
                    "sha256": hashlib.sha256(event.payload).hexdigest(),
                    "kind": message.WhichOneof("record_type"),
                }
            )
        else:
            lost.append({"offset": str(event.offset), "n_bytes": str(event.n_bytes), "reason": event.reason})

    try:
        for start in range(0, len(data), piece_bytes):
            parser.feed(data[start : start + piece_bytes])
            for event in parser.events():
                take(event)
    except BadFileHeader:
        return {"error": "BadFileHeader"}
    tail = len(data) - parser.position
    loss = parser.loss_at_end() if data else None
    if loss:
        take(loss)
        tail = len(data) - loss.end
    return {"records": records, "lost": lost, "tail": str(tail)}


def test_there_are_vectors_of_every_generation() -> None:
    assert [name.replace("written_by_wandb_", "") for name in FOREIGN] == [
        "0_10",
        "0_12",
        "0_15",
        "0_19",
        "0_25",
        "0_31",
    ]


def test_every_vector_has_its_verdict() -> None:
    assert NAMES == sorted(path.stem for path in VECTORS.glob("*.json"))


@pytest.mark.parametrize("piece_bytes", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_is_found_however_the_bytes_are_cut(name: str, piece_bytes: int) -> None:
    assert found((VECTORS / f"{name}.wandb").read_bytes(), piece_bytes) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_verify_agrees(name: str) -> None:
    want = expected(name)
    if "error" in want:
        with pytest.raises(BadFileHeader):
            verify(VECTORS / f"{name}.wandb")
        return
    report = verify(VECTORS / f"{name}.wandb")
    assert report.n_records == len(want["records"])
    assert [loss._asdict() for loss in report.lost] == [
        {"offset": int(each["offset"]), "n_bytes": int(each["n_bytes"]), "reason": each["reason"]}
        for each in want["lost"]
    ]
    assert report.tail_bytes == int(want["tail"])
    assert report.verdict == ("damaged" if want["lost"] else "torn" if report.tail_bytes else "sound")


@pytest.mark.parametrize("name", READABLE)
def test_reading_goes_on_from_every_end(name: str) -> None:
    """The end of a record, or of a loss, is all that a checkpoint needs."""
    path = VECTORS / f"{name}.wandb"
    with Reader(path) as reader:
        events = list(reader.events())
    for index in range(0, len(events), max(1, len(events) // 20)):
        with Reader(path, events[index].end) as reader:
            assert list(reader.events()) == events[index + 1 :]


@pytest.mark.parametrize("name", READABLE)
def test_a_repaired_log_is_sound_and_holds_every_record(name: str, tmp_path: Path) -> None:
    path = VECTORS / f"{name}.wandb"
    repair(path, tmp_path / "repaired.wandb")
    report = verify(tmp_path / "repaired.wandb")
    assert report.verdict == "sound"
    assert [record.payload for record in read_records(tmp_path / "repaired.wandb")] == [
        record.payload for record in read_records(path)
    ]


@pytest.mark.parametrize("name", READABLE)
def test_a_writer_goes_on_behind_every_vector(name: str, tmp_path: Path) -> None:
    """Nothing that could be read before is lost, and all that is appended can be read."""
    before = VECTORS / f"{name}.wandb"
    path = tmp_path / "log.wandb"
    path.write_bytes(before.read_bytes())
    writer = Writer.append_to(path)
    added = [b"x" * n_bytes for n_bytes in (10, 40000, 100)]
    for payload in added:
        writer.write(payload)
    writer.close()
    assert [record.payload for record in read_records(path)] == [
        record.payload for record in read_records(before)
    ] + added
    assert len(verify(path).lost) == len(expected(name)["lost"])


@pytest.mark.parametrize("name", FOREIGN)
def test_the_writer_frames_as_the_real_client_does(name: str, tmp_path: Path) -> None:
    path = VECTORS / f"{name}.wandb"
    writer = Writer.create(tmp_path / "log.wandb")
    for record in read_records(path):
        writer.write(record.payload)
    writer.close()
    assert (tmp_path / "log.wandb").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", FOREIGN)
def test_the_rows_of_every_generation_are_read(name: str) -> None:
    """What tests/interop/generations/write_log.py logged."""
    messages = [record_pb2.Record.FromString(r.payload) for r in read_records(VECTORS / f"{name}.wandb")]
    rows = [
        {".".join(item.nested_key) or item.key: item.value_json for item in message.history.item}
        for message in messages
        if message.WhichOneof("record_type") == "history"
    ]
    assert len(rows) == 31
    assert [json.loads(row["loss"]) for row in rows[:-1]] == [1.0 / (step + 1) for step in range(30)]
    assert [json.loads(row["text"]) for row in rows[:-1]] == [f"row {step}" for step in range(30)]
    assert json.loads(rows[-1]["big"]) == list(range(2500))
    run = next(message.run for message in messages if message.WhichOneof("record_type") == "run")
    assert run.run_id == name.replace("written_by_wandb_", "gen").replace("_", "")
    assert list(run.tags) == ["small", "vector"]
    assert run.notes == "unicode: \u00fc \u65e5\u672c"
    assert messages[-1].WhichOneof("record_type") in ("exit", "footer")


def test_the_vectors_are_what_the_tool_builds() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "make_vectors.py"), "--check"]
    outcome = subprocess.run(tool, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert (outcome.returncode, outcome.stdout) == (0, "")


COMPRESSED = VECTORS / "compressed"
COMPRESSED_NAMES = sorted(path.stem for path in COMPRESSED.glob("*.json"))


@pytest.mark.parametrize("name", COMPRESSED_NAMES)
def test_a_compressed_log_is_read_as_its_plain_form_is(name: str) -> None:
    want = json.loads((COMPRESSED / f"{name}.json").read_text())
    path = COMPRESSED / f"{name}.wandb.zst"
    if "error" in want:
        with pytest.raises(BadFileHeader):
            verify(path)
        return
    with open_log(path) as log:
        data = log.read_at(0, log.size())
    assert found(data, 1 << 20) == want
    report = verify(path)
    assert (report.n_records, report.tail_bytes) == (len(want["records"]), int(want["tail"]))
    assert [str(lost.end - lost.n_bytes) for lost in report.lost] == [lost["offset"] for lost in want["lost"]]
    with Reader(path) as reader:
        events = list(reader.events())
    for index, event in enumerate(events):
        with Reader(path, event.end) as reader:
            assert list(reader.events()) == events[index + 1 :]


def test_other_tools_unpack_a_compressed_vector() -> None:
    path = COMPRESSED / "whole.wandb.zst"
    with zstandard.open(path, "rb") as file, open_log(path) as log:
        assert file.read() == log.read_at(0, log.size())
