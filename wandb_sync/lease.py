"""Who may sync a run now: one file beside the log, `run-ID.wandb.lease`.

Correct without flock, which network file systems may not have.  The file comes into being by `link`, which is
atomic everywhere; it says who made it; the holder touches it from time to time.

Rule 1: a lease is stale if its process is dead for sure (same host), or if it was not renewed for ten
        minutes. Ages are differences of times that the file's own server has set: clocks of hosts may
        differ.
Rule 2: a stale lease is moved aside, never deleted in place: whoever moves it can see whether it was the
        stale one.
Rule 3: after a takeover the winner waits and looks again (as restic does) before it begins.  If several want
        a stale lease at the same moment, at most one gets it; it may be none.
        What a kill leaves of this goes with the next lease that is taken.
        A lease of our own process that nobody in it holds any more is stale too: its run directory was moved
        while it was held.
Rule 4: a holder that finds another lease in place of its own stops; every request can be sent twice, so even
        the moment in between harms nothing.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, Optional, Set, Type

from wandb.errors import LeaseHeld, SyncError
from wandb.processes import Life, ProcessId, life_of

STALE_AFTER_S = 600.0  # for holders of which nothing else is known; a living one renews far more often
RENEW_EVERY_S = 60.0
_ours: Set[str] = set()  # nonces of the leases that this process holds
SETTLE_S = 0.2  # after a takeover, for a rival who moved the same stale lease at the same moment


class Lease:
    """A context manager: holds the run while inside.

    Attributes:
        is_lost: Whether somebody else has taken it over, as far as `renew` has seen.

    Raises:
        LeaseHeld: Another syncer is at work on this run.
        SyncError: The lease file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.path = path
        self._sleep = sleep
        self._nonce = os.urandom(8).hex()
        self.is_lost = False

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lease; see the class for errors."""
        _ours.add(self._nonce)
        try:
            self._acquire()
        except BaseException:
            _ours.discard(self._nonce)
            raise

    def _acquire(self) -> None:
        temporary = self.path.with_name(f"{self.path.name}.{self._nonce}")
        body = {"nonce": self._nonce, "process": ProcessId.current().to_json(), "taken_at": time.time()}
        try:
            try:
                temporary.write_text(json.dumps(body), encoding="utf-8")
                self._tidy(temporary)
                if not self._put(temporary):
                    self._take_over(temporary)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
        except OSError as error:
            raise SyncError(
                f"{self.path}: cannot be written: {error.strerror}",
                hint="give --state-dir a directory that can be",
            ) from error

    def check(self) -> None:
        """Look only, where nothing can be written.

        Raises:
            LeaseHeld: Another syncer is at work on this run.
        """
        held = _read(self.path)
        if held is not None and not _is_stale(held, self.path, time.time):
            raise self._held(held)

    def renew(self) -> None:
        """Say that we are still at work: every RENEW_EVERY_S, from any thread.  May find it lost.

        A lease that cannot be read just now (a network file system's bad moment) is not lost.
        """
        held = _read(self.path)
        if held is None or held.get("nonce", self._nonce) != self._nonce:
            self.is_lost = True
            return
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        _ours.discard(self._nonce)
        held = _read(self.path)
        if held is not None and held.get("nonce") == self._nonce:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _put(self, temporary: Path) -> bool:
        """Make the lease file out of the temporary one; False if there is a lease already."""
        try:
            os.link(temporary, self.path)
            return True
        except FileExistsError:
            return False
        except OSError:
            pass
        # No hard links here.  Exclusive creation is the next best; it was not atomic on NFS before version 3.
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with open(fd, "wb") as file:
            file.write(temporary.read_bytes())
        return True

    def _take_over(self, temporary: Path) -> None:
        held = _read(self.path)
        if held is not None and not _is_stale(held, self.path, lambda: _servers_now_s(temporary)):
            raise self._held(held)
        aside = self.path.with_name(f"{self.path.name}.{self._nonce}.stale")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            pass  # its holder has just released it, or a rival was faster
        else:
            moved = _read(aside)
            if moved != held:
                # A rival's fresh lease: give it back.  If that fails it finds out by itself (rule 4).
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
                aside.unlink()
                raise self._held(moved)
            aside.unlink()
        if not self._put(temporary):
            raise self._held(_read(self.path))
        self._sleep(SETTLE_S)
        now = _read(self.path)
        if now is None or now.get("nonce") != self._nonce:
            # A rival has moved ours aside by mistake.  He will put it back, and then nobody must hold it.
            self._sleep(SETTLE_S)
            self.release()
            raise self._held(now)

    def _tidy(self, temporary: Path) -> None:
        """Remove what killed syncers have left of their taking this lease."""
        for path in temporary.parent.glob(glob.escape(self.path.name) + ".*"):
            with contextlib.suppress(OSError):
                # What a rival has just moved aside is old; that he moved it is not: the time of that counts.
                if path != temporary and _servers_now_s(temporary) - path.stat().st_ctime > STALE_AFTER_S:
                    path.unlink()

    def _held(self, held: Optional[Dict[str, Any]]) -> LeaseHeld:
        process = (held or {}).get("process") or {}
        who = f"process {process.get('pid', '?')} on {process.get('host', 'an unknown host')}"
        return LeaseHeld(
            f"{self.path.name.rsplit('.', 1)[0]}: {who} is syncing this run",
            hint=f"wait for it; if it is gone for good, delete {self.path}",
        )


def _is_stale(held: Dict[str, Any], path: Path, now_s: Callable[[], float]) -> bool:
    try:
        process = ProcessId(**held["process"])
        if process == ProcessId.current():
            return held.get("nonce") not in _ours
        life = life_of(process)
    except (KeyError, TypeError):
        life = Life.UNKNOWN
    if life is not Life.UNKNOWN:
        return life is Life.DEAD
    try:
        return now_s() - path.stat().st_mtime > STALE_AFTER_S
    except OSError:
        return False


def _servers_now_s(ours: Path) -> float:
    """Return what the file's server thinks the time is; `ours` is a file of ours."""
    os.utime(ours)
    return ours.stat().st_mtime


def _read(path: Path) -> Optional[Dict[str, Any]]:
    """Return what a lease says; None if there is none, an empty dict if it cannot be understood."""
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
