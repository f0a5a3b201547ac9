"""`wandb.Run`: one run, from `wandb.init()` to `finish()`.

Rule 1: every public call is guarded: UsageError passes, anything else is told once and training goes on.
Rule 2: after `finish()` every call that would record raises RunFinishedError; what was recorded stays
        readable.
Rule 3: the log is that of the process that opened it.  A forked child, a process that unpickles the run, or
        that says `attach`, has a side log of its own from its first record on (decision 0010).
"""

from __future__ import annotations

import os
import sys
from functools import partial
from time import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NoReturn,
    Optional,
    Sequence,
    TextIO,
    Tuple,
    Type,
    Union,
)

from wandb.backend.base import Backend
from wandb.backend.side import SideBackend
from wandb.errors import (
    LogError,
    LogWriteError,
    NeedsServerError,
    RunFinishedError,
    UsageError,
    ValidationError,
)
from wandb.interface import records
from wandb.interface.console_lines import ConsoleLines
from wandb.interface.values import Path, kind_name
from wandb.internal import names
from wandb.internal.environment import writer_identity
from wandb.internal.exit_hooks import EXIT_CODE_SIGNAL, ExitHooks, code_of
from wandb.internal.observers import Observers
from wandb.internal.program import Program, code_path
from wandb.internal.run_files import RunFiles
from wandb.sdk import code_files
from wandb.sdk.beginning import Earlier, in_job
from wandb.sdk.guard import Guard, guarded
from wandb.sdk.run_status import RunStatus, run_status
from wandb.sdk.run_directory import RunDirectory, log_name, open_log, run_files
from wandb.sdk.wandb_config import Config
from wandb.sdk.wandb_history import History
from wandb.sdk.wandb_metric import Metric, parse_definition
from wandb.sdk.wandb_settings import check
from wandb.sdk.wandb_summary import Summary
from wandb.term import shows_info, termlog, termwarn

if TYPE_CHECKING:
    from wandb.framework.pytorch.layers import TorchGraph
    from wandb.framework.pytorch.watcher import Watcher
    from wandb.jupyter import Notebook
    from wandb.live_file import News
    from wandb.sdk.artifacts.artifact import Artifact
    from wandb.sdk.event_watch import EventWatch
    from wandb.sdk.online import Online
    from wandb.sdk.wandb_artifacts import RunArtifacts
    from wandb.sdk.wandb_media import RowMedia

ALERT_LEVELS = ("INFO", "WARN", "ERROR")
DEFAULT_ALERT_WAIT_S = 60.0  # as in wandb
MAX_SUMMARY_LINES = 10  # printed at the end of a run

# What media say in the config, below `_wandb`; the rest there is the uploader's.
NOTED = ("visualize", "viz", "mask/class_labels", "bounding_box/class_labels")

# What a scheduler sends when it is about to take the machine away; in numbers, as `signal` takes long to
# import.
SIGTERM, SIGUSR1 = 15, 10
_PREEMPTED = (EXIT_CODE_SIGNAL + SIGTERM, EXIT_CODE_SIGNAL + SIGUSR1)

# TelemetryRecord.Feature fields that say which parts of the API a run used.
_SET_AFTER_INIT = {"name": "set_run_name", "tags": "set_run_tags"}


class RunIdentity:
    """What a run is called and where it belongs; the fields of RunRecord that the user chooses."""

    __slots__ = (
        "run_id",
        "project",
        "entity",
        "name",
        "notes",
        "tags",
        "group",
        "job_type",
        "sweep_id",
    )

    def __init__(
        self,
        run_id: str,
        project: str,
        entity: str = "",
        name: Optional[str] = None,
        notes: Optional[str] = None,
        tags: Tuple[str, ...] = (),
        group: str = "",
        job_type: str = "",
        sweep_id: Optional[str] = None,
    ) -> None:
        self.run_id = run_id
        self.project = project
        self.entity = entity
        self.name = name
        self.notes = notes
        self.tags = tags
        self.group = group
        self.job_type = job_type
        self.sweep_id = sweep_id

    @classmethod
    def from_record(cls, fields: Mapping[str, Any]) -> RunIdentity:
        """Return what the fields of a RunRecord say."""
        return cls(
            run_id=fields.get("run_id", ""),
            project=fields.get("project", ""),
            entity=fields.get("entity", ""),
            name=fields.get("display_name"),
            notes=fields.get("notes"),
            tags=tuple(fields.get("tags", ())),
            group=fields.get("run_group", ""),
            job_type=fields.get("job_type", ""),
            sweep_id=fields.get("sweep_id"),
        )

    def record_fields(self) -> Dict[str, Any]:
        """Return the fields of a RunRecord; `from_record` takes them."""
        return {
            "run_id": self.run_id,
            "project": self.project,
            "entity": self.entity,
            "display_name": self.name,
            "notes": self.notes,
            "tags": self.tags,
            "run_group": self.group,
            "job_type": self.job_type,
            "sweep_id": self.sweep_id,
        }


class Run:
    """A run that records.  Made by `wandb.init()`, never directly.

    Attributes that are documented without an underscore are the interface; setting any other raises.
    """

    def __init__(
        self,
        identity: RunIdentity,
        backend: Backend,
        directory: Optional[RunDirectory],
        *,
        settings: Any,
        start_time: float,
        run_fields: Mapping[str, Any],
        telemetry: Mapping[str, Any],
        temporary_dir: str,
        on_finished: Callable[[Run], None],
        earlier: Optional[Earlier] = None,
        starting_step: int = 0,
        guard: Optional[Guard] = None,
        is_side: bool = False,
        files: Optional[RunFiles] = None,
    ) -> None:
        """Put together a run; `wandb.sdk.wandb_init` opens it.

        Args:
            directory: None if nothing is on disk (disabled mode).
            start_time: Seconds since the epoch.
            run_fields: What else goes into each RunRecord (host, git, writer ...).
            telemetry: The first TelemetryRecord's fields.
            temporary_dir: What `dir` answers when there is no directory.
            earlier: What the run's earlier segments have come to.
            starting_step: Of the first row.
            guard: Whom the backend tells of trouble too.
            is_side: The log is a side log; see decision 0010.
            files: Takes the run's files, if there is a directory.
        """
        self._is_side = is_side
        self._own_log = "" if directory is None else directory.log  # which this process writes
        self._guard = guard or Guard()
        self._identity = identity
        self._backend = backend
        self._directory = directory
        self._settings = settings
        self._start_time = start_time
        self._run_fields = dict(run_fields)
        self._telemetry = {**telemetry, "feature": dict(telemetry.get("feature", {}))}
        self._temporary_dir = temporary_dir
        self._on_finished = on_finished
        earlier = earlier or Earlier()
        self._earlier = earlier
        notes = earlier.config.pop("_wandb", {})
        self._notes = {name: notes[name] for name in NOTED if isinstance(notes.get(name), dict)}
        self._media: Optional[RowMedia] = None
        self._artifacts: Optional[RunArtifacts] = None
        self._starting_step = starting_step
        self._summary_state = earlier.summary
        self._history = History(
            backend,
            self._summary_state,
            earlier.metrics,
            self._warn_once,
            self._describe,
            media=None if directory is None else self._row_media,
            starting_step=starting_step,
            runtime_s=earlier.runtime_s,
            n_lines=earlier.n_history,
            late_rows=earlier.n_late_history,
            is_side=is_side,
        )
        self._runtime_zero = time() - self._history.runtime_s()  # for forked children too: it is one clock
        self._summary = Summary(
            self._summary_state,
            self._record_summary,
            lambda: self._history.own_values(),
            failed=self._guard.handle,
            store=None if directory is None else self._store_in_summary,
        )
        self._log: Callable[..., None] = self._history.log  # until the run is closed
        self._config = Config(
            warn=termwarn,
            failed=self._guard.handle,
            allow_val_change=bool(settings.allow_val_change or settings._jupyter),
        )
        self._observers: Optional[Observers] = None
        self._exit_hooks: Optional[ExitHooks] = None
        self._closed = ""
        self._exit_code: Optional[int] = None
        self._online: Optional[Online] = None
        self._event_watch: Optional[EventWatch] = None
        self._notebook: Optional[Notebook] = None
        self._url = ""
        self._files = files
        self._watcher: Optional[Watcher] = None

    # ---- recording

    def log(
        self,
        data: Dict[str, Any],
        step: Optional[int] = None,
        commit: Optional[bool] = None,
        sync: Optional[bool] = None,
    ) -> None:
        """Record a row of history: a dict of keys and what they are now.

        When this returns, the row is in the operating system's hands: it survives a kill of the process.

        Args:
            data: Keys to numbers, texts, lists, nested dicts of them, numpy and torch values, media.
            step: The row's step.  Calls with the same step make one row; steps only grow.
            commit: Whether the row is complete.  Default: yes, unless `step` is given.
            sync: Accepted for old scripts, and of no meaning.

        Raises:
            ValidationError: A key or a value cannot be stored; nothing was recorded.
            RunFinishedError: The run is finished.
        """
        try:
            self._log(data, step, commit)
        except UsageError:
            raise
        except Exception as error:
            self._guard.handle("log", error)

    def define_metric(
        self,
        name: str,
        step_metric: Union[str, Metric, None] = None,
        step_sync: Optional[bool] = None,
        hidden: Optional[bool] = None,
        summary: Optional[str] = None,
        overwrite: Optional[bool] = None,
        goal: Optional[str] = None,
    ) -> Metric:
        """Say how a metric is to be shown and summarised.

        Args:
            name: The metric, or all that begin alike: "val/*".
            step_metric: The metric that is its horizontal axis.
            step_sync: Add the axis' last value to rows that lack it.  Default: if there is an axis.
            hidden: Leave it out of automatic plots.
            summary: Comma-separated kinds: min, max, mean, best, last, first, none, copy.
            overwrite: Replace an earlier definition instead of adding to it.
            goal: minimize or maximize, for "best".

        Raises:
            Error: An argument has no meaning.
        """
        metric = parse_definition(name, step_metric, step_sync, hidden, summary, goal, overwrite)
        if self._closed:
            self._refuse("define_metric")
        self._used("metric")
        self._guarded("define_metric", self._history.define, metric, bool(overwrite))
        return metric

    @guarded("alert")
    def alert(self, title: str, text: str, level: Any = None, wait_duration: Any = None) -> None:
        """Have the server send a message once the run is synced.

        Args:
            level: INFO (default), WARN or ERROR.
            wait_duration: Seconds (or a timedelta) in which no second message of this title is sent.

        Raises:
            ValueError: The level is none of these.
        """
        name = str(getattr(level, "value", level) or "INFO").upper()
        if name not in ALERT_LEVELS:
            raise ValidationError("alert: level", f"{level!r} is none of {', '.join(ALERT_LEVELS)}")
        seconds = DEFAULT_ALERT_WAIT_S if wait_duration is None else wait_duration
        try:
            seconds = seconds.total_seconds() if hasattr(seconds, "total_seconds") else float(seconds)
        except (TypeError, ValueError):
            raise ValidationError("alert: wait_duration", f"{wait_duration!r} is no number") from None
        self._append("alert", records.alert(str(title), str(text), name, int(seconds * 1000)))

    @guarded("watch", default=[])
    def watch(
        self,
        models: Any,
        criterion: Any = None,
        log: Optional[str] = "gradients",
        log_freq: int = 1000,
        idx: Optional[int] = None,
        log_graph: bool = False,
    ) -> List[TorchGraph]:
        """Record histograms of a PyTorch model while it trains, and its layers.

        They are parts of the row that the next `log()` ends: `gradients/<parameter>` and
        `parameters/<parameter>`; of the second model and those after it, `gradients/graph_1<parameter>`.

        Args:
            models: A torch.nn.Module, or several in a list.
            criterion: Kept with the graph.
            log: "gradients", "parameters", "all", or None.
            log_freq: Record every so many backward passes (gradients) or forward passes (parameters).
            idx: The number of the first model.  Default: how many this run watches already.
            log_graph: Put the layers into the summary, as `graph_0`, once they have run.

        Returns:
            The graphs, which fill when the models run.

        Raises:
            TypeError: A model is none.
            ValueError: An argument has no meaning, or the model's keys are recorded already.
            MissingLibraryError: torch is not installed.
        """
        if self._closed:
            self._refuse("watch")
        if self.disabled:
            return []
        if self._watcher is None:
            from wandb.framework.pytorch.watcher import Watcher

            self._watcher = Watcher(partial(self.log, commit=False), self._summary, self._guard.handle)
        self._used("watch")
        return self._watcher.watch(models, criterion, log, log_freq, idx, log_graph)

    @guarded("unwatch")
    def unwatch(self, models: Any = None) -> None:
        """Stop what `watch` began, for a model, several in a list, or all; the end of the run does, too."""
        if self._watcher is not None:
            self._watcher.unwatch(models)

    @guarded("mark_preempting")
    def mark_preempting(self) -> None:
        """Say that the scheduler is about to take the machine away, so that an end soon is no failure."""
        self._append("mark_preempting", records.preempting())

    @guarded("write_logs")
    def write_logs(self, text: str) -> None:
        """Add a line to the run's console output without printing it."""
        text = str(text)
        with self._backend.lock:
            self._append("write_logs", records.output_line(text if text.endswith("\n") else text + "\n"))
            self._earlier.console.add_lines(text)

    @guarded("pin_config_keys")
    def pin_config_keys(self, keys: Sequence[str] = ()) -> None:
        """Have keys of the config shown at the top of the run's page, in this order, instead of others.

        Raises:
            ValidationError: `keys` is no sequence of names.
        """
        if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
            raise ValidationError("pin_config_keys: keys", "wants a list of names")
        self._append("pin_config_keys", records.config({("_wandb", "pinned_keys"): list(keys)}))

    def restore(
        self, name: str, run_path: Optional[str] = None, replace: bool = False, root: Optional[str] = None
    ) -> Optional[TextIO]:
        """Get a file that was kept with this run, or with another one; see `wandb.restore`."""
        from wandb.sdk.wandb_restore import restore_for

        return restore_for(self, name, run_path, replace, root)

    @guarded("save", default=[])
    def save(
        self,
        glob_str: Union[str, os.PathLike[str], None] = None,
        base_path: Union[str, os.PathLike[str], None] = None,
        policy: str = "live",
        glob: bool = True,
    ) -> Union[bool, List[str]]:
        """Keep files with the run; they are uploaded when it is synced.

        Args:
            glob_str: A path or a pattern; directories are taken whole.
            base_path: What the file's place in the run is relative to.  Default: the working directory;
                for an absolute path, the directory above the one that the path ends in.
            policy: "now" keeps the content of this moment, "live" and "end" that of the end of the run.
            glob: Whether `glob_str` may be a pattern.

        Returns:
            The paths below `run.dir`; [] if nothing matches or the path is a bucket's.  With `bundle_files`
            they are those that the files will have when they are unpacked.

        Raises:
            ValueError: The policy is none of the three.
            UsageError: A file lies outside of `base_path`, or the path is `base_path` itself.
        """
        from wandb.internal import saved_files

        if glob_str is None:
            return True
        if not isinstance(glob_str, (str, bytes, os.PathLike)):
            raise ValidationError("save", f"{kind_name(glob_str)} is no path")
        pattern = os.fsdecode(glob_str)
        if policy not in saved_files.POLICIES:
            raise ValidationError(
                "save", f"Only 'live' 'now' and 'end' policies are currently supported, not {policy!r}"
            )
        if pattern.startswith(("gs://", "s3://")):
            termwarn(f"{pattern} is a cloud storage url, can't save file to wandb.")
            return []
        if self._closed:
            self._refuse("save")
        if self._files is None:
            return []
        runs = "" if self._directory is None else os.path.dirname(self._directory.path)
        given_base = None if base_path is None else os.fspath(base_path)
        base, sources = saved_files.select(pattern, given_base, glob, runs)
        if glob and not sources and os.path.lexists(pattern):
            termwarn(
                f"save: {pattern} matches nothing as a pattern, but is a file: call save() with glob=False"
            )
        placed: List[str] = []
        for source in sources:
            name = os.path.relpath(source, base)
            if self._files.keep("save", source, name, saved_files.POLICIES[policy]):
                placed.append(os.path.join(self._files.directory, name))
        return placed

    def log_artifact(
        self,
        artifact_or_path: Union[Artifact, str, os.PathLike[str]],
        name: Optional[str] = None,
        type: Optional[str] = None,
        aliases: Union[str, Sequence[str], None] = None,
        tags: Union[str, Sequence[str], None] = None,
    ) -> Artifact:
        """Keep files as an output of the run, as a new version of an artifact if they are new.

        When this returns, the files are in the run directory, and the record of it in the log.

        Args:
            artifact_or_path: An artifact; or a file, a directory or an address that becomes one.
            name: The artifact's.  Default: `run-<id>-` and the last part of the path.
            type: The artifact's, e.g. "dataset" or "model".
            aliases: Names of this version; "latest" is always one.
            tags: Tags of this version.

        Returns:
            The artifact, which does not change any more.

        Raises:
            ValidationError: An argument is wrong; nothing was recorded.
        """
        return self._log_artifact("log_artifact", artifact_or_path, name, type, aliases, tags)

    def upsert_artifact(
        self,
        artifact_or_path: Union[Artifact, str, os.PathLike[str]],
        name: Optional[str] = None,
        type: Optional[str] = None,
        aliases: Union[str, Sequence[str], None] = None,
        distributed_id: Optional[str] = None,
    ) -> Artifact:
        """Add files to an artifact that several runs make together; `finish_artifact` ends it.

        Args:
            distributed_id: What these runs share.  Default: their group.

        Raises:
            TypeError: There is neither a group nor a `distributed_id`.
        """
        shared = self._distributed_id("upsert", distributed_id)
        return self._log_artifact(
            "upsert_artifact",
            artifact_or_path,
            name,
            type,
            aliases,
            distributed_id=shared,
            finalize=False,
        )

    def finish_artifact(
        self,
        artifact_or_path: Union[Artifact, str, os.PathLike[str]],
        name: Optional[str] = None,
        type: Optional[str] = None,
        aliases: Union[str, Sequence[str], None] = None,
        distributed_id: Optional[str] = None,
    ) -> Artifact:
        """Add the last files to an artifact that several runs make together.

        Args, Raises: As of `upsert_artifact`.
        """
        shared = self._distributed_id("finish", distributed_id)
        return self._log_artifact(
            "finish_artifact", artifact_or_path, name, type, aliases, distributed_id=shared
        )

    def use_artifact(
        self,
        artifact_or_name: Union[str, Artifact],
        type: Optional[str] = None,
        aliases: Union[str, Sequence[str], None] = None,
        use_as: Optional[str] = None,
    ) -> Artifact:
        """Say that an artifact is an input of the run, and return it.

        Offline it is what was recorded on this machine under that name, or is in the cache; the log says what
        was meant and what was found.

        Args:
            artifact_or_name: "name:alias" or "name:v3", with "project/" or "entity/project/" before it; or an
                artifact, which is logged if it was not.
            type: What its type has to be.
            aliases: Of an artifact that was not logged.
            use_as: Without effect, as in wandb.

        Raises:
            ArtifactNotHereError: It is not on this machine, and there is no server to ask.
            ValidationError: It is of another type, or the name is none.
        """
        if use_as is not None:
            termwarn(
                "`use_as` argument is deprecated and does not affect the behaviour of `run.use_artifact`"
            )
        if self._closed:
            self._refuse("use_artifact")
        from wandb.sdk.artifacts.artifact import Artifact

        run_artifacts = self._run_artifacts()
        if isinstance(artifact_or_name, Artifact):
            artifact = artifact_or_name
            if artifact.is_draft() and not artifact._is_recorded:
                return self._log_artifact(
                    "use_artifact",
                    artifact,
                    None,
                    None,
                    aliases,
                    user_created=True,
                    use_after_commit=True,
                )
            if run_artifacts is not None:
                self._guarded("use_artifact", run_artifacts.record_use, artifact)
            return artifact
        if run_artifacts is None:
            raise NeedsServerError("use_artifact: a disabled run uses nothing")
        return run_artifacts.use(artifact_or_name, type)

    def link_artifact(
        self, artifact: Artifact, target_path: str, aliases: Union[str, Sequence[str], None] = None
    ) -> Artifact:
        """Have an artifact stand in another collection too, e.g. of a registry, once the run is synced.

        Args:
            artifact: It is logged first, if it was not.
            target_path: "[[entity/]project/]collection"; a registry is "wandb-registry-<name>".
            aliases: Names of the version in that collection.

        Raises:
            ValidationError: The path or an alias is none.
        """
        from wandb.sdk.artifacts import checks

        target = checks.ArtifactPath.parse(target_path)
        found = checks.texts("aliases", aliases)
        if self._closed:
            self._refuse("link_artifact")
        if artifact.is_draft() and not artifact._is_recorded:
            self._log_artifact("link_artifact", artifact, None, None, None)
        run_artifacts = self._run_artifacts()
        if run_artifacts is not None:
            self._guarded("link_artifact", run_artifacts.link, artifact, target, found)
        return artifact

    def log_model(
        self,
        path: Union[str, os.PathLike[str]],
        name: Optional[str] = None,
        aliases: Union[str, Sequence[str], None] = None,
    ) -> None:
        """Keep files as an artifact of type "model"; see `log_artifact`."""
        self._log_artifact("log_model", path, name, "model", aliases)

    def use_model(self, name: str) -> str:
        """Use an artifact whose type has "model" in it, and return the path of its file, or of its directory.

        Raises:
            AssertionError: It is of another type.
            ArtifactNotHereError: As of `use_artifact`.
        """
        artifact = self.use_artifact(name)
        if "model" not in artifact.type.lower():
            raise AssertionError(
                "You can only use this method for 'model' artifacts. For an artifact to be a 'model' "
                "artifact, its type property must contain the substring 'model'."
            )
        path = artifact.download()
        names = os.listdir(path)
        return os.path.join(path, names[0]) if len(names) == 1 else path

    def link_model(
        self,
        path: Union[str, os.PathLike[str]],
        registered_model_name: str,
        name: Optional[str] = None,
        aliases: Union[str, Sequence[str], None] = None,
    ) -> Optional[Artifact]:
        """Keep files as an artifact of type "model" and link that to a registered model.

        Args:
            registered_model_name: A name, without entity and project.

        Raises:
            AssertionError: It is a path.
        """
        if "/" in registered_model_name:
            raise AssertionError(
                "Please provide only the name of the registered model. Do not append the entity or project "
                "name."
            )
        artifact = self._log_artifact("link_model", path, name, "model", None)
        place = [self.entity] if self.entity else []
        return self.link_artifact(
            artifact, "/".join([*place, "model-registry", registered_model_name]), aliases
        )

    def log_code(
        self,
        root: Optional[str] = ".",
        name: Optional[str] = None,
        include_fn: Callable[..., bool] = code_files.is_code,
        exclude_fn: Callable[..., bool] = code_files.is_below_runs,
    ) -> Optional[Artifact]:
        """Keep the code that is there now, as an artifact of type "code".

        Args:
            root: The directory that is looked through.
            name: The artifact's.  Default: after the project and the program.
            include_fn: Called with a path (and, if it takes two, the root): whether it is code.  Default:
                *.py, requirements.txt and Dockerfiles.
            exclude_fn: As `include_fn`, for what is left out.  Default: what runs have recorded.

        Returns:
            The artifact; None if there is no code.

        Raises:
            ValidationError: The root is no directory, or the name is none for an artifact.
            UnreadableFileError: A file cannot be read; nothing was recorded.
        """
        if self._closed:
            self._refuse("log_code")
        files = [] if root is None else code_files.collect(root, include_fn, exclude_fn)
        if not files:
            termwarn(f"log_code: no file below {root} is code. No code will be logged to your run.")
            return None
        program = self._settings.program_relpath
        artifact = code_files.artifact(name, self.project, str(program), files)
        self._log_artifact("log_code", artifact, None, None, None)
        self._append("log_code", records.config({("_wandb", "code_path"): artifact.name}))
        return artifact

    @guarded("finish")
    def finish(self, exit_code: Optional[int] = None, quiet: Optional[bool] = None) -> None:
        """End the run: what waits is written, the log is closed.  A second call does nothing.

        Args:
            exit_code: 0 (default) for success.
            quiet: Print nothing.

        Raises:
            ValidationError: The exit code is none; the run goes on.
            LogWriteError: With on_error="raise": the log does not have all of it.  The run is finished.
        """
        if self._closed:
            return
        code = checked_exit_code(exit_code)
        if exit_code is None and self._exit_hooks is not None:
            code = self._exit_hooks.exit_code or 0  # sys.exit(n) is under way
        if self._observers is not None:
            self._guarded("finish", self._observers.stop)
        self.unwatch()
        if self._event_watch is not None:
            self._guarded("finish", self._history.flush)  # the user's row is none of theirs
            self._guarded("finish", self._event_watch.finish)
        if self._notebook is not None:
            self._guarded("finish", self._notebook.finish)
        self._exit_code = code
        failure: Optional[LogWriteError] = None
        # Each step on its own: what one cannot do, the next still should.
        for step in (
            self._history.flush,
            self._settle_files,
            self._backend.ending,
            *self._last_records(code),
            self._backend.close,
        ):
            try:
                self._guarded("finish", step)
            except LogWriteError as error:
                failure = failure or error
        self._close("is finished")
        if self._exit_hooks is not None:
            self._exit_hooks.uninstall()
        self._compress_log()
        self._on_finished(self)
        if not quiet and self._directory is not None and not self._is_side:
            self._print_end(self._directory.path)
        if self._online is not None:
            self._guarded("finish", self._online.finish, code in _PREEMPTED, bool(quiet))
        if failure is not None:
            raise failure

    join = finish

    # ---- what the run is

    @property
    def config(self) -> Config:
        """What the run was started with."""
        return self._config

    @property
    def config_static(self) -> Mapping[str, Any]:
        """A copy of the config that cannot be changed."""
        from types import MappingProxyType

        return MappingProxyType(self._config.as_dict())

    @property
    def summary(self) -> Summary:
        """The last word on each metric."""
        return self._summary

    @property
    def settings(self) -> Any:
        """The settings the run was opened with; they cannot be changed any more."""
        return self._settings

    @property
    def id(self) -> str:
        """The identifier, unique within the project."""
        return self._identity.run_id

    @property
    def name(self) -> Optional[str]:
        """The name people see; None until the user or the server gives one.  Setting it is recorded."""
        return self._identity.name

    @name.setter
    def name(self, value: Optional[str]) -> None:
        self._rename(name=check("run_name", value, "run.name"))

    @property
    def notes(self) -> Optional[str]:
        """Free text.  Setting it is recorded."""
        return self._identity.notes

    @notes.setter
    def notes(self, value: Optional[str]) -> None:
        self._rename(notes=check("run_notes", value, "run.notes"))

    @property
    def tags(self) -> Tuple[str, ...]:
        """The tags.  Setting them is recorded; a single str is one tag."""
        return self._identity.tags

    @tags.setter
    def tags(self, value: Union[str, Sequence[str], None]) -> None:
        self._rename(tags=check("run_tags", value, "run.tags") or ())

    @property
    def project(self) -> str:
        """The project."""
        return self._identity.project

    def project_name(self) -> str:
        """Return the project, as `project`."""
        return self.project

    @property
    def entity(self) -> str:
        """The user or team; empty until the server decides."""
        return self._identity.entity

    @property
    def group(self) -> str:
        """The group of runs it belongs to, or ""."""
        return self._identity.group

    @property
    def job_type(self) -> str:
        """What kind of work it is, or ""."""
        return self._identity.job_type

    @property
    def sweep_id(self) -> Optional[str]:
        """The sweep it belongs to."""
        return self._identity.sweep_id

    @property
    def path(self) -> str:
        """ "entity/project/id", without the entity where there is none yet."""
        return "/".join(part for part in (self.entity, self.project, self.id) if part)

    @property
    def url(self) -> Optional[str]:
        """The address of the run's page; None while no server is known to have it."""
        return self._url or None

    @property
    def project_url(self) -> Optional[str]:
        """The address of the project's page; None as `url`."""
        return self._url.rpartition("/runs/")[0] or None

    @property
    def sweep_url(self) -> Optional[str]:
        """The address of the sweep's page; None as `url`, or without a sweep."""
        return f"{self.project_url}/sweeps/{self.sweep_id}" if self._url and self.sweep_id else None

    def get_url(self) -> Optional[str]:
        """Return `url`."""
        return self.url

    def get_project_url(self) -> Optional[str]:
        """Return `project_url`."""
        return self.project_url

    def get_sweep_url(self) -> Optional[str]:
        """Return `sweep_url`."""
        return self.sweep_url

    @property
    def dir(self) -> str:
        """The directory whose files are uploaded with the run."""
        return self._temporary_dir if self._directory is None else self._directory.files

    @property
    def sync_dir(self) -> str:
        """The run directory."""
        return self._temporary_dir if self._directory is None else self._directory.path

    @property
    def start_time(self) -> float:
        """When the run began, in seconds since the epoch."""
        return self._start_time

    @property
    def step(self) -> int:
        """The step of the next row."""
        return self._history.step

    @property
    def starting_step(self) -> int:
        """The step the run began at; behind the last row of the earlier segment, if it goes on from one."""
        return self._starting_step

    @property
    def resumed(self) -> bool:
        """Whether the run goes on from an earlier segment."""
        return bool(self._run_fields.get("resumed"))

    @property
    def offline(self) -> bool:
        """Whether the run is recorded without a server."""
        return self._settings.mode in ("offline", "dryrun")

    @property
    def disabled(self) -> bool:
        """Whether nothing is recorded."""
        return self._directory is None

    @property
    def mode(self) -> str:
        """online, offline or disabled."""
        return str(self._settings.mode)

    def status(self) -> RunStatus:
        """Return how much of the log has reached the server; offline, none of it has.

        Raises:
            RunFinishedError: The run is finished.
        """
        if self._closed:
            self._refuse("status")
        return RunStatus() if self._directory is None else run_status(self._directory.log)

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """Return HTML that shows the run's page, or its name and directory while no server has it.

        Args:
            height: Of the page, in pixels.
            hidden: Show a button first.
        """
        from html import escape

        hide = "display:none;" if hidden else ""
        style = f"border:none;width:100%;height:{height}px;{hide}"
        if self.url:
            shown = f'<iframe src="{escape(self.url)}?jupyter=true" style="{style}"></iframe>'
        else:
            text = f"Run {self.name or self.id} is recorded in {self.sync_dir}"
            shown = f'<div style="{hide}">{escape(text)}</div>'
        if not hidden:
            return shown
        open_it = "this.nextSibling.style.display='block';this.style.display='none';"
        return f'<button onClick="{open_it}">Display W&amp;B run</button>{shown}'

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Show the run in a notebook; see `to_html`.

        Returns:
            Whether this is a notebook that shows it.
        """
        if self._settings.silent or not self._settings._jupyter:
            return False
        from importlib import import_module  # of what only notebooks have

        display = import_module("IPython.display")
        display.display(display.HTML(self.to_html(height, hidden)))
        return True

    # ---- Python's own protocols

    def _repr_html_(self) -> str:
        return self.to_html(hidden=True)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Any, trace: Any) -> None:
        self.finish(None if kind is None else exit_code_of(kind, error))

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in ("name", "notes", "tags"):
            raise AttributeError(f"Attribute {name} is not supported on Run object.")
        object.__setattr__(self, name, value)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def __copy__(self) -> Run:
        return self

    def __deepcopy__(self, memo: Any) -> Run:
        return self  # there is one run, however often what holds it is copied

    def __reduce__(self) -> Any:
        directory = self._directory
        state = {
            "who": {name: value for name, value in self._identity.record_fields().items() if value},
            "config": self._config.as_dict(),
            "summary": self._summary._as_dict(),
            "directory": None if directory is None else (directory.path, directory.log, directory.files),
            "start_time": self._start_time,
            "runtime": self._run_fields.get("runtime", 0),
            "runtime_zero": self._runtime_zero,
            "step": self.step,
            "mode": self.mode,
        }
        return _unpickled, (state,)

    def __repr__(self) -> str:
        return f"<wandb.Run {self.path} {self._closed or 'recording'}>"

    # ---- for other libraries: Lightning, transformers

    @property
    def _attach_id(self) -> str:
        return self.sync_dir  # wandb._attach in another process takes it

    def _label(self, repo: Optional[str] = None, code: Optional[str] = None, **more: Any) -> None:
        """Note which library's code the run belongs to, as libraries do themselves."""
        labels = {"repo_string": repo, "code_string": code}
        self._telemetry["label"] = {name: str(value) for name, value in labels.items() if value}

    # ---- for wandb.init

    def _open(self, config: Mapping[str, Any], locked: Mapping[str, Any]) -> None:
        """Write the first records: header, run, telemetry.  The config is complete in the run record.

        What earlier segments have come to is written too: a segment says all that is to be said of it.
        """
        from wandb.version import __version__

        self._config.open({**self._earlier.config, **config}, locked, self._record_config)
        self._backend.append(records.header(__version__))
        self._backend.append(self._run_record())
        self._backend.append(records.telemetry(self._telemetry))
        for metric in self._earlier.metrics:
            if not metric.is_expanded:
                self._backend.append(records.metric(metric.record_fields(overwrite=True)))
        if "segment" in self._run_fields or self._starting_step:
            self._history.write_summary()

    def _append_environment(self, fields: Mapping[str, Any]) -> None:
        self._backend.append(records.environment(fields))

    def _end_with_process(self) -> None:
        signals = [SIGTERM, SIGUSR1] if in_job() else [SIGTERM]
        self._exit_hooks = ExitHooks(self._end_of_process, signals=signals)
        self._exit_hooks.install()

    def _keep_code(self, program: Program) -> None:
        if self._files is not None:
            copy = code_path(program)
            if copy is not None and program.abspath is not None:
                keep = self._files.keep
                self._guarded("init", keep, "init", program.abspath, copy, records.NOW, records.WANDB)

    def _end_of_process(self, exit_code: int) -> None:
        """Finish; from atexit, or from a signal handler in the middle of anything on this thread."""
        in_a_call = self._backend.is_held_by_caller()
        self._backend.take_over()
        if in_a_call and self._observers is not None:
            self._observers.stop(wait=False)  # their threads may be waiting for the lock that we hold
        if exit_code in _PREEMPTED and in_job():
            self._append("finish", records.preempting())
        try:
            self.finish(exit_code)
        except LogWriteError as error:  # on_error="raise", and nobody left to raise it to
            self._guard.swallow("finish", error)
        except KeyboardInterrupt:  # it ended the wait for the upload, and the process ends anyway
            pass

    def _go_online(self, online: Online) -> None:
        self._online = online
        self._guarded("init", online.start)

    def _learn(self, news: News) -> None:
        """Take over what the server calls the run, as far as the user has not said it."""
        identity = self._identity
        identity.entity = identity.entity or news.entity
        identity.name = identity.name or news.name or None
        self._url = news.url

    @guarded("tensorboard")
    def _tensorboard_callback(self, logdir: str, save: bool = True, root_logdir: str = "") -> None:
        """Record what is written into a directory of TensorBoard's; the name is the real client's."""
        if self._closed or self._directory is None:
            return
        self._watched_events().add(os.fspath(logdir), root_logdir, save)

    def _watched_events(self) -> EventWatch:
        if self._event_watch is None:
            from wandb.sdk.event_watch import EventWatch

            self._event_watch = EventWatch(self)
            self._log = self._event_watch.log
        return self._event_watch

    def _watch_notebook(self) -> None:
        from wandb import jupyter

        self._notebook = jupyter.Notebook(self._settings)
        self._notebook.watch(self)
        jupyter.display_if_magic_is_used(self)

    def _watch(self, observers: Observers) -> None:
        self._observers = observers
        self._guarded("init", observers.start)

    def _join_in_child(self) -> None:
        """Let the copy of this run that a forked child has be a side of it: the log is the parent's."""
        if not self._closed:
            if self._observers is not None:
                self._observers.forget()
            if self._online is not None:
                self._online.forget()
            self._backend.forget()
            self._join()

    def _join(self) -> None:
        """Record from now on what this process records into a log of its own, once there is anything.

        Nothing of the present log is touched, nor a lock: another thread may have held it when the process
        was forked.
        """
        self._is_side = True
        self._own_log = ""
        self._exit_hooks = self._observers = None
        if self._event_watch is not None:
            self._event_watch.forget()
            self._event_watch = None
        if self._notebook is not None:
            self._notebook.forget()
            self._notebook = None
        raises = self._settings.on_error == "raise"
        failed = None if raises else partial(self._guard.swallow, "log")
        self._backend = SideBackend(self._open_side, self._watch_side, failed)
        swallow = self._guard.swallow
        self._files = run_files(self._settings, self._directory, self._backend, swallow, is_alone=False)
        self._media = self._artifacts = None  # they know the parent's log
        before = self._history
        self._history = History(
            self._backend,
            self._summary_state,
            self._earlier.metrics,
            self._warn_once,
            self._describe,
            media=None if self._directory is None else self._row_media,
            starting_step=before.step,
            runtime_s=before.runtime_s(),
            is_side=True,
        )
        self._log = self._history.log
        if self._directory is not None:
            joined_runs[self._directory.path] = self

    def _open_side(self) -> Backend:
        """Begin a side log."""
        if self._directory is None:
            from wandb.backend.memory import NullBackend

            return NullBackend()
        from wandb.version import __version__

        side_id = names.generate_id()
        writer = {**writer_identity(), "side": True, "id": side_id, "label": self._settings.x_label or ""}
        self._run_fields = {"writer": writer, "runtime": self._run_fields.get("runtime", 0)}
        self._own_log = os.path.join(self._directory.path, log_name(self.id, side_id))
        backend = open_log(self._settings, self._directory, self._own_log, self._guard.swallow)
        try:
            backend.append(records.header(__version__))
            backend.append(self._run_record())
            backend.opened()
        except BaseException:
            backend.close()
            raise
        return backend

    def _watch_side(self) -> None:
        """Watch the process that has just begun a side log: its console, and its end."""
        self._exit_hooks = ExitHooks(self._end_of_process, signals=())
        self._exit_hooks.install()
        self._guarded("init", _end_with_worker, self._end_of_process)
        settings = self._settings
        # Under "redirect" what a child prints arrives at its parent, which records it.
        if self._directory is not None and settings.console not in ("off", "redirect"):
            observers = Observers(
                self._backend.append,
                self._guard.swallow,
                files_dir=self._directory.files,
                console=settings.console,
                system_metrics_interval_s=0.0,
                machine_info=False,
                packages=False,
                writer_id="",
                lock=self._backend.lock,
                console_lines=ConsoleLines(),
            )
            self._watch(observers)

    # ---- inside

    def _guarded(self, call: str, function: Callable[..., Any], *args: Any) -> None:
        try:
            function(*args)
        except UsageError:
            raise
        except Exception as error:
            self._guard.handle(call, error)

    def _append(self, call: str, body: bytes) -> None:
        if self._closed:
            self._refuse(call)
        self._guarded(call, self._backend.append, body)

    @guarded("config")
    def _record_config(self, change: Dict[str, Any], gone: List[Tuple[str, ...]]) -> None:
        self._used("set_config_item")
        self._append("config", records.config(change, gone))

    @guarded("summary")
    def _record_summary(self, update: Mapping[Path, Any], remove: Tuple[Path, ...]) -> None:
        self._used("set_summary")
        self._append("summary", records.summary(update, remove))

    def _row_media(self) -> RowMedia:
        """Return what writes the run's media; loaded when there are some."""
        if self._media is None:
            from wandb.internal.media_files import MediaFiles
            from wandb.sdk.wandb_media import RowMedia

            assert self._files is not None
            files = MediaFiles(self._files, self._backend, self._note)
            log = partial(self._log_artifact, "log", name=None, type=None, aliases=None)
            self._media = RowMedia(files, self.id, log, self._logged_before, self._guard.handle)
        return self._media

    def _logged_before(self, key: str) -> Any:
        """Return what earlier segments of the run have logged last under a key; None if there are none."""
        return self._earlier.summary.tree.get(key) if self.resumed else None

    def _store_in_summary(self, values: Mapping[str, Any]) -> Dict[str, Any]:
        media = self._row_media()
        return media.stored(media.made(values), "summary")

    def _note(self, path: Tuple[str, ...], value: Any) -> None:
        """Record what a value has to say in the config: how a chart is drawn, what classes are called."""
        node = self._notes
        for key in path[:-1]:
            node = node.setdefault(key, {})
        if node.get(path[-1]) != value:
            self._backend.append(records.config({("_wandb", *path): value}))
            node[path[-1]] = value

    def _config_and_notes(self) -> Dict[str, Any]:
        notes = {"_wandb": self._notes} if self._notes else {}
        return {**self._config.as_dict(), **notes}

    def _log_artifact(
        self,
        call: str,
        artifact_or_path: Any,
        name: Optional[str],
        type: Optional[str],
        aliases: Any,
        tags: Any = None,
        distributed_id: Optional[str] = None,
        finalize: bool = True,
        user_created: bool = False,
        use_after_commit: bool = False,
    ) -> Artifact:
        """As `log_artifact`; the rest as of `RunArtifacts.log`."""
        from wandb.sdk import wandb_artifacts

        if self._closed:
            self._refuse(call)
        checked = wandb_artifacts.checked(artifact_or_path, name, type, aliases, tags, self.id)
        checked[0].distributed_id = distributed_id
        run_artifacts = self._run_artifacts()
        if run_artifacts is not None:
            log = partial(run_artifacts.log, call=call, finalize=finalize, user_created=user_created)
            self._guarded(call, partial(log, use_after_commit=use_after_commit), *checked)
        return checked[0]

    def _distributed_id(self, call: str, given: Optional[str]) -> str:
        if given is None and not self.group:
            raise ValidationError(
                f"{call}_artifact",
                f"Cannot {call} artifact unless run is in a group or distributed_id is provided",
            )
        return self.group if given is None else given

    def _run_artifacts(self) -> Optional[RunArtifacts]:
        """Return what keeps the run's artifacts, loaded when there are some; None if nothing is recorded."""
        if self._directory is None or self._files is None:
            return None
        if self._artifacts is None:
            from wandb.sdk.wandb_artifacts import RunArtifacts

            self._artifacts = RunArtifacts(
                self._identity.record_fields,
                self._directory.path,
                self._files,
                self._backend,
                self._guard.handle,
                self._settings.durability == "record",
                self.mode,
            )
        return self._artifacts

    @guarded("run")
    def _rename(self, **changed: Any) -> None:
        if self._closed:
            self._refuse(next(iter(changed)))
        for field in changed:
            if field in _SET_AFTER_INIT:
                self._used(_SET_AFTER_INIT[field])
            setattr(self._identity, field, changed[field])
        self._append("run", self._run_record())

    def _describe(self) -> Dict[str, Any]:
        """Return what a RunState says beside rows, summary and definitions."""
        n_samples = self._observers.n_samples if self._observers is not None else 0
        return {
            "config": records.config_fields(self._config_and_notes()),
            "run": self._identity.record_fields(),
            "lines": {
                "events": self._earlier.n_events + n_samples - self._backend.given_up.samples,
                "console": self._earlier.console.at_most,
            },
        }

    def _run_record(self) -> bytes:
        writer = {**self._run_fields.get("writer", {}), "runtime_zero": self._runtime_zero}
        fields = {
            **self._identity.record_fields(),
            "start_time": self._start_time,
            **self._run_fields,
            "writer": writer,
        }
        if not isinstance(self._backend, SideBackend):  # else another process has said it
            fields["config"] = records.config_fields(self._config_and_notes())
            fields["telemetry"] = self._telemetry
        return records.run(fields)

    def _used(self, feature: str) -> None:
        self._telemetry["feature"][feature] = True

    def _settle_files(self) -> None:
        if self._files is not None:
            self._files.settle()

    def _compress_log(self) -> None:
        """Compress the log, if that is wished; who syncs it at this moment has it as it is."""
        wanted = self._settings.compress_on_finish and self.offline
        log = self._own_log
        if not log or not wanted:
            return
        from glob import escape, glob

        if glob(escape(log) + "*.lease") or not self._backend.is_complete():
            termwarn(f"{log} is still in use, and stays as it is; `wandb compact` compresses it later")
            return
        from wandb.transaction_log.compaction import compress

        try:
            compress(log)
        except LogError as error:
            termwarn(f"{error}. The log stays as it is.")
        except Exception as error:
            self._guard.swallow("finish", error)

    def _last_records(self, exit_code: int) -> List[Callable[[], object]]:
        """Return what writes the last records, one each: a summary too large must not cost the exit."""
        runtime_s = int(self._history.runtime_s())
        self._used("finish")
        append = self._backend.append
        no_more_rows = partial(self._history.end, lambda body: self._refuse("log"))  # behind the exit record
        if self._is_side:  # what the run is in the end, its main log says
            has_begun = not isinstance(self._backend, SideBackend) or self._backend.has_records
            return [no_more_rows, lambda: append(records.exit_(exit_code, runtime_s))] if has_begun else []
        return [
            lambda: append(records.telemetry(self._telemetry)),
            self._history.write_summary,
            no_more_rows,
            lambda: append(records.summary({("_wandb", "runtime"): runtime_s, "_runtime": runtime_s})),
            lambda: append(records.exit_(exit_code, runtime_s)),
        ]

    def _close(self, reason: str) -> None:
        self._closed = reason
        self._log = lambda *args: self._refuse("log")

    def _refuse(self, call: str) -> NoReturn:
        if self._closed in ("", "is finished"):  # or is about to be
            raise RunFinishedError(
                f"Run ({self.id}) is finished. The call to `{call}` will be ignored. "
                "Please make sure that you are using an active run."
            )
        raise UsageError(f"Run ({self.id}) {self._closed}; the call to `{call}` was ignored.")

    def _warn_once(self, text: str) -> None:
        termwarn(text, repeat=False)

    def _print_end(self, path: str) -> None:
        shown = {k: v for k, v in self._summary_state.tree.items() if not k.startswith("_")}
        lines = [f"{k:>20} {v}"[:100] for k, v in shown.items() if isinstance(v, (int, float, str))]
        if lines:
            _tell("Run summary:", *lines[:MAX_SUMMARY_LINES])
        n_late = self._history.late_rows_here
        if n_late:
            termwarn(
                f"{n_late} rows were logged to steps before the current one: `wandb sync --step-policy`."
            )
        if not os.path.exists(path):
            termwarn(f"{path} is not there any more: it was moved, or what it is on was unmounted.")
            return
        if self._online is not None:
            return
        _tell("You can sync this run to the cloud by running:", f"wandb sync {path}")


def _tell(*lines: str) -> None:
    """Print lines, or show them as HTML in a notebook."""
    if "ipykernel" in sys.modules and shows_info():
        from wandb import jupyter

        if jupyter.show_lines(*lines):
            return
    for line in lines:
        termlog(line)


joined_runs: Dict[str, Run] = {}  # the runs of other processes that this one has joined, by their directory


def _unpickled(state: Dict[str, Any]) -> Run:
    """Return what a pickled run becomes: in its own process itself, elsewhere a side of it.

    Args:
        state: As `Run.__reduce__` says.
    """
    from wandb.sdk import wandb_setup  # hardly any program pickles a run

    who, place = state["who"], state["directory"]
    for run in wandb_setup.setup().active_runs:
        if run.id == who.get("run_id"):
            return run  # type: ignore[no-any-return]
    directory = None if place is None else RunDirectory(*place)
    earlier = Earlier()
    earlier.next_step = state["step"]
    earlier.config = state["config"]
    earlier.summary.tree.update(state["summary"])
    begin = (state["start_time"], state["runtime"], state["runtime_zero"])
    run = joined(directory, who, earlier, *begin, state["mode"])
    if directory is not None and not os.path.isdir(directory.path):
        run._close(f"belongs to another process, and {directory.path} is not here; call wandb.init()")
    return run


def joined(
    directory: Optional[RunDirectory],
    who: Mapping[str, Any],
    earlier: Earlier,
    start_time: float,
    runtime: int,
    runtime_zero: float,
    mode: str,
) -> Run:
    """Return a run of another process, for this one to record in too.

    Args:
        directory: The run's; None if it records nothing.
        who: Fields of a RunRecord.
        earlier: What it has come to.
        runtime: Seconds that segments before the run's log ran.
        runtime_zero: When `_runtime` was 0, in seconds since the epoch.
    """
    if directory is not None and directory.path in joined_runs:
        return joined_runs[directory.path]
    from wandb.backend.memory import NullBackend
    from wandb.sdk import wandb_setup

    identity = RunIdentity.from_record(who)
    given = {"mode": mode, "id": identity.run_id, "project": identity.project or None}
    settings = wandb_setup.setup().settings_for_run(None, given)
    earlier.runtime_s = max(0.0, time() - runtime_zero)
    run = Run(
        identity,
        NullBackend(),
        directory,
        settings=settings.freeze(),
        start_time=start_time,
        run_fields={"runtime": runtime},
        telemetry={},
        temporary_dir=settings.files_dir if directory is None else "",
        on_finished=lambda run: None,
        earlier=earlier,
        starting_step=earlier.next_step,
        guard=Guard(raises=settings.on_error == "raise"),
    )
    run._config.open(earlier.config, {}, run._record_config)
    run._join()
    return run


def _end_with_worker(end: Callable[[int], None]) -> None:
    """Have `end` called when a worker of multiprocessing ends: it runs no atexit functions."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, end, args=(0,), exitpriority=-100)


def exit_code_of(kind: Type[BaseException], error: Any) -> int:
    """Return the exit code that an exception which ends the program stands for, as wandb records it."""
    if issubclass(kind, KeyboardInterrupt):
        return 255
    if issubclass(kind, SystemExit):
        return code_of(error)
    return 1


def checked_exit_code(exit_code: Any) -> int:
    """Return what `finish(exit_code)` is told; None means success.

    Raises:
        ValidationError: It is no int, or one that no exit record holds.
    """
    if exit_code is None:
        return 0
    if not hasattr(exit_code, "__index__"):
        raise ValidationError("finish: exit_code", f"{kind_name(exit_code)} is no int", hint="0 is success")
    if not -(2**31) <= exit_code < 2**31:  # the exit record holds an int32
        raise ValidationError("finish: exit_code", "does not fit into 32 bits", hint="0 is success")
    return int(exit_code)
