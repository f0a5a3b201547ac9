"""`wandb.tensorboard.log`: a TensorFlow event or summary, logged by hand."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Optional

from wandb.errors import UsageError
from wandb.event_files.values import read_event, stored


def tf_summary_to_dict(tf_summary_str_or_pb: Any, namespace: str = "") -> Optional[Dict[str, Any]]:
    """Return what an event or a summary says, as `wandb.log` takes it, without its files; None if nothing.

    Args:
        tf_summary_str_or_pb: A `Summary` or an `Event`, one as bytes (of a Summary), or several such.
        namespace: What stands before the tags.
    """
    return _row(tf_summary_str_or_pb, namespace)


def log(tf_summary_str_or_pb: Any, history: Any = None, step: int = 0, namespace: str = "", **_: Any) -> None:
    """Log a TensorFlow event or summary as a row of the current run.

    Args:
        tf_summary_str_or_pb: A `Summary` or an `Event`, one as bytes (of a Summary), or several such.
        history: Accepted for old scripts.
        step: TensorBoard's, recorded as `global_step`.
        namespace: What stands before the tags.

    Raises:
        UsageError: There is no run, or this is no event.
    """
    from wandb.sdk import active

    run = active.current
    if run is None:
        raise UsageError("wandb.tensorboard.log: there is no run", hint="call wandb.init() first")
    values = _row(tf_summary_str_or_pb, namespace)
    if values is None:
        return
    values.setdefault("global_step", step)

    def put(content: bytes, folder: str, key: str, extension: str) -> Mapping[str, Any]:
        return run._row_media().put(content, folder, key, run.step, extension)

    if run.disabled:
        return
    row, charts = stored(values, put)
    for key, chart in charts.items():
        run._note(("visualize", key), chart)
    run.log(row)


def reset_state() -> None:
    """Accepted: what `log` logs is a row each time, and nothing waits for the next one."""


def _row(given: Any, namespace: str) -> Optional[Dict[str, Any]]:
    above = namespace + "/" if namespace else ""
    own: Dict[str, Any] = {}
    summaries: Iterable[Any] = [given]
    if hasattr(given, "summary"):
        own = {above + "global_step": given.step, "_timestamp": given.wall_time}
        summaries = [given.summary]
    elif isinstance(given, (list, tuple)):
        summaries = given
    values: Dict[str, Any] = {}
    for summary in summaries:
        content = summary.SerializeToString() if hasattr(summary, "SerializeToString") else summary
        if not isinstance(content, (bytes, bytearray)):
            raise UsageError(f"wandb.tensorboard.log: {type(given).__name__} is no event and no summary")
        try:
            values.update(read_event(_as_event(bytes(content)), {}).values)
        except ValueError as error:
            raise UsageError(f"wandb.tensorboard.log: this is no summary: {error}") from None
    return {**{above + tag: value for tag, value in values.items()}, **own} if values else None


def _as_event(summary: bytes) -> bytes:
    """Return a serialized Event that has a serialized Summary."""
    length, size = b"", len(summary)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return b"\x2a" + length + bytes([size]) + summary
