"""When are two end states of the server the same?  If nothing differs but what DIFFERENCES lists.

A state is what `/api/runs/...` says, with the texts of the files, where YAML, JSON and console lines are read
(`readable`).  Each row of the table rewrites one field on both sides before they are compared.

Rule 1: this is the only place that forgives.  A row says which paths it is for, and why it must be.
Rule 2: rewrite as little as possible: a time is still a time, a list that may be in any order has the same
        items.
Rule 3: a row that no comparison needs is an error (test_end_states.py): what was mended stays mended.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Set, Tuple

import yaml

Tree = Dict[str, Any]
Field = Tuple[Any, ...]  # keys and list indexes, from the top down

PAIRS = ("AB", "BC", "DE", "AE", "BE", "CE", "AF")
EVERY = " ".join(PAIRS)
SAME_LOG = "BC DE"
OTHER_RECORDING = "AB AE BE CE AF"
OTHER_CLIENT = "AE BE CE AF"
OTHER_UPLOADER = "AB BC DE AE BE AF"  # but for CE, who are both ours
NOTES = "config>_wandb>value"

TOLD_ELSEWHERE = "<as config, summary, environment or console>"
_DROPPED = object()


class Difference(NamedTuple):
    """One field that may differ.

    Attributes:
        field: Its keys from the top down, joined by ">"; "*" is any one key.
        pairs: The comparisons that it may differ in, e.g. "BC DE".
        rewrite: Gets the field's value; what it returns is compared instead.
        reason: Why it must be.
        scripts: The scripts whose runs may differ so; none means all.
        is_chance: Whether it may also happen not to differ.
    """

    field: str
    pairs: str
    rewrite: Callable[[Any], Any]
    reason: str
    scripts: Tuple[str, ...] = ()
    is_chance: bool = False


# -- what is compared instead ------------------------------------------------------------------------------


def dropped(value: Any) -> Any:
    """Nothing: the field may be anything, or missing."""
    return _DROPPED


def a_time(value: Any) -> Any:
    """That it is a time of these days, in seconds."""
    return "<time>" if isinstance(value, float) and 1.7e9 < value < 4e9 else value


def a_clock_text(value: Any) -> Any:
    """That it is a time as text."""
    return "<time>" if isinstance(value, str) and value[:2] == "20" and "T" in value else value


def a_duration(value: Any) -> Any:
    """That it is some seconds."""
    return "<seconds>" if isinstance(value, (int, float)) and 0 <= value < 600 else value


def a_name(value: Any) -> Any:
    """That it is a text, and not an empty one."""
    return "<text>" if isinstance(value, str) and value else value


def without_words_of_wandb(value: Any) -> Any:
    """The lines that the program has printed, and not its client."""
    return [line for line in value if not line["content"].startswith("wandb: ")]


def shared_packages(value: Any) -> Any:
    """That it lists packages with versions, and numpy's."""
    well_formed = value[-1] == "" and all(line.count("==") == 1 for line in value[:-1])
    return [line for line in value if line.startswith("numpy==")] if well_formed else value


def measured_keys(value: Any) -> Any:
    """What is measured; single CPUs are only after a while, and a run that is online lasts longer."""
    return sorted(
        {key for row in value for key in row if not re.fullmatch(r"system\.cpu\.\d+\.cpu_percent", key)}
    )


def only(*names: str) -> Callable[[Any], Any]:
    """These keys of a dict."""

    def kept(value: Any) -> Any:
        return {name: value[name] for name in names if name in value} if isinstance(value, dict) else value

    return kept


def in_any_order(value: Any) -> Any:
    """The items, sorted."""
    return sorted(value, key=repr) if isinstance(value, list) else value


def by_name(value: Any) -> Any:
    """Metric definitions by their names; a step metric by its name instead of its place in the list."""
    if not isinstance(value, list):
        return value
    names = [one.get("1") or one.get("2") for one in value]
    return {
        name: {**one, **({"5": names[one["5"] - 1]} if "5" in one else {}), "6": sorted(one.get("6", ()))}
        for name, one in zip(names, value)
    }


def without_ids(value: Any) -> Any:
    """The values, without the names they have."""
    return list(value.values()) if isinstance(value, dict) else value


DIFFERENCES: List[Difference] = [
    # -- when and where
    Difference("createdAt", EVERY, a_time, "each path uploads at its own time"),
    Difference("updatedAt", EVERY, a_time, "each path uploads at its own time"),
    Difference("heartbeatAt", EVERY, a_time, "each path uploads at its own time"),
    Difference("project", EVERY, a_name, "each path has a project of its own"),
    Difference("displayName", EVERY, a_name, "the server invents one if the user gives none"),
    # -- another recording
    Difference("history>*>_timestamp", OTHER_RECORDING, a_time, "recorded at another time"),
    Difference("history>*>_runtime", OTHER_RECORDING, a_duration, "recorded at another speed"),
    Difference("summary>_timestamp", OTHER_RECORDING, a_time, "recorded at another time"),
    Difference("summary>_runtime", OTHER_RECORDING, a_duration, "recorded at another speed"),
    Difference("summary>_wandb>runtime", OTHER_RECORDING, a_duration, "recorded at another speed"),
    # -- the real `wandb sync`
    Difference("console>*>ts", EVERY, a_clock_text, "another time; the real sync takes that of the upload"),
    Difference("program", "AB BC DE BE", a_name, "the real sync names itself as the program"),
    # -- what the programs say of themselves
    Difference("console", OTHER_RECORDING, without_words_of_wandb, "each client warns in its own words"),
    Difference(f"{NOTES}>t>12", SAME_LOG, dropped, "the version of wandb-core: ours has none"),
    Difference(f"{NOTES}>t", OTHER_RECORDING, dropped, "which client, and which of its features were used"),
    Difference(f"{NOTES}>t>3", SAME_LOG, in_any_order, "the real client has them in no order"),
    Difference(f"{NOTES}>m", EVERY, by_name, "the real client has them in no order"),
    Difference(f"{NOTES}>e", EVERY, without_ids, "the real sync invents another writer's id"),
    Difference(f"{NOTES}>e>*>startedAt", OTHER_RECORDING, a_clock_text, "recorded at another time"),
    Difference(f"{NOTES}>e>*>writerId", OTHER_RECORDING, a_name, "each recording is a writer"),
    Difference(f"{NOTES}>e>*>root", OTHER_RECORDING, a_name, "each recording has a directory of its own"),
    Difference(f"{NOTES}>e>*>executable", OTHER_CLIENT, a_name, "each client has an interpreter of its own"),
    Difference(f"{NOTES}>cli_version", OTHER_CLIENT, a_name, "another client"),
    Difference(
        "files>requirements.txt>text", OTHER_CLIENT, shared_packages, "each client is installed elsewhere"
    ),
    # -- what is measured
    Difference("events", OTHER_RECORDING, measured_keys, "measured at other moments", ("surroundings",)),
    Difference(
        f"{NOTES}>e>*>disk>/>used", OTHER_RECORDING, a_name, "measured at other moments", ("surroundings",)
    ),
    Difference(
        "files>output.log",
        OTHER_RECORDING,
        dropped,
        "there for the real client's own warnings only; ours are not captured",
        ("metric_summaries", "saved_files", "steps"),
    ),
    # -- where we do otherwise
    Difference(
        "summary>late",
        OTHER_CLIENT,
        dropped,
        "ours does not keep figures of metrics that nobody has defined yet",
        ("late_definitions",),
    ),
    Difference(
        "host",
        "AB BE CE",
        dropped,
        "the real client's log names the host all the same",
        ("no_machine_info",),
    ),
    Difference(
        "program",
        "BC CE",
        dropped,
        "the real client's log does not say which program wrote it",
        ("no_machine_info",),
    ),
    Difference(
        f"{NOTES}>e",
        OTHER_CLIENT,
        dropped,
        "a log of ours always says which program wrote it, as the real client does online",
        ("no_machine_info",),
    ),
    Difference(
        "files>wandb-metadata.json",
        OTHER_CLIENT,
        dropped,
        "the same as a file",
        ("no_machine_info",),
    ),
    # -- where the real client is not right
    Difference(
        "summary>best",
        OTHER_CLIENT,
        dropped,
        "the real client drops a NaN that the user puts into the summary, though not one of a row",
        ("special_numbers",),
    ),
    Difference(
        "console",
        OTHER_UPLOADER,
        dropped,
        "the real emulator takes few controls for what they are, strips spaces, and cuts lines off",
        ("terminal",),
    ),
    Difference(
        "config>model>value",
        "AB BC AE BE AF",
        only("kind"),
        "the real client mixes the dict that was replaced with its successor; run.config does not",
        ("replaced_dicts",),
    ),
    Difference(
        "summary>final",
        "AB BC AE BE AF",
        only("recall"),
        "the real client forgets what a dict holds when one key of it is set; run.summary does not",
        ("replaced_dicts",),
    ),
    Difference(
        "summary>loss",
        "AB BC AE BE AF",
        only("train"),
        "the real uploader remembers a replaced dict if it has sent it",
        ("replaced_dicts",),
        is_chance=True,
    ),
    Difference(
        "files>wandb-summary.json",
        EVERY,
        dropped,
        "where the real uploader remembers a replaced dict, this file of its own does not",
        ("replaced_dicts",),
        is_chance=True,
    ),
    Difference(
        "summary",
        "DE",
        only("_step", "noted"),
        "our log repeats no summary per row (decision 0004); the real sync does not fold it out of the rows",
        ("killed",),
    ),
]


# -- comparing -----------------------------------------------------------------------------------------------


class Comparison(NamedTuple):
    """What two states are to each other."""

    differing: List[str]  # one line per field: where, what, what
    needed: Set[Difference]  # rows of the table without which there would be more


def compare(pair: str, script: str, left: Tree, right: Tree) -> Comparison:
    """Compare the states of a script's runs that came by the two paths of `pair`."""
    left, right = readable(left), readable(right)
    needed: Set[Difference] = set()
    for row in DIFFERENCES:
        if pair not in row.pairs.split() or (row.scripts and script not in row.scripts):
            continue
        keys = tuple(row.field.split(">"))
        before = [dict(_found(state, keys)) for state in (left, right)]
        for state in (left, right):
            _rewrite(state, keys, row.rewrite)
        if not _same(*before):
            needed.add(row)
    lines = [
        f"{_shown(field)}: {mine!r:.200} | {yours!r:.200}" for field, mine, yours in _unequal(left, right)
    ]
    return Comparison(lines, needed)


def readable(state: Tree) -> Tree:
    """Return the state with its texts read: console lines, and files in JSON and YAML.

    What only repeats other fields is left out (`counts`) or replaced by TOLD_ELSEWHERE.  A file's size and
    digest follow from its text, which says more.
    """
    state = copy.deepcopy(state)
    for stream in ("console", "history", "events"):
        state[stream] = [_json(line) for line in state[stream]]
    files = {
        name: {"announced": file["announced"], "text": _file(name, file["text"])}
        for name, file in state.pop("files").items()
    }
    counts = {stream: len(state[stream]) for stream in state["counts"]}
    if state["counts"] == counts:  # else the server is wrong, and the difference shows
        del state["counts"]
    environments = list(state["config"]["_wandb"]["value"].get("e", {}).values())
    told = {
        "config.yaml": state["config"],
        "wandb-summary.json": state["summary"],
        "wandb-metadata.json": environments[0] if environments else None,
        "output.log": [*(line["content"] for line in state["console"]), ""],
    }
    for name, content in told.items():
        if name in files and _same(files[name]["text"], content):
            files[name]["text"] = TOLD_ELSEWHERE
    return {**state, "files": files}


class _Yaml12(yaml.SafeLoader):
    """As wandb's core writes it: a date is a text."""


_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _file(name: str, text: str) -> Any:
    if name.endswith(".json"):
        return _json(text)
    if name.endswith(".yaml"):
        return yaml.load(text, _Yaml12)
    return text.split("\n")


def _json(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _found(node: Any, keys: Field, at: Field = ()) -> Iterator[Tuple[Field, Any]]:
    if not keys:
        yield at, node
        return
    for key in _matching(node, keys[0]):
        yield from _found(node[key], keys[1:], (*at, key))


def _rewrite(node: Any, keys: Field, rewrite: Callable[[Any], Any]) -> None:
    for key in _matching(node, keys[0]):
        if len(keys) > 1:
            _rewrite(node[key], keys[1:], rewrite)
            continue
        value = rewrite(node[key])
        if value is _DROPPED:
            del node[key]
        else:
            node[key] = value


def _matching(node: Any, key: str) -> List[Any]:
    if isinstance(node, dict):
        return list(node) if key == "*" else [key] if key in node else []
    if isinstance(node, list):
        return list(range(len(node))) if key == "*" else []
    return []


_MISSING = object()


def _unequal(left: Any, right: Any, at: Field = ()) -> Iterator[Tuple[Field, Any, Any]]:
    """Yield (field, left, right) of what differs, as deep down as possible."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}, key=str):
            yield from _unequal(left.get(key, _MISSING), right.get(key, _MISSING), (*at, key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (mine, yours) in enumerate(zip(left, right)):
            yield from _unequal(mine, yours, (*at, index))
    elif not _same(left, right):
        yield at, _said(left), _said(right)


def _same(left: Any, right: Any) -> bool:
    """Whether two values are equal, NaN too; 1 and 1.0 are, as in JSON, but True is no number."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right) or (left != left and right != right)


def _said(value: Any) -> Any:
    return "(missing)" if value is _MISSING else value


def _shown(field: Field) -> str:
    return ">".join(str(key) for key in field)
