"""The cache of artifacts: files by digest, shared by all processes of a user, and which names they go by.

    <WANDB_CACHE_DIR, or ~/.cache/wandb>/artifacts/
        obj/md5/d4/1d8cd98f...                        files, where wandb has them too
        obj/etag/3f/29a8...                           what references have led to
        names/<entity>/<project>/<name>/<alias>.json  what was known under a name ("-": no entity yet)

Rule 1: what is in the cache is whole: a file gets its name when all of it is there.
Rule 2: everything in it may go at any time; who finds a file gone does as if it had never been there.
"""

from __future__ import annotations

import hashlib
import json
import os
from time import time
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import quote

from wandb import env
from wandb.internal.content_store import ContentStore, remove
from wandb.sdk.artifacts.checks import ArtifactPath

FORMAT = 1
NO_ENTITY = "-"
OLD_S = 24 * 3600.0  # a part of a file that nobody has written to for so long is no one's


def root() -> str:
    """Return the directory."""
    given = env.get("WANDB_CACHE_DIR")
    if given:
        base = os.path.abspath(os.path.expanduser(given))
    else:
        base = os.path.join(env.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "wandb")
    return os.path.join(base, "artifacts")


class Cleaned(NamedTuple):
    """What a cleanup has done: bytes and files that went, and what is left."""

    n_bytes: int
    n_files: int
    n_bytes_left: int


class ArtifactCache:
    """The cache below one directory; made with the first file.

    Attributes:
        files: The files.
    """

    def __init__(self, directory: Optional[str] = None) -> None:
        self.root = directory or root()
        self.files = ContentStore(os.path.join(self.root, "obj"))

    def etag_path(self, address: str, etag: str) -> str:
        """Return the place of what an address has led to, as wandb has it."""
        both = b"".join(hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (address, etag))
        name = hashlib.sha256(both).hexdigest()
        return os.path.join(self.files.root, "etag", name[:2], name[2:])

    # ---- names

    def remember(self, facts: Mapping[str, Any]) -> None:
        """Note what an artifact is known as: one file per alias, and for its version.

        Args:
            facts: As `Artifact._facts` returns them.

        Raises:
            OSError: It could not be written.
        """
        content = json.dumps({"format": FORMAT, "noted_at": time(), **facts}, separators=(",", ":"))
        directory = self._directory_of(facts["entity"], facts["project"], facts["collection"])
        os.makedirs(directory, exist_ok=True)
        for alias in {*facts["aliases"], *filter(None, [facts["version"]])}:
            path = os.path.join(directory, f"{quote(alias, safe='')}.json")
            scratch = f"{path}.{os.getpid()}.partial"
            try:
                with open(scratch, "w", encoding="utf-8") as file:
                    file.write(content)
                os.replace(scratch, path)
            except BaseException:
                remove(scratch)
                raise

    def recall(self, path: ArtifactPath, entity: str, project: str) -> Optional[Dict[str, Any]]:
        """Return what was noted of an artifact last; None if nothing was.

        Args:
            entity, project: Where it is looked for if its path does not say; no entity means any.
        """
        names = os.path.join(self.root, "names")
        wanted = path.entity or entity
        try:
            entities = [quote(wanted, safe=""), NO_ENTITY] if wanted else os.listdir(names)
        except OSError:
            return None
        inner = [quote(part, safe="") for part in (path.project or project, path.collection)]
        file = f"{quote(path.alias or 'latest', safe='')}.json"
        found = [_facts(os.path.join(names, one, *inner, file)) for one in entities]
        return max((one for one in found if one), key=lambda one: float(one["noted_at"]), default=None)

    def _directory_of(self, entity: str, project: str, collection: str) -> str:
        parts = [quote(part, safe="") for part in (entity or NO_ENTITY, project, collection)]
        return os.path.join(self.root, "names", *parts)

    # ---- size

    def clean(self, max_bytes: int, remove_parts: bool = False) -> Cleaned:
        """Remove what was used longest ago, until what is left takes `max_bytes` at most.

        Parts of files that nobody goes on with (a process was killed) go in any case.

        Args:
            remove_parts: Remove those too that somebody may be writing.
        """
        files: List[Tuple[float, int, str]] = []
        n_bytes = n_files = 0
        for path, status in self._all_files():
            if _is_part(path):
                if remove_parts or time() - status.st_mtime > OLD_S:
                    n_bytes, n_files = n_bytes + status.st_size, n_files + _removed(path)
                continue
            files.append((max(status.st_atime, status.st_mtime), status.st_size, path))
        left = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if left <= max_bytes:
                break
            if _removed(path):
                left, n_bytes, n_files = left - size, n_bytes + size, n_files + 1
        return Cleaned(n_bytes, n_files, left)

    def _all_files(self) -> Iterator[Tuple[str, os.stat_result]]:
        for top in (self.files.root, os.path.join(self.root, "tmp")):
            for directory, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(directory, name)
                    try:
                        yield path, os.stat(path, follow_symlinks=False)
                    except OSError:
                        continue  # somebody else cleans too


def _facts(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            facts: Dict[str, Any] = json.load(file)
        return facts if facts["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_part(path: str) -> bool:
    """Tell whether a file is one that was not complete when it was last written."""
    return "." in os.path.basename(path) or os.path.basename(os.path.dirname(path)) == "tmp"


def _removed(path: str) -> bool:
    try:
        os.unlink(path)
        return True
    except OSError:
        return False
