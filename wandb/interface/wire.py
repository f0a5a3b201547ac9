"""Protobuf encoding of the log's records, without the protobuf runtime.  Spec: schema/proto, decision 0002.

A training process writes a handful of message types and reads none, so it needs an encoder and no more: forty
lines instead of a 40 ms import, and no conflict with the protobuf version that a framework has pinned.
tests/unit/wandb/interface/test_wire.py holds every message to the protobuf runtime.

Rule 1: the generated text `wandb.proto.record_fields` is the only source of field numbers.
Rule 2: values at their proto3 default are left out, as every protobuf encoder does, unless the caller wants
        to say "set, but zero" of a sub-message, for which an empty dict stands.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from wandb.proto.record_fields import SCHEMA

VARINT, FIXED64, BYTES = 0, 1, 2  # the wire types that the schema uses

# Message -> its fields, as text and, once it was asked for, as a table.
_MESSAGES = {name: lines for name, _, lines in (block.partition("\n") for block in SCHEMA.split("\n\n"))}
_known: Dict[str, Dict[str, Tuple[int, str, bool]]] = {}


def fields_of(message: str) -> Dict[str, Tuple[int, str, bool]]:
    """Return a message's fields: name -> (number, type, whether it is repeated)."""
    fields = _known.get(message)
    if fields is None:
        fields = {}
        for line in _MESSAGES[message].splitlines():
            name, number, kind, *star = line.split()
            fields[name] = (int(number), kind, bool(star))
        _known[message] = fields  # only now: another thread may look
    return fields


# The last byte of a varint, and a byte that is not the last.
_LAST = [bytes((low,)) for low in range(128)]
_MORE = [bytes((low | 128,)) for low in range(128)]


def varint(number: int) -> bytes:
    """Return `number` (0 to 2**64 - 1) as a base-128 varint of 1 to 10 bytes."""
    if number < 128:
        return _LAST[number]
    return _MORE[number & 127] + varint(number >> 7)


def encode(message: str, values: Mapping[str, Any]) -> bytes:
    """Return the serialized message.

    Args:
        message: Its name in the schema, e.g. "RunRecord".
        values: Field name -> value.  Scalars as Python has them, sub-messages as mappings or as bytes that
            are serialized already, repeated fields as sequences, maps as mappings.  None leaves a field out.

    Raises:
        KeyError: The message has no such field; that is a mistake of ours, not of a user.
    """
    fields = fields_of(message)
    out = []
    for name, value in values.items():
        if value is None:
            continue
        number, kind, repeated = fields[name]
        if repeated:
            if isinstance(value, Mapping):
                value = [{"key": key, "value": item} for key, item in value.items()]
            for item in value:
                out.append(_field(number, kind, item))
        elif value or kind in _MESSAGES:
            out.append(_field(number, kind, value))
    return b"".join(out)


def field(message: str, name: str, payload: bytes) -> bytes:
    """Return `payload`, a serialized sub-message, as the field `name` of `message`."""
    return varint(fields_of(message)[name][0] << 3 | BYTES) + varint(len(payload)) + payload


def _field(number: int, kind: str, value: Any) -> bytes:
    tag = number << 3
    payload: bytes
    if kind == "string":
        payload = value.encode("utf-8", "replace")
    elif kind in _MESSAGES:
        payload = value if isinstance(value, bytes) else encode(kind, value)
    elif kind == "double":
        from struct import pack  # hardly any record has such a field

        return varint(tag | FIXED64) + pack("<d", value)
    elif kind == "sint64":
        return varint(tag | VARINT) + varint((value << 1 ^ value >> 63) & 0xFFFFFFFFFFFFFFFF)
    else:  # bool, enums and every plain integer; a negative one is its 64-bit two's complement
        return varint(tag | VARINT) + varint(int(value) & 0xFFFFFFFFFFFFFFFF)
    return varint(tag | BYTES) + varint(len(payload)) + payload
