"""The encoder without a runtime writes what the protobuf runtime reads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wandb.interface import records, wire
from wandb.interface.wire import fields_of
from wandb.proto import record_pb2

_SCALARS = {
    "string": st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    "bool": st.booleans(),
    "double": st.floats(allow_nan=False).map(lambda number: number + 0.0),  # -0.0: runtimes differ about it
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "sint64": st.integers(-(2**63), 2**63 - 1),
}


# Scalars whose zero the wire can tell from their absence.  The encoder cannot, so nobody may write them.
WITH_PRESENCE = {
    f"{message.name}.{field.name}"
    for message in record_pb2.DESCRIPTOR.message_types_by_name.values()
    for field in message.fields
    if field.containing_oneof is not None and field.message_type is None
}

# The kinds of records that wandb/interface writes.
WRITTEN = [
    "AlertRecord",
    "ArtifactRecord",
    "ConfigRecord",
    "EnvironmentRecord",
    "FilesRecord",
    "FooterRecord",
    "HeaderRecord",
    "HistoryRecord",
    "MetricRecord",
    "OutputLoggerRecord",
    "OutputRawRecord",
    "RunExitRecord",
    "RunPreemptingRecord",
    "RunRecord",
    "StatsRecord",
    "SummaryRecord",
    "TelemetryRecord",
    "UseArtifactRecord",
]


def test_the_scalars_with_presence_are_those_that_nobody_writes() -> None:
    """Decision 0002 names them."""
    in_a_row = {name for name in WITH_PRESENCE if name.startswith("HistoryItem.")}
    assert WITH_PRESENCE - in_a_row == {"GpuNvidiaInfo.numa_node", "TBRecord.namespace"}
    assert len(in_a_row) == 6 and "HistoryItem.value_json" not in in_a_row


def _message(name: str, depth: int = 0):
    """A strategy for dicts that `wire.encode(name, ...)` takes."""
    optional = {}
    for field, (_, kind, repeated) in fields_of(name).items():
        if f"{name}.{field}" in WITH_PRESENCE:
            continue
        if kind in _SCALARS:
            value = _SCALARS[kind]
        elif depth < 2 and "." not in kind:
            value = _message(kind, depth + 1)
        else:
            continue
        optional[field] = st.lists(value, max_size=2) if repeated else value
    return st.fixed_dictionaries({}, optional=optional)


def _fill(message, values) -> None:
    """Set the fields of a protobuf message from the same dict."""
    for field, value in values.items():
        kind, repeated = fields_of(message.DESCRIPTOR.name)[field][1:]
        target = getattr(message, field)
        if repeated and kind not in _SCALARS:
            for item in value:
                _fill(target.add(), item)
        elif repeated:
            target.extend(value)
        elif kind not in _SCALARS:
            target.SetInParent()
            _fill(target, value)
        else:
            setattr(message, field, value)


@pytest.mark.parametrize("name", [*WRITTEN, "ArtifactRecord"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_message_reads_back_as_it_was_written(name: str, data: st.DataObject) -> None:
    values = data.draw(_message(name))
    expected = getattr(record_pb2, name)()
    _fill(expected, values)
    got = getattr(record_pb2, name)()
    got.ParseFromString(wire.encode(name, values))
    assert got == expected


def _as_decoded(name: str, values):
    """Return what the wire keeps of `values`: a scalar at its default and an empty list leave no trace."""
    kept = {}
    for field, value in values.items():
        kind, repeated = fields_of(name)[field][1:]
        if kind not in _SCALARS:
            value = [_as_decoded(kind, item) for item in value] if repeated else _as_decoded(kind, value)
        if value or (kind not in _SCALARS and not repeated):
            kept[field] = value
    return kept


@pytest.mark.parametrize("name", ["RunRecord", "EnvironmentRecord", "MetricRecord", "RunState"])
@given(data=st.data())
def test_the_decoder_reads_what_the_runtime_writes(name: str, data: st.DataObject) -> None:
    values = data.draw(_message(name))
    message = getattr(record_pb2, name)()
    _fill(message, values)
    assert wire.decode(name, message.SerializeToString()) == _as_decoded(name, values)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_message_are_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        wire.decode("Record", data)
    except ValueError:
        pass


def test_fields_that_the_schema_does_not_know_are_passed_over() -> None:
    unknown = b"\x92\xf4\x01\x02hi" + b"\x9d\xf4\x01abcd" + b"\x99\xf4\x01abcdefgh" + b"\x98\xf4\x01\x05"
    assert wire.decode("RunRecord", unknown + wire.encode("RunRecord", {"run_id": "x"})) == {"run_id": "x"}


def test_the_table_names_every_field_of_a_record_with_its_number() -> None:
    assert {name: number for name, (number, _, _) in fields_of("Record").items()} == {
        field.name: field.number for field in record_pb2.Record.DESCRIPTOR.fields
    }


def test_a_map_is_a_repeated_message_of_key_and_value() -> None:
    got = record_pb2.EnvironmentRecord()
    got.ParseFromString(
        wire.encode("EnvironmentRecord", {"disk": {"/": {"total": 5, "used": 3}}, "slurm": {"a": "b"}})
    )
    assert got.disk["/"].used == 3 and dict(got.slurm) == {"a": "b"}


def test_none_leaves_a_field_out_and_an_empty_dict_sets_a_message() -> None:
    got = record_pb2.RunRecord()
    got.ParseFromString(wire.encode("RunRecord", {"notes": None, "telemetry": {}}))
    assert got.HasField("telemetry") and not got.notes


@pytest.mark.parametrize(
    "body, kind",
    [
        (records.header("1"), "header"),
        (records.run({"run_id": "x", "start_time": 1.5}), "run"),
        (records.config({"a": 1}), "config"),
        (records.summary({"a": 1, ("b", "c"): 2}, ["d"]), "summary"),
        (records.stats(1.5, {"cpu": 1.0}), "stats"),
        (records.output(records.STDOUT, 1.5, "hello\n"), "output_raw"),
        (records.output_line("hello"), "output_logger"),
        (records.files([("a.txt", records.NOW, records.OTHER)]), "files"),
        (records.metric({"name": "loss"}), "metric"),
        (records.telemetry({"cli_version": "1"}), "telemetry"),
        (records.environment({"os": "x"}), "environment"),
        (records.alert("t", "x", "INFO", 60_000), "alert"),
        (records.preempting(), "preempting"),
        (records.exit_(3, 7), "exit"),
    ],
)
@pytest.mark.parametrize("number", [1, 127, 128, 70_000])
def test_every_kind_of_record_is_what_it_says(body: bytes, kind: str, number: int) -> None:
    record = record_pb2.Record()
    record.ParseFromString(records.numbered(number, body))
    assert record.WhichOneof("record_type") == kind and record.num == number


def test_a_time_before_1970_and_its_nanoseconds_survive() -> None:
    assert records.timestamp(-1.25) == {"seconds": -2, "nanos": 750_000_000}


@given(st.integers(0, 2**64 - 1))
def test_a_varint_reads_back(number: int) -> None:
    value = shift = 0
    for byte in wire.varint(number):
        value |= (byte & 0x7F) << shift
        shift += 7
    assert value == number
