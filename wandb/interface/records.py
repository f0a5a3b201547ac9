"""One pure function per kind of record: Python values -> the body of a `Record`.

A body is a serialized Record without its `num`, which the log's writer puts in front (`numbered`).  History
has a module of its own, rows.py, because it is the hot path.

To add a kind: the field in schema/proto, `tox -e codegen`, a function here, a branch in
wandb_sync/session.py.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Sequence, Tuple

from wandb.interface.values import Path, checked_text, json_text
from wandb.interface.wire import encode, field, fields_of, varint

PRODUCER = "wandb-ng/"  # the syncer knows by it that it has to fold the summary out of the rows
MIN_CONSUMER = "0.10.0"  # the oldest wandb whose reader takes what we write

STDERR, STDOUT = 0, 1  # OutputRawRecord.OutputType
NOW, END, LIVE = 0, 1, 2  # FilesItem.PolicyType
OTHER, WANDB, MEDIA, ARTIFACT = 0, 1, 2, 3  # FilesItem.FileType


def numbered(number: int, body: bytes) -> bytes:
    """Return the Record: its number within the log, then the body."""
    return b"\x08" + varint(number) + body


def header(version: str) -> bytes:
    """Return the first record of every log."""
    return _record("header", {"version_info": {"producer": PRODUCER + version, "min_consumer": MIN_CONSUMER}})


def run(values: Mapping[str, Any]) -> bytes:
    """Return the run record; `values` are fields of RunRecord, `start_time` in seconds since the epoch."""
    fields = dict(values)
    if fields.get("start_time") is not None:
        fields["start_time"] = timestamp(fields["start_time"])
    return _record("run", fields)


def config(update: Mapping[Any, Any], remove: Iterable[Path] = ()) -> bytes:
    """Return a change of config keys (top-level, or paths), then removals; the values are plain."""
    return _record("config", config_fields(update, remove))


def config_fields(update: Mapping[Any, Any], remove: Iterable[Path] = ()) -> Dict[str, Any]:
    """Return the fields of a ConfigRecord."""
    return {
        "update": [{**_key_fields(path), "value_json": json_text(value)} for path, value in update.items()],
        "remove": [_key_fields(path) for path in remove],
    }


def summary(update: Mapping[Path, Any], remove: Iterable[Path] = (), *, whole: bool = False) -> bytes:
    """Return a change of the summary; the values are plain.

    Args:
        whole: It only repeats what the log has said before, for readers that do not fold its rows.
    """
    fields = summary_fields(update, remove)
    return _record("summary", {**fields, "whole": True} if whole else fields)


def summary_fields(update: Mapping[Any, Any], remove: Iterable[Path] = ()) -> Dict[str, Any]:
    """Return the fields of a SummaryRecord."""
    return {
        "update": [{**_key_fields(path), "value_json": json_text(value)} for path, value in update.items()],
        "remove": [_key_fields(path) for path in remove],
    }


def stats(sampled_at_s: float, values: Mapping[str, float]) -> bytes:
    """Return one sample of system metrics."""
    items = [{"key": key, "value_json": json_text(value)} for key, value in values.items()]
    return _record("stats", {"timestamp": timestamp(sampled_at_s), "item": items})


def output(stream: int, written_at_s: float, text: str) -> bytes:
    """Return a piece of console output, as it was written; `stream` is STDERR or STDOUT."""
    return _record("output_raw", {"output_type": stream, "timestamp": timestamp(written_at_s), "line": text})


def output_line(text: str) -> bytes:
    """Return one finished console line that is not to be interpreted as terminal output."""
    return _record("output_logger", {"line": text})


def files(items: Sequence[Tuple[str, int, int]]) -> bytes:
    """Return files of the run as (path relative to files/, policy, type)."""
    rows = [{"path": path, "policy": policy, "type": kind} for path, policy, kind in items]
    return _record("files", {"files": rows})


def metric(values: Mapping[str, Any]) -> bytes:
    """Return a metric definition; `values` are fields of MetricRecord.

    Raises:
        ValidationError: A name in it is no valid text.
    """
    for name in ("name", "glob_name", "step_metric"):
        checked_text(values.get(name) or "", f"define_metric: {name}")
    return _record("metric", values)


def telemetry(values: Mapping[str, Any]) -> bytes:
    """Return what was used; `values` are fields of TelemetryRecord."""
    return _record("telemetry", values)


def environment(values: Mapping[str, Any]) -> bytes:
    """Return where the run runs; `values` are fields of EnvironmentRecord."""
    return _record("environment", values)


def alert(title: str, text: str, level: str, wait_ms: int) -> bytes:
    """Return a message for the user that the server is to send.

    Raises:
        ValidationError: The title or the text is no valid text.
    """
    checked_text(title, "alert: title")
    checked_text(text, "alert: text")
    return _record("alert", {"title": title, "text": text, "level": level, "wait_duration": wait_ms})


def tensorboard(values: Mapping[str, Any]) -> bytes:
    """Return a directory of TensorBoard's, or a place in a file of it; `values` are fields of TBRecord."""
    return _record("footer", {"event_files": values})


def artifact(values: Mapping[str, Any]) -> bytes:
    """Return an artifact that the run has made; `values` are fields of ArtifactRecord."""
    return _record("artifact", values)


def use_artifact(values: Mapping[str, Any]) -> bytes:
    """Return an artifact that the run has used; `values` are fields of UseArtifactRecord."""
    return _record("use_artifact", values)


def preempting() -> bytes:
    """Return the scheduler's warning that the machine is about to be taken away."""
    return _record("preempting", {})


def exit_(exit_code: int, runtime_s: int) -> bytes:
    """Return the last record of a process that ended in order."""
    return _record("exit", {"exit_code": exit_code, "runtime": runtime_s})


def lost(
    reason: str,
    since_s: float,
    until_s: float,
    *,
    history: int,
    first_step: int,
    last_step: int,
    console: int,
    stats: int,
    other: int,
) -> bytes:
    """Return what had to be given up while the log could not be written; readers of wandb's skip it.

    Args:
        reason: The system's word for the first error.
        since_s, until_s: When the first and the last of it were given up, in seconds since the epoch.
        history: How many rows; `first_step` and `last_step` are the smallest and the largest of theirs.
        console, stats, other: How many records of these kinds.
    """
    fields = {
        "reason": reason,
        "since": timestamp(since_s),
        "until": timestamp(until_s),
        "history": history,
        "first_step": first_step,
        "last_step": last_step,
        "console": console,
        "stats": stats,
        "other": other,
    }
    return _record("footer", {"lost": fields})


def timestamp(seconds: float) -> Dict[str, int]:
    """Return seconds since the epoch as the fields of google.protobuf.Timestamp."""
    whole = int(seconds // 1)
    return {"seconds": whole, "nanos": int((seconds - whole) * 1e9)}


def run_state(values: Mapping[str, Any]) -> bytes:
    """Return what the run has come to; `values` are fields of RunState."""
    return _record("footer", {"state": values})


def path_of(item: Mapping[str, Any]) -> Path:
    """Return where an item of a decoded record stands."""
    nested = tuple(item.get("nested_key", ()))
    return nested if len(nested) > 1 else nested[0] if nested else item.get("key", "")


def value_of(text: str) -> Any:
    """Return the value of JSON text of a record; None for what is none."""
    from json import loads

    try:
        return loads(text)
    except (ValueError, RecursionError):
        return None


def _key_fields(path: Path) -> Dict[str, Any]:
    return {"key": path} if isinstance(path, str) else {"nested_key": path}


def _record(kind: str, values: Mapping[str, Any]) -> bytes:
    message = fields_of("Record")[kind][1]
    return field("Record", kind, encode(message, values))
