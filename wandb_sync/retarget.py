"""Where each run goes, and as what: the rules of `wandb sync --map FILE`.

    # what the log says                  what becomes of it
    project=digits                    -> project=digits-2026 entity=team
    id=abc                            -> id=abc-2 name="second try"
    dir=offline-run-2025* project=*   -> group=last-year tags=old,carried
    project=shared                    -> base-url=https://one.example -> base-url=https://two.example

Left of the arrow are globs: `entity`, `project`, `id`, `dir` (the run directory's name or path).  Right of it
is what the options of the same name say, for these runs only.  The first rule that matches counts, and what
it does not say is as the options say.  Several arrows are several destinations of one log.
"""

from __future__ import annotations

import fnmatch
import shlex
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from wandb.errors import UsageError
from wandb_sync.checkpoint import Destination
from wandb_sync.discover import Log
from wandb_sync.run_sync import RunOptions
from wandb_sync.segments import Peek
from wandb_sync.selection import OptionsFor

ON_DELETED = ("fail", "skip", "new-id")
_MATCHED = ("entity", "project", "id", "dir")
_CHANGED = (
    "base-url",
    "entity",
    "project",
    "id",
    "name",
    "group",
    "job-type",
    "tags",
    "replace-tags",
)


class Rule(NamedTuple):
    """One line of the file: globs by name, and what becomes of the runs, per destination."""

    globs: Mapping[str, str]
    changes: Sequence[Mapping[str, str]]

    def matches(self, log: Log, first: Peek) -> bool:
        """Say whether it is about a run."""
        said = {"entity": first.entity, "project": first.project, "id": first.run_id}
        for name, pattern in self.globs.items():
            texts = (log.directory.name, str(log.directory), log.shown) if name == "dir" else (said[name],)
            if not any(fnmatch.fnmatchcase(text, pattern) for text in texts):
                return False
        return True


def read_rules(path: Path) -> Tuple[Rule, ...]:
    """Return the rules of a file.

    Raises:
        UsageError: It cannot be read or understood; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise UsageError(f"--map {path}: cannot be read: {reason}") from error
    rules = []
    for number, line in enumerate(lines, 1):
        where = f"--map {path}, line {number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None
        if words:
            rules.append(_rule(words, where))
    return tuple(rules)


def _rule(words: Sequence[str], where: str) -> Rule:
    sides: List[List[str]] = [[]]
    for word in words:
        if word == "->":
            sides.append([])
        else:
            sides[-1].append(word)
    if len(sides) < 2 or not all(sides):
        raise UsageError(f"{where}: is no rule", hint="it looks like: project=old -> project=new entity=team")
    changes = [_pairs(side, _CHANGED, where) for side in sides[1:]]
    for change in changes:
        tag_pairs(change.get("replace-tags", ""), where)
    return Rule(_pairs(sides[0], _MATCHED, where), changes)


def _pairs(words: Sequence[str], known: Sequence[str], where: str) -> Dict[str, str]:
    pairs = {}
    for word in words:
        name, mark, value = word.partition("=")
        name = name.lstrip("-").replace("_", "-")
        if not mark or name not in known:
            raise UsageError(f"{where}: {word!r} is not one of {'=..., '.join(known)}=...")
        pairs[name] = value
    return pairs


def comma_list(text: str) -> Tuple[str, ...]:
    """Return the parts of a text that are separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def tag_pairs(text: str, where: str) -> Dict[str, str]:
    """Return the pairs of "OLD=NEW,...".

    Raises:
        UsageError: It is something else.
    """
    pairs = {}
    for part in comma_list(text):
        old, mark, new = part.partition("=")
        if not mark or not old or not new:
            raise UsageError(f"{where}: {part!r} is not OLD=NEW")
        pairs[old] = new
    return pairs


def changed(options: RunOptions, change: Mapping[str, str]) -> RunOptions:
    """Return the options of a run that a rule is about."""
    target = options.target
    target = target._replace(
        entity=change.get("entity", target.entity),
        project=change.get("project", target.project),
        run_id=change.get("id", target.run_id),
    )
    wishes = options.wishes
    wishes = wishes._replace(
        name=change.get("name", wishes.name),
        group=change.get("group", wishes.group),
        job_type=change.get("job-type", wishes.job_type),
    )
    if "tags" in change:
        wishes = wishes._replace(tags=comma_list(change["tags"]))
    if "replace-tags" in change:
        wishes = wishes._replace(replace_tags=tag_pairs(change["replace-tags"], "--map"))
    return options._replace(target=target, wishes=wishes)


class Destinations:
    """Where each log goes: to every server of `servers`, or where the first rule that matches says."""

    def __init__(self, servers: Sequence[str], rules: Sequence[Rule], options: RunOptions) -> None:
        """Prepare.

        Args:
            servers: Their base URLs, as checked.
        """
        self._servers = tuple(dict.fromkeys(servers))
        self._rules = rules
        self._options = options

    def lanes(self) -> List[Tuple[str, int]]:
        """Return servers with numbers: lane (server, n) is the way to the n-th place of a log there."""
        lengths: Dict[str, int] = dict.fromkeys(self._servers, 1)
        for rule in self._rules:
            for server in {s for change in rule.changes for s in self._of(change)}:
                n_places = sum(server in self._of(change) for change in rule.changes)
                lengths[server] = max(lengths.get(server, 1), n_places)
        return [(server, number) for server, length in lengths.items() for number in range(length)]

    def of_lane(self, server: str, number: int) -> OptionsFor:
        """Return what says how a log is synced in a lane; None: it has no place there."""

        def options_for(log: Log, first: Optional[Peek]) -> Optional[RunOptions]:
            if first is None:  # it has not said yet which run it is
                return self._options if number == 0 and not self._rules else None
            places = self._places(log, first)
            here = [options for url, options in places if url == server]
            if number >= len(here):
                return None
            keys = tuple(_key(url, options, first) for url, options in places)
            return here[number]._replace(all_destinations=keys)

        return options_for

    def _of(self, change: Mapping[str, str]) -> Tuple[str, ...]:
        return (change["base-url"].rstrip("/"),) if change.get("base-url") else self._servers

    def _places(self, log: Log, first: Peek) -> List[Tuple[str, RunOptions]]:
        rule = next((rule for rule in self._rules if rule.matches(log, first)), None)
        changes: Sequence[Mapping[str, str]] = rule.changes if rule is not None else ({},)
        places: Dict[str, Tuple[str, RunOptions]] = {}
        for change in changes:
            for server in self._of(change):
                options = changed(self._options, change)
                places.setdefault(_key(server, options, first), (server, options))
        return list(places.values())


def _key(server: str, options: RunOptions, first: Peek) -> str:
    target = options.target
    return Destination(server, target.entity, target.project, target.run_id or first.run_id).key
