"""Protobuf encoding of the log's records, without the protobuf runtime.  Spec: schema/proto, decision 0002.

A training process writes a handful of message types and reads them only where it goes on from an earlier
segment: a hundred lines instead of a 40 ms import, and no conflict with the protobuf version that a framework
has pinned.  tests/unit/wandb/interface/test_wire.py holds all that is written to the protobuf runtime.

Rule 1: the generated text `wandb.proto.record_fields` is the only source of field numbers.
Rule 2: values at their proto3 default are left out, as every protobuf encoder does, unless the caller wants
        to say "set, but zero" of a sub-message, for which an empty dict stands.  The scalars of which the
        wire can say that too are never written (decision 0002).
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping, Tuple

from wandb.proto.record_fields import SCHEMA

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # the wire types that the schema uses, and one that it does not

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


def decode(message: str, data: bytes) -> Dict[str, Any]:
    """Return the fields that a serialized message has; what `encode` takes, with lists for repeated fields.

    Maps come as lists of {"key", "value"}; fields that the schema does not know are passed over.

    Raises:
        ValueError: `data` is no such message.
    """
    known = _numbers.get(message)
    if known is None:
        fields = fields_of(message).items()
        known = _numbers[message] = {number: (name, kind, many) for name, (number, kind, many) in fields}
    found: Dict[str, Any] = {}
    for number, raw in _fields(data):
        if number not in known:
            continue
        name, kind, repeated = known[number]
        value: Any = raw
        if isinstance(raw, bytes):
            if kind in _MESSAGES:
                value = decode(kind, raw)
            elif kind == "string":
                value = raw.decode("utf-8", "replace")
            elif kind == "double":
                from struct import unpack

                value = unpack("<d", raw)[0]
        elif kind == "bool":
            value = bool(raw)
        elif kind == "sint64":
            value = raw >> 1 ^ -(raw & 1)
        elif raw >> 63 and kind in ("int32", "int64"):  # a negative number's two's complement
            value = raw - (1 << 64)
        if repeated:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


_numbers: Dict[str, Dict[int, Tuple[str, str, bool]]] = {}  # message -> number -> (name, type, repeated)


def _fields(data: bytes) -> Iterator[Tuple[int, Any]]:
    """Yield (number, value): an int for a varint, bytes for all else."""
    at, end = 0, len(data)
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 128 else _read_varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            length, at = (data[at], at + 1) if at < end and data[at] < 128 else _read_varint(data, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + length > end:
            raise ValueError(f"a field of {length} bytes at byte {at} of {end}")
        yield tag >> 3, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> Tuple[int, int]:
    """Return the varint at `at`, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError(f"a varint that does not end, at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
