"""Values of the standard library in rows, in the config and in the summary."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import uuid

import wandb


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int = 1
    y: float = 2.5


Pair = collections.namedtuple("Pair", "left right")

VALUES = {
    "datetime": datetime.datetime(2020, 1, 2, 3, 4, 5),
    "date": datetime.date(2020, 1, 2),
    "duration": datetime.timedelta(days=400, hours=1, seconds=3.5),
    "back": -datetime.timedelta(hours=30),
    "enum": Color.RED,
    "int_enum": Level.HIGH,
    "path": pathlib.Path("a/b"),
    "bytes": b"ab",
    "set": {1},
    "namedtuple": Pair(1, 2),
    "ordered": collections.OrderedDict(a=1),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1, 2]),
    "decimal": decimal.Decimal("1.5"),
    "fraction": fractions.Fraction(1, 2),
    "complex": 1 + 2j,
    "uuid": uuid.UUID(int=5),
    "class": dict,
    "inside": {"when": datetime.date(2020, 1, 2), "how": Color.RED},
}
run = wandb.init(config=VALUES)
run.log(VALUES)
run.log({"function": len, "point": Point(), "generator": (number for number in range(3))})
for name, value in VALUES.items():
    run.summary["my " + name] = value
run.finish()
