"""What kind of record a payload is, by its first bytes: most records need not be parsed for what is asked."""

from __future__ import annotations

from typing import Optional, Tuple

from google.protobuf.message import DecodeError

from wandb.proto.record_pb2 import Record as RecordMessage

HISTORY = RecordMessage.HISTORY_FIELD_NUMBER
STATS = RecordMessage.STATS_FIELD_NUMBER
OUTPUT = RecordMessage.OUTPUT_RAW_FIELD_NUMBER
OUTPUT_LOGGER = RecordMessage.OUTPUT_LOGGER_FIELD_NUMBER
FOOTER = RecordMessage.FOOTER_FIELD_NUMBER
EXIT = RecordMessage.EXIT_FIELD_NUMBER


def kind_of(payload: bytes) -> int:
    """Return the number of the field of a Record that says its kind; 0 if that is not the first or second."""
    return number_and_kind(payload)[1]


def number_and_kind(payload: bytes) -> Tuple[Optional[int], int]:
    """Return the number of a record, which is its first field if it has one, and its kind as of `kind_of`."""
    number: Optional[int] = None
    at = 0
    if payload[:1] == b"\x08":  # num
        at, value = 1, 0
        while at < len(payload) and at <= 10:
            byte = payload[at]
            value |= (byte & 127) << 7 * (at - 1)
            at += 1
            if byte < 128:
                number = value
                break
        else:
            return None, 0
    tag = payload[at : at + 2]
    if not tag or tag[0] & 7 != 2:
        return number, 0
    if tag[0] < 128:
        return number, tag[0] >> 3
    return number, (tag[0] & 127 | tag[1] << 7) >> 3 if len(tag) == 2 and tag[1] < 128 else 0


def is_end(payload: bytes) -> bool:
    """Whether it is the exit record of a process that has ended."""
    if kind_of(payload) != EXIT:
        return False
    try:
        return not RecordMessage.FromString(payload).exit.not_complete
    except DecodeError:
        return False
