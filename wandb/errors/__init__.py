"""Every error that wandb-ng raises, in one tree; none is defined anywhere else.

    Error
    |-- UsageError                 the caller can fix the call; raised at once, in the caller's thread
    |   |-- ValidationError        a value that cannot become a record; names the key and the reason
    |   |   |-- MediaFileError     a file that a picture, sound ... is to be made of is not there
    |   |   `-- UnreadableFileError  a file of an artifact cannot be read, or changes meanwhile
    |   |-- MissingLibraryError    this value needs a library that is not installed
    |   |-- ConfigError            a change of a config value that was not allowed
    |   |-- ArtifactStatusError    what was asked of an artifact is not possible now
    |   |   |-- ArtifactNotLoggedError   only a server knows it
    |   |   `-- ArtifactFinalizedError   a logged artifact does not change
    |   |-- RunFinishedError       a call on a run that is finished
    |   |-- NeedsServerError       this call has no offline answer
    |   `-- UnsupportedError       a part of wandb that wandb-ng does not have
    |-- WaitTimeoutError           what was waited for has not happened in time
    |-- WandbCoreNotAvailableError never raised: there is no wandb-core here; scripts catch it
    |-- LogError                   a transaction log cannot be read or written
    |   |-- BadFileHeader          not a .wandb log, or a version that we do not read
    |   |-- RecordTooLarge         nothing was written
    |   |-- PackageMissing         the log is compressed, and zstandard is not installed
    |   `-- LogWriteError          disk full, gone or read-only; the log ends at its last whole record
    |-- CommError                  a server did not do what was asked
    |   |-- TransientError         worth another try, after `retry_after_s` if the server said so
    |   |-- Interrupted            not sent: somebody wants the syncer to stop
    |   `-- RejectedError          not worth another try; `status` is the HTTP status
    |       `-- AuthenticationError
    |-- PackError                  a pack cannot be made, or one of its runs not be unpacked
    |   |-- BadPack                damaged, cut off or hostile; nothing of it was written
    |   `-- PackGap                a pack that has to be unpacked before this one is missing
    `-- SyncError                  the syncer cannot go on with one run
        |-- CheckpointMismatch     the log under this checkpoint is another log
        |   `-- LogShrank          it is the same log, but shorter than what was uploaded of it
        |-- CheckpointUnreadable   the checkpoint file is damaged or of a newer version
        `-- LeaseHeld              another syncer works on this run

`Error`, `UsageError`, `UnsupportedError`, `CommError` and `AuthenticationError` carry the names that users of
wandb catch, and take the arguments that wandb's take; `wandb.errors.errors` and `wandb.errors.term` are where
wandb has them.  Not errors: a torn tail of a log (more may come) and damage inside it (counted, reported).

Rule: a message says what happened and where; `hint` says what to do about it.
"""

from __future__ import annotations

from typing import Any, Dict, Optional


class Error(Exception):
    """Base of everything wandb-ng raises.

    Attributes:
        message: What happened, and where.
        context: What whoever raised it knows beside; empty in ours.
        hint: What to do about it; None where the message says it all.
        exit_code: What the command line exits with when this error ends it.
    """

    exit_code = 1

    def __init__(
        self, message: str = "", context: Optional[Dict[str, Any]] = None, *, hint: Optional[str] = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.context = context or {}
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(Error):
    """The call is wrong; nothing was recorded."""

    exit_code = 2


class ValidationError(UsageError, TypeError, ValueError):
    """A value cannot be stored.

    It is a TypeError and a ValueError too, because wandb raises those and scripts catch them.

    Attributes:
        path: Where the value stands, e.g. `config.model.layers[3]`.
    """

    def __init__(self, path: str, reason: str, *, hint: Optional[str] = None) -> None:
        super().__init__(f"{path}: {reason}", hint=hint)
        self.path = path


class MediaFileError(ValidationError, FileNotFoundError):
    """The file that a media value is to be made of is not there, or is none.

    It is a FileNotFoundError too, because wandb raises that and scripts catch it.
    """


class MissingLibraryError(UsageError, ImportError):
    """A value needs a library that is not installed; `hint` says which extra brings it."""


class UnreadableFileError(ValidationError, OSError):
    """A file that is to become part of an artifact cannot be read, or changes while it is read.

    It is an OSError too, because wandb raises that and scripts catch it.
    """


class ArtifactStatusError(UsageError, AttributeError):
    """What was asked of an artifact is not possible now.

    It is an AttributeError too, because wandb raises that and scripts catch it.

    Attributes:
        name: The attribute or method.
    """

    def __init__(self, message: str = "", name: str = "", *, hint: Optional[str] = None) -> None:
        super().__init__(message, hint=hint)
        self.name = name


class ArtifactNotLoggedError(ArtifactStatusError):
    """Only a server knows it, once the artifact has been logged to one."""


class ArtifactFinalizedError(ArtifactStatusError):
    """A logged artifact does not change; nothing was done."""


class ConfigError(UsageError):
    """A config value was set already and may not be changed (or the config cannot be read)."""


class RunFinishedError(UsageError):
    """The run is finished; the call was ignored."""


class NeedsServerError(UsageError):
    """The call needs a server's answer and there is none offline."""


class UnsupportedError(UsageError):
    """wandb has this, and wandb-ng does not."""


class WandbCoreNotAvailableError(Error):
    """wandb's own binary is missing.  Never raised, for there is none here; scripts name it to catch it."""


class WaitTimeoutError(Error):
    """What was waited for has not happened in time; it may happen yet."""


class ArtifactNotHereError(NeedsServerError, TypeError):
    """An artifact, or a file of one, is not on this machine, and there is no server to ask.

    It is a TypeError too, because wandb raises that offline and scripts catch it.
    """


class LogError(Error):
    """A transaction log cannot be read or written."""


class BadFileHeader(LogError):
    """The file is not a .wandb log, or its version is unknown."""


class RecordTooLarge(LogError):
    """The record exceeds the limit; nothing was written."""


class PackageMissing(LogError):
    """A package is needed for compressed logs, and is not installed."""


class LogWriteError(LogError):
    """The log could not be written; it ends at its last whole record and stays readable."""


class CommError(Error):
    """A server did not do what was asked of it.

    Attributes:
        exc: The error that is behind it, if there is one.
    """

    def __init__(self, msg: str = "", exc: Optional[Exception] = None, *, hint: Optional[str] = None) -> None:
        super().__init__(msg, hint=hint)
        self.exc = exc


class TransientError(CommError):
    """The request failed in a way that may pass: connection, time-out, 408, 429, 5xx.

    Attributes:
        retry_after_s: What the server asked to wait, in seconds; None if it did not say.
    """

    exit_code = 5

    def __init__(
        self,
        msg: str = "",
        exc: Optional[Exception] = None,
        *,
        retry_after_s: Optional[float] = None,
        status: Optional[int] = None,
        hint: Optional[str] = None,
    ) -> None:
        super().__init__(msg, exc, hint=hint)
        self.retry_after_s = retry_after_s
        self.status = status


class Interrupted(CommError):
    """The request was not sent, for somebody wants us to stop; the same command goes on from there."""

    exit_code = 130


class RejectedError(CommError):
    """The server refused the request for good.

    Attributes:
        status: The HTTP status, or 200 for a GraphQL error.
    """

    exit_code = 7

    def __init__(
        self, msg: str = "", exc: Optional[Exception] = None, *, status: int = 0, hint: Optional[str] = None
    ) -> None:
        super().__init__(msg, exc, hint=hint)
        self.status = status


class AuthenticationError(RejectedError):
    """The API key is missing or was refused."""

    exit_code = 6


class PackError(Error):
    """A pack cannot be made, or a run of it cannot be unpacked; what was there before is as it was."""


class BadPack(PackError):
    """The pack is damaged, cut off, of a newer version or hostile; nothing of it was written."""


class PackGap(PackError):
    """A pack that has to be unpacked before this one is missing; nothing of the run was written."""


class SyncError(Error):
    """The syncer cannot go on with one run; the others are not affected."""


class CheckpointMismatch(SyncError):
    """The log is not the one that the checkpoint was written for."""


class LogShrank(CheckpointMismatch):
    """The log is shorter than what was uploaded of it: something has been cut off."""


class CheckpointUnreadable(SyncError):
    """The checkpoint file is damaged or of a newer version."""


class LeaseHeld(SyncError):
    """Another syncer is at work on this run."""

    exit_code = 9
