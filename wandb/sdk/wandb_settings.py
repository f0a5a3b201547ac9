"""Settings: every knob of a run, with its type, its default and the place its value comes from.

`Settings` is a plain object: fields are the annotated names of its class body, a value is checked when it is
assigned, and each value remembers its source (`source`, `explain`).  Who reads the sources and in which order
they win is in `settings_layers.py`; nothing here reads a file or the environment.

Rule 1: a field is declared once, in the class body or in ACCEPTED_ONLY; the annotation is its type check.
Rule 2: what is not declared is refused, naming the nearest name; unknown `x_*` fields pass, with a warning.
Rule 3: an instance holds only what was set; defaults stay on the class, so that making one is quick.
Rule 4: secrets (SECRET_FIELDS) never appear in a message, in `explain` or in `repr`.
"""

from __future__ import annotations

import os
import sys

from wandb.errors import UsageError, ValidationError

TYPE_CHECKING = False  # the typing module costs more to import than all of this
if TYPE_CHECKING:
    from typing import (
        Any,
        Callable,
        ClassVar,
        Dict,
        Iterator,
        List,
        Mapping,
        NoReturn,
        Optional,
        Tuple,
        Union,
    )

    Trail = List[Tuple["Source", Any, str]]

    # Types that take more forms than they keep; see _CHECKED_TYPES.
    Reinit = Union[bool, str]
    Resume = str


class Source(int):
    """Where a value comes from; the larger wins.  `str()` of it is the name that users see."""

    DEFAULT: ClassVar[Source]
    COMPUTED: ClassVar[Source]
    SERVER: ClassVar[Source]
    GLOBAL_FILE: ClassVar[Source]
    WORKSPACE_FILE: ClassVar[Source]
    ENVIRONMENT: ClassVar[Source]
    SETUP: ClassVar[Source]
    LOGIN: ClassVar[Source]
    INIT_SETTINGS: ClassVar[Source]
    INIT_ARGUMENT: ClassVar[Source]
    SWEEP: ClassVar[Source]
    ENFORCED_PROJECT: ClassVar[Source]
    ENFORCED_USER: ClassVar[Source]
    ENFORCED_TEAM: ClassVar[Source]
    ENFORCED_ORGANIZATION: ClassVar[Source]

    title: str

    def __new__(cls, rank: int, title: str) -> Source:
        source = super().__new__(cls, rank)
        source.title = title
        return source

    def __str__(self) -> str:
        return self.title

    def __repr__(self) -> str:
        return f"<Source {int(self)}: {self.title}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        return Source, (int(self), self.title)

    @property
    def is_explicit(self) -> bool:
        """Whether a person put the value there; only such values can be in conflict."""
        return self > Source.SERVER


for _rank, (_name, _title) in enumerate(
    (
        ("DEFAULT", "built-in default"),
        ("COMPUTED", "worked out by wandb"),
        ("SERVER", "server default"),
        ("GLOBAL_FILE", "global settings file"),
        ("WORKSPACE_FILE", "workspace settings file"),
        ("ENVIRONMENT", "environment variable"),
        ("SETUP", "wandb.setup()"),
        ("LOGIN", "wandb.login()"),
        ("INIT_SETTINGS", "wandb.init(settings=)"),
        ("INIT_ARGUMENT", "argument of wandb.init()"),
        ("SWEEP", "sweep or launch"),
        ("ENFORCED_PROJECT", "enforced for the project"),
        ("ENFORCED_USER", "enforced for the user"),
        ("ENFORCED_TEAM", "enforced for the team"),
        ("ENFORCED_ORGANIZATION", "enforced for the organization"),
    )
):
    setattr(Source, _name, Source(_rank, _title))


class RunMoment:
    """A point in a run: `RUN?_step=N`, where `fork_from` and `resume_from` take off."""

    __slots__ = ("run", "value", "metric")

    def __init__(self, run: str, value: Union[int, float], metric: str = "_step") -> None:
        self.run = run
        self.value = value
        self.metric = metric

    @classmethod
    def from_uri(cls, uri: str) -> RunMoment:
        """Read `RUN?_step=N`; raises ValueError for anything else."""
        run, _, condition = uri.partition("?")
        metric, _, value = condition.partition("=")
        try:
            if run and metric == "_step":
                return cls(run, int(value))
        except ValueError:
            pass
        raise ValueError(f"{uri!r} is not a moment of a run, which looks like 'ans3bsax?_step=123'")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunMoment) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __repr__(self) -> str:
        return f"RunMoment(run={self.run!r}, value={self.value!r}, metric={self.metric!r})"

    def __str__(self) -> str:
        return f"{self.run}?{self.metric}={self.value}"


DEFAULT_BASE_URL = "https://api.wandb.ai"

# What a field may be, where its type allows more than its meaning.
CHOICES: Dict[str, Tuple[object, ...]] = {
    "mode": ("online", "offline", "shared", "disabled", "dryrun", "run"),
    "console": ("auto", "off", "wrap", "redirect", "wrap_raw", "wrap_emu"),
    "reinit": ("default", "return_previous", "finish_previous", "create_new", True, False),
    "resume": ("allow", "must", "never", "auto"),
    "job_source": ("repo", "artifact", "image"),
    "durability": ("process", "interval", "record"),
    "on_error": ("warn", "raise"),
}

SECRET_FIELDS = frozenset(
    (
        "api_key",
        "x_extra_http_headers",
        "x_stats_open_metrics_http_headers",
        "azure_account_url_to_access_key",
    )
)

MAX_PROJECT_CHARS = 128  # what servers accept
MAX_TAG_CHARS = 64
PROJECT_CHARS_REFUSED = "/\\#?%:"
RUN_ID_CHARS_REFUSED = ":;,#?/'"
MIN_STATS_INTERVAL_S = 0.1
MIN_QUOTA_BYTES = 64 * 1024  # the first records of a run take 2 KB, and a summary may take more

# Fields of the real client that nothing here reads.  They are accepted, checked and kept, so that a program
# written for it runs unchanged.  A field that comes to mean something moves to the class body.
ACCEPTED_ONLY: Dict[str, Tuple[str, object]] = {
    "allow_media_symlink": ("bool", False),
    "allow_offline_artifacts": ("bool", True),
    "anonymous": ("Optional[str]", None),
    "azure_account_url_to_access_key": ("Optional[Dict[str, str]]", None),
    "capture_loggers": ("Optional[Dict[str, str]]", None),
    "console_chunk_max_bytes": ("int", 0),
    "console_chunk_max_seconds": ("int", 0),
    "console_multipart": ("bool", False),
    "credentials_file": ("Optional[str]", None),
    "disable_git_fork_point": ("bool", True),
    "disable_hints": ("bool", False),
    "disable_job_creation": ("bool", True),
    "docker": ("Optional[str]", None),
    "error_reporting": ("bool", False),
    "finish_timeout_raises": ("bool", False),
    "heartbeat_seconds": ("int", 30),
    "identity_token_file": ("Optional[str]", None),
    "job_name": ("Optional[str]", None),
    "job_source": ("Optional[str]", None),
    "label_disable": ("bool", False),
    "launch": ("bool", False),
    "launch_config_path": ("Optional[str]", None),
    "magic": ("Optional[Any]", None),
    "max_end_of_run_history_metrics": ("int", 10),
    "max_end_of_run_summary_metrics": ("int", 10),
    "notebook_name": ("Optional[str]", None),
    "problem": ("Optional[str]", None),
    "sagemaker_disable": ("bool", False),
    "show_colors": ("Optional[bool]", None),
    "show_emoji": ("Optional[bool]", None),
    "start_method": ("Optional[str]", None),
    "stop_on_fatal_error": ("bool", False),
    "summary_timeout": ("int", 60),
    "summary_warnings": ("int", 5),
    "table_raise_on_max_row_limit_exceeded": ("bool", False),
    "x_disable_viewer": ("bool", False),
    "x_file_stream_max_bytes": ("Optional[int]", None),
    "x_file_stream_max_line_bytes": ("Optional[int]", None),
    "x_file_stream_no_gzip": ("bool", True),
    "x_file_stream_retry_max": ("Optional[int]", None),
    "x_file_stream_retry_wait_max_seconds": ("Optional[float]", None),
    "x_file_stream_retry_wait_min_seconds": ("Optional[float]", None),
    "x_file_stream_timeout_seconds": ("Optional[float]", None),
    "x_file_stream_transmit_interval": ("Optional[float]", None),
    "x_file_transfer_retry_max": ("Optional[int]", None),
    "x_file_transfer_retry_wait_max_seconds": ("Optional[float]", None),
    "x_file_transfer_retry_wait_min_seconds": ("Optional[float]", None),
    "x_file_transfer_timeout_seconds": ("Optional[float]", None),
    "x_flow_control_custom": ("Optional[bool]", None),
    "x_flow_control_disabled": ("Optional[bool]", None),
    "x_graphql_retry_max": ("Optional[int]", None),
    "x_graphql_retry_wait_max_seconds": ("Optional[float]", None),
    "x_graphql_retry_wait_min_seconds": ("Optional[float]", None),
    "x_history_value_encoding": ("str", "json"),
    "x_internal_check_process": ("float", 8.0),
    "x_live_policy_rate_limit": ("Optional[int]", None),
    "x_live_policy_wait_time": ("Optional[int]", None),
    "x_log_level": ("int", 20),
    "x_network_buffer": ("Optional[int]", None),
    "x_proxies": ("Optional[Dict[str, str]]", None),
    "x_require_legacy_service": ("bool", False),
    "x_runqueue_item_id": ("Optional[str]", None),
    "x_server_side_derived_summary": ("bool", False),
    "x_service_transport": ("Optional[str]", None),
    "x_service_wait": ("float", 30.0),
    "x_skip_transaction_log": ("bool", False),
    "x_stats_buffer_size": ("int", 0),
    "x_stats_coreweave_metadata_base_url": ("str", "http://169.254.169.254"),
    "x_stats_coreweave_metadata_endpoint": ("str", "/api/v2/cloud-init/meta-data"),
    "x_stats_cpu_count": ("Optional[int]", None),
    "x_stats_cpu_logical_count": ("Optional[int]", None),
    "x_stats_dcgm_exporter": ("Optional[str]", None),
    "x_stats_disk_paths": ("Optional[Tuple[str, ...]]", ("/",)),
    "x_stats_gpu_count": ("Optional[int]", None),
    "x_stats_gpu_device_ids": ("Optional[Tuple[int, ...]]", None),
    "x_stats_gpu_type": ("Optional[str]", None),
    "x_stats_neuron_monitor_config_path": ("Optional[str]", None),
    "x_stats_no_cgroup": ("bool", False),
    "x_stats_open_metrics_endpoints": ("Optional[Dict[str, str]]", None),
    "x_stats_open_metrics_filters": ("Optional[Any]", None),
    "x_stats_open_metrics_http_headers": ("Optional[Dict[str, str]]", None),
    "x_stats_self_usage": ("bool", False),
    "x_stats_track_process_tree": ("bool", False),
    "x_sync": ("bool", False),
    "x_transaction_log_flush_interval": ("float", 15.0),
}


class Settings:
    """Settings of a run or of the process.

    Args:
        **values: Fields by name; see the class body.

    Raises:
        ValidationError: A name or a value is wrong; the message has the field and the reason.
    """

    # Which run it is.
    entity: Optional[str] = None
    """The user or team that the run belongs to; the server's default if None."""
    project: Optional[str] = None
    """The project that the run belongs to."""
    organization: Optional[str] = None
    """The organization, where a name of it is needed."""
    run_id: Optional[str] = None
    """The run's id, unique in its project; generated if None."""
    run_name: Optional[str] = None
    """The name people read; the server makes one up if None."""
    run_notes: Optional[str] = None
    run_tags: Optional[Tuple[str, ...]] = None
    run_group: Optional[str] = None
    run_job_type: Optional[str] = None
    sweep_id: Optional[str] = None
    sweep_param_path: Optional[str] = None
    """A YAML file with the values that a sweep chose."""
    resume: Optional[Resume] = None
    """allow, must, never or auto; True means auto."""
    resumed: bool = False
    resume_from: Optional[RunMoment] = None
    """`RUN?_step=N`: cut the run there and go on."""
    fork_from: Optional[RunMoment] = None
    """`RUN?_step=N`: a new run that begins as a copy up to there."""
    reinit: Reinit = "default"
    """What a second `init` does while a run is active: finish, return or leave the first."""

    # Where it goes.
    mode: str = "online"
    """online, offline, disabled, shared; the old words dryrun (offline) and run (online) too."""
    base_url: str = DEFAULT_BASE_URL
    """The server, without a slash at the end."""
    app_url_override: Optional[str] = None
    """The address of the pages, where it does not follow from `base_url`."""
    api_key: Optional[str] = None
    http_proxy: Optional[str] = None
    https_proxy: Optional[str] = None
    insecure_disable_ssl: bool = False
    """Accept any certificate."""
    x_extra_http_headers: Optional[Dict[str, str]] = None
    x_graphql_timeout_seconds: Optional[float] = None
    x_disable_machine_info: bool = False
    """Record nothing about the machine."""

    # Directories.
    root_dir: str = "."
    """The directory that `wandb/` is made in; the working directory if not set."""
    use_dot_wandb: Optional[bool] = None
    """`.wandb/` instead of `wandb/`; if None, `.wandb/` where it exists."""
    settings_system: Optional[str] = None
    """The global settings file that was read."""
    x_files_dir: Optional[str] = None
    x_sync_dir_suffix: str = ""
    """Makes the run directory's name unique: `-1`, `-2`, ..."""
    symlink: bool = True
    """Keep `latest-run` and the links to the debug logs."""
    ignore_globs: Tuple[str, ...] = ()
    """Files, relative to `files/`, that are not uploaded."""

    # Who and what runs.
    username: Optional[str] = None
    email: Optional[str] = None
    host: Optional[str] = None
    program: Optional[str] = None
    program_abspath: Optional[str] = None
    program_relpath: Optional[str] = None
    code_dir: Optional[str] = None
    git_commit: Optional[str] = None
    git_remote: str = "origin"
    git_remote_url: Optional[str] = None
    git_root: Optional[str] = None
    x_executable: Optional[str] = None
    x_label: Optional[str] = None
    """Tells this process's console lines and system metrics from those of the others that record the run."""
    x_primary: bool = True
    """In shared mode: it records what describes the run and its machine; the others set False."""
    x_update_finish_state: bool = True
    """In shared mode: whether the way this process ends may say how the run has ended."""
    x_start_time: Optional[float] = None
    """When the run began, in seconds since 1970; the run directory's name has it."""

    # What is recorded beside the user's rows.
    console: str = "auto"
    """How stdout and stderr are captured."""
    save_code: Optional[bool] = None
    disable_code: bool = False
    disable_git: bool = False
    config_paths: Optional[Tuple[str, ...]] = None
    """YAML files that are read into the config."""
    allow_val_change: bool = False
    """Config values may be changed after they were set."""
    sync_tensorboard: Optional[bool] = None
    monitor_gym: Optional[bool] = None
    x_jupyter_name: Optional[str] = None
    x_jupyter_path: Optional[str] = None
    """The notebook that the kernel runs, where it cannot be found out; below `x_jupyter_root`."""
    x_jupyter_root: Optional[str] = None
    x_disable_meta: bool = False
    x_disable_stats: bool = False
    x_save_requirements: bool = True
    x_stats_sampling_interval: float = 15.0
    """Seconds between two samples of the system metrics."""
    x_stats_pid: Optional[int] = None
    """The process whose tree is measured; this one if None."""

    # What becomes of the log in trouble.
    durability: str = "interval"
    """What a row survives when `log()` has returned.  process: the end of the process, however it comes.
    interval: also a power cut, from `x_log_sync_interval` later on and at `finish()`.  record: also a power
    cut, at once; `log()` then takes as long as the disk does."""
    on_error: str = "warn"
    """What happens when the log cannot be written.  warn: it is told once, records wait in memory, and
    training goes on.  raise: the call whose record was not written raises LogWriteError; nothing waits."""
    x_log_sync_interval: float = 1.0
    """Seconds between two syncs of the log to the disk, with durability "interval"."""
    x_log_backlog_bytes: int = 33_554_432
    """Memory for records that wait until the log can be written again.  What is beyond is given up (console
    output first, then system metrics, files, rows last), counted, and told in the log."""
    x_log_retry_interval: float = 1.0
    """Seconds between two attempts to write what waits."""
    x_log_write_timeout: float = 5.0
    """Seconds that a call waits for a network file system that does not answer."""
    x_log_writer_thread: Optional[bool] = None
    """Whether a thread writes the log, so that `x_log_write_timeout` can be kept; if None, on network,
    cluster and FUSE file systems."""

    # How much room it takes.
    quota_bytes: Optional[int] = None
    """Bytes that the run directory may take: the log, and files that calls put into the run.  When they are
    nearly used up console output is given up first, then system metrics, files, and rows last; how much, the
    log says.  The end of the run is always recorded, and nothing raises."""
    bundle_files: bool = False
    """Whether files of the run are put into one tar, run-ID.files.tar, instead of one file each below files/:
    for file systems with few inodes.  `wandb sync` reads it; for other tools, `wandb compact --unbundle`."""
    compress_on_finish: bool = False
    """Whether `finish()` compresses the log of an offline run, as `wandb compact` does: some 20 ms per MB."""

    # How it behaves.
    force: bool = False
    """Fail where a login would be needed and there is none."""
    relogin: bool = False
    strict: Optional[bool] = None
    silent: bool = False
    """Print nothing."""
    quiet: bool = False
    """Print only what matters."""
    show_info: bool = True
    show_warnings: bool = True
    show_errors: bool = True
    init_timeout: float = 90.0
    """Seconds that `init()` may wait for the server; it never waits longer than five, and then goes on."""
    finish_timeout: float = 0.0
    """Seconds that `finish()` may wait for the upload; 0 for as long as it takes.  The upload goes on."""
    stop_fn: Optional[Any] = None
    """Called when somebody asks the server to stop the run; None interrupts the main thread, as Ctrl-C."""
    login_timeout: Optional[float] = None
    """Seconds."""
    x_cli_only_mode: bool = False
    """Set by the command line: offline mode does not keep it from logging in."""

    _trails: Dict[str, Trail]
    _frozen: bool

    def __init__(self, **values: Any) -> None:
        state = self.__dict__
        state["_trails"] = {}
        state["_frozen"] = False
        state["root_dir"] = _working_directory()
        self.update(values, Source.INIT_SETTINGS, "wandb.Settings({name}=)")

    # Reading.

    def source(self, name: str) -> Source:
        """Where the value of a field comes from."""
        return self.explain(name)[0][0]

    def explain(self, name: str) -> Trail:
        """Everything that was said about a field, the value that counts first.

        Returns:
            (source, value, detail) each; the detail is a file, a variable or an argument.  The last one is
            the built-in default.  Secrets are masked.
        """
        if name not in FIELDS and name not in self._trails:
            _refuse_name(name)
        trail = [
            (source, _shown(name, value), detail) for source, value, detail in self._trails.get(name, ())
        ]
        default = _working_directory() if name == "root_dir" else getattr(type(self), name, None)
        return trail[::-1] + [(Source.DEFAULT, default, "")]

    def overrides(self) -> List[str]:
        """One sentence for each field about which two people or places said different things."""
        sentences = []
        for name in sorted(self._trails):
            said = [entry for entry in self._trails[name] if entry[0].is_explicit]
            if not said:
                continue
            source, value, detail = said[-1]
            losers = [f"{_shown(name, v)!r} ({d or s})" for s, v, d in reversed(said[:-1]) if v != value]
            if losers:
                shown = f"{_shown(name, value)!r} ({detail or source})"
                sentences.append(f"{name}: {shown} overrides {' and '.join(losers)}")
        return sentences

    def explicit(self) -> Dict[str, Any]:
        """The fields that were set, with their values."""
        return {name: getattr(self, name) for name in self._trails}

    def to_dict(self) -> Dict[str, Any]:
        """All fields with their values; secrets included."""
        return {name: getattr(self, name) for name in self.keys()}

    def keys(self) -> List[str]:
        """The names of all fields."""
        return [*FIELDS, *(name for name in self._trails if name not in FIELDS)]

    def __getitem__(self, name: str) -> Any:
        if name not in FIELDS and name not in self._trails:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[Tuple[str, Any]]:
        return iter(self.to_dict().items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        names = {"root_dir", *self._trails, *other._trails}
        return all(getattr(self, name, None) == getattr(other, name, None) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_shown(name, value)!r}" for name, value in self.explicit().items())
        return f"Settings({shown})"

    # Writing.

    def __setattr__(self, name: str, value: Any) -> None:
        self.update({name: value}, Source.INIT_SETTINGS, f"settings.{name}")

    def update(self, values: Mapping[str, Any], source: Optional[Source] = None, detail: str = "") -> None:
        """Set several fields; all or, when one is refused, none of them.

        Args:
            values: Fields by name.
            source: Where they come from.
            detail: The file, variable or argument; `{name}` in it stands for the field.

        Raises:
            ValidationError: A name or a value is wrong.
            UsageError: The settings are frozen.
        """
        if not values:
            return
        if self._frozen:
            raise UsageError(
                f"the settings of a run cannot be changed: {', '.join(values)}",
                hint="pass them to wandb.init()",
            )
        source = Source.INIT_SETTINGS if source is None else source
        checked = {}
        for name, value in values.items():
            if name[:1] == "_" and name[:2] != "__":
                name = "x" + name  # what the first clients called x_foo
            checked[name] = check(name, value, detail.replace("{name}", name))
        state = self.__dict__
        _check_together({**state, **checked})
        for name, value in checked.items():
            state[name] = value
            self._trails.setdefault(name, []).append((source, value, detail.replace("{name}", name)))

    def update_from_dict(self, settings: Mapping[str, Any]) -> None:
        """Set the fields of a dictionary whose values are not None."""
        self.update({name: value for name, value in settings.items() if value is not None})

    def update_from_settings(self, settings: Settings) -> None:
        """Set what was set in other settings."""
        self.update(settings.explicit())

    def copy(self) -> Settings:
        """An equal object of its own, which can be changed even if this one is frozen."""
        twin = Settings.__new__(Settings)
        twin.__dict__.update(self.__dict__)
        twin.__dict__["_trails"] = {name: list(trail) for name, trail in self._trails.items()}
        twin.__dict__["_frozen"] = False
        return twin

    __copy__ = copy
    model_copy = copy

    def freeze(self) -> Settings:
        """Refuse all further changes; returns itself."""
        self.__dict__["_frozen"] = True
        return self

    @property
    def is_frozen(self) -> bool:
        return self._frozen

    def __delattr__(self, name: str) -> NoReturn:
        raise UsageError(f"settings.{name} cannot be deleted", hint="set it to None")

    # What follows from the fields.

    @property
    def _noop(self) -> bool:
        return self.mode == "disabled"

    @property
    def disabled(self) -> bool:
        """Whether nothing is recorded at all."""
        return self.mode == "disabled"

    @property
    def _offline(self) -> bool:
        return self.mode in ("offline", "dryrun")

    @property
    def _shared(self) -> bool:
        return self.mode == "shared"

    @property
    def run_mode(self) -> str:
        """What the run directory's name begins with."""
        return "offline-run" if self._offline else "run"

    @property
    def timespec(self) -> str:
        """The local time in the run directory's name: `20261231_235959`; empty before the run has begun."""
        if self.x_start_time is None:
            return ""
        import time

        return time.strftime("%Y%m%d_%H%M%S", time.localtime(self.x_start_time))

    _start_datetime = timespec

    @property
    def wandb_dir(self) -> str:
        """The directory of all runs."""
        root = os.path.expanduser(self.root_dir)
        use_dot = self.use_dot_wandb
        if use_dot is None:
            use_dot = os.path.isdir(os.path.join(root, ".wandb"))
        return os.path.join(root, ".wandb" if use_dot else "wandb")

    @property
    def sync_dir(self) -> str:
        """The run directory."""
        name = f"{self.run_mode}-{self.timespec}-{self.run_id}"
        if self.x_sync_dir_suffix:
            name = f"{name}-{self.x_sync_dir_suffix}"
        return os.path.abspath(os.path.join(self.wandb_dir, name))

    @property
    def sync_file(self) -> str:
        """The run's log."""
        return os.path.join(self.sync_dir, f"run-{self.run_id}.wandb")

    @property
    def files_dir(self) -> str:
        """The run's files."""
        return self.x_files_dir or os.path.join(self.sync_dir, "files")

    @property
    def _tmp_code_dir(self) -> str:
        return os.path.join(self.sync_dir, "tmp", "code")

    @property
    def log_dir(self) -> str:
        """Our own logs about the run."""
        return os.path.join(self.sync_dir, "logs")

    @property
    def log_user(self) -> str:
        return os.path.join(self.log_dir, "debug.log")

    @property
    def log_internal(self) -> str:
        return os.path.join(self.log_dir, "debug-internal.log")

    @property
    def log_symlink_user(self) -> str:
        return os.path.join(os.path.abspath(self.wandb_dir), "debug.log")

    @property
    def log_symlink_internal(self) -> str:
        return os.path.join(os.path.abspath(self.wandb_dir), "debug-internal.log")

    @property
    def sync_symlink_latest(self) -> str:
        """The link to the latest run directory."""
        return os.path.join(os.path.abspath(self.wandb_dir), "latest-run")

    @property
    def resume_fname(self) -> str:
        """Where `resume="auto"` remembers the run's id."""
        return os.path.join(os.path.abspath(self.wandb_dir), "wandb-resume.json")

    @property
    def settings_workspace(self) -> str:
        """The settings file beside the runs."""
        return os.path.join(os.path.abspath(self.wandb_dir), "settings")

    @property
    def is_local(self) -> bool:
        """Whether the server is not the public one."""
        return self.base_url != DEFAULT_BASE_URL

    @property
    def deployment(self) -> str:
        return "local" if self.is_local else "cloud"

    @property
    def app_url(self) -> str:
        """The address of the pages."""
        if self.app_url_override:
            return self.app_url_override.rstrip("/")
        scheme, _, rest = self.base_url.partition("://")
        return f"{scheme}://{rest[4:]}" if rest.startswith("api.") else self.base_url

    @property
    def project_url(self) -> str:
        """The project's page; empty as long as entity and project are not known."""
        if not self.entity or not self.project:
            return ""
        return f"{self.app_url}/{_quoted(self.entity)}/{_quoted(self.project)}"

    @property
    def run_url(self) -> str:
        """The run's page; empty as long as entity, project and id are not known."""
        if not self.project_url or not self.run_id:
            return ""
        return f"{self.project_url}/runs/{_quoted(self.run_id)}"

    @property
    def sweep_url(self) -> str:
        if not self.project_url or not self.sweep_id:
            return ""
        return f"{self.project_url}/sweeps/{_quoted(self.sweep_id)}"

    @property
    def colab_url(self) -> Optional[str]:
        return None

    @property
    def _args(self) -> List[str]:
        return sys.argv[1:]

    @property
    def _windows(self) -> bool:
        return os.name == "nt"

    @property
    def _ipython(self) -> bool:
        shell = sys.modules.get("IPython")
        return shell is not None and shell.get_ipython() is not None

    @property
    def _jupyter(self) -> bool:
        return self._ipython and "ipykernel" in sys.modules

    @property
    def _notebook(self) -> bool:
        return self._jupyter or self._colab

    @property
    def _colab(self) -> bool:
        return "google.colab" in sys.modules

    @property
    def _kaggle(self) -> bool:
        return "kaggle_web_client" in sys.modules

    @property
    def _os(self) -> str:
        import platform

        return platform.platform(aliased=True)

    @property
    def _platform(self) -> str:
        import platform

        return f"{platform.system()}-{platform.machine()}".lower()

    @property
    def _python(self) -> str:
        return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"


def check(name: str, value: Any, where: str = "") -> Any:
    """The value of a field in its own type.

    Args:
        name: The field.
        value: What was given.  Text is read as the field's type, as it comes from files and the environment.
        where: The file, variable or argument; for the message.

    Raises:
        ValidationError: There is no such field, or the value is not one of it.
    """
    annotation = FIELDS.get(name)
    if annotation is None:
        if not name.startswith("x_") or len(name) == 2:
            _refuse_name(name, where)
        _warn_of_unknown(name)
        return value
    if annotation.startswith("Optional["):
        if value is None:
            return None
        annotation = annotation[len("Optional[") : -1]
    try:
        value = _CHECKED_TYPES[annotation](value)
        if name in CHOICES and value is not None and value not in CHOICES[name]:
            known = ", ".join(str(choice) for choice in CHOICES[name])
            raise ValueError(f"{value!r} is not one of {known}")
        rule = _RULES.get(name)
        return rule(value) if rule else value
    except ValueError as e:
        reason = "has a wrong form" if name in SECRET_FIELDS and name != "api_key" else str(e)
        raise ValidationError(name, f"{reason} (from {where})" if where else reason) from None


def _refuse_name(name: str, where: str = "") -> NoReturn:
    import difflib

    near = difflib.get_close_matches(name, FIELDS, n=1)
    raise ValidationError(
        name,
        "there is no such setting" + (f" (from {where})" if where else ""),
        hint=f"did you mean {near[0]!r}?" if near else "wandb status --all lists them",
    )


def _warn_of_unknown(name: str) -> None:
    from wandb import term

    term.termwarn(f"the internal setting {name!r} is not known and has no effect", repeat=False)


def _shown(name: str, value: Any) -> Any:
    return "***" if name in SECRET_FIELDS and value is not None else value


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted under us
        import tempfile

        return tempfile.gettempdir()


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


# The type checks, by annotation: each takes what was given and returns the field's type or raises ValueError.

_TRUE = ("true", "1", "yes", "on", "t", "y")
_FALSE = ("false", "0", "no", "off", "f", "n")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if hasattr(value, "__fspath__"):
        path = os.fspath(value)
        return path if isinstance(path, str) else os.fsdecode(path)
    raise ValueError(f"{value!r} is not text")


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    elif value in (0, 1):
        return bool(value)
    raise ValueError(f"{value!r} is neither true nor false")


def _whole(value: Any) -> int:
    try:
        if not isinstance(value, bool) and int(value) == (
            value if not isinstance(value, str) else int(value)
        ):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{value!r} is not a whole number")


def _number(value: Any) -> float:
    try:
        number = float(value)
        if not isinstance(value, bool) and number == number:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{value!r} is not a number")


def _texts(value: Any) -> Tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(_text(item) for item in _items(value))


def _wholes(value: Any) -> Tuple[int, ...]:
    items = value.split(",") if isinstance(value, str) else _items(value)
    return tuple(_whole(item) for item in items)


def _items(value: Any) -> Any:
    if isinstance(value, (bytes, dict)) or not hasattr(value, "__iter__"):
        raise ValueError(f"{value!r} is not a sequence")
    return value


def _mapping(value: Any) -> Dict[str, str]:
    if isinstance(value, str):
        import json

        value = json.loads(value)
    if not hasattr(value, "items"):
        raise ValueError(f"{value!r} is not a mapping")
    return {_text(key): _text(item) for key, item in value.items()}


def _resume(value: Any) -> Optional[str]:
    if value in (True, False):
        return "auto" if value else None
    return _text(value)


def _reinit(value: Any) -> Reinit:
    if isinstance(value, str) and value in CHOICES["reinit"]:
        return value
    return _truth(value)


def _moment(value: Any) -> RunMoment:
    return value if isinstance(value, RunMoment) else RunMoment.from_uri(_text(value))


def _anything(value: Any) -> Any:
    return value


_CHECKED_TYPES: Dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "bool": _truth,
    "int": _whole,
    "float": _number,
    "Tuple[str, ...]": _texts,
    "Tuple[int, ...]": _wholes,
    "Dict[str, str]": _mapping,
    "Reinit": _reinit,
    "Resume": _resume,
    "RunMoment": _moment,
    "Any": _anything,
}


# The rules of single fields, after the type check: each returns the value or raises ValueError.


def _unicode_rule(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as e:
        raise ValueError(f"{value!r} is not valid text: {e.reason}") from None
    return value


def _project_rule(value: str) -> str:
    for char in _unicode_rule(value):
        if char in PROJECT_CHARS_REFUSED:
            refused = " ".join(PROJECT_CHARS_REFUSED)
            raise ValueError(
                f"invalid project name {value!r}: cannot contain any of {refused}, found {char!r}"
            )
    if len(value) > MAX_PROJECT_CHARS:
        raise ValueError(f"invalid project name {value!r}: exceeds {MAX_PROJECT_CHARS} characters")
    return value


def _id_rule(value: str) -> str:
    if not value:
        raise ValueError("the id cannot be empty")
    if value != value.strip():
        raise ValueError(f"the id {value!r} cannot start or end with whitespace")
    return value


def _run_id_rule(value: str) -> str:
    for char in _id_rule(value):
        if char in RUN_ID_CHARS_REFUSED:
            refused = " ".join(RUN_ID_CHARS_REFUSED)
            raise ValueError(f"the run id {value!r} cannot contain any of {refused}, found {char!r}")
    if not value.isprintable() or len(value.encode("utf-8", "replace")) > 200 or value in (".", ".."):
        # It becomes part of a file's name.
        raise ValueError(f"the run id {value[:200]!r} has control characters or exceeds 200 bytes")
    return value


def _tags_rule(value: Tuple[str, ...]) -> Tuple[str, ...]:
    for i, tag in enumerate(map(_unicode_rule, value)):
        if not 1 <= len(tag) <= MAX_TAG_CHARS:
            raise ValueError(f"tag {i} has {len(tag)} characters; it must have 1 to {MAX_TAG_CHARS}")
    return value


def _url_rule(value: str) -> str:
    scheme, mark, rest = value.partition("://")
    host = rest.split("/", 1)[0]
    if scheme.lower() not in ("http", "https") or not mark or not host or any(c.isspace() for c in value):
        raise ValueError(f"{value!r} is not the URL of a server, which looks like {DEFAULT_BASE_URL}")
    return value.rstrip("/")


def _base_url_rule(value: str) -> str:
    value = _url_rule(value)
    if "@" in value.partition("://")[2].split("/", 1)[0]:
        raise ValueError("the URL of the server cannot contain a user name or password")
    host = value.partition("://")[2].split("/", 1)[0].lower()
    if host in ("wandb.ai", "www.wandb.ai", "app.wandb.ai"):
        raise ValueError(f"{value} is not a valid server address, did you mean {DEFAULT_BASE_URL}?")
    if host == "api.wandb.ai" and value.lower().startswith("http:"):
        raise ValueError(f"http is not secure, please use {DEFAULT_BASE_URL}")
    return value


def _api_key_rule(value: str) -> str:
    if value != value.strip():
        raise ValueError("the API key cannot start or end with whitespace")
    return value


def _interval_rule(value: float) -> float:
    if value < MIN_STATS_INTERVAL_S:
        raise ValueError(f"{value!r} is less than {MIN_STATS_INTERVAL_S} seconds")
    return value


def _quota_rule(value: Optional[int]) -> Optional[int]:
    if value is not None and value < MIN_QUOTA_BYTES:
        raise ValueError(f"must be at least {MIN_QUOTA_BYTES}, for the records that each run has")
    return value


def _positive_rule(value: float) -> float:
    if value <= 0:
        raise ValueError(f"{value!r} is not greater than 0")
    return value


_RULES: Dict[str, Callable[[Any], Any]] = {
    "entity": _unicode_rule,
    "project": _project_rule,
    "run_group": _unicode_rule,
    "run_id": _run_id_rule,
    "run_job_type": _unicode_rule,
    "run_name": _unicode_rule,
    "run_notes": _unicode_rule,
    "sweep_id": _id_rule,
    "run_tags": _tags_rule,
    "base_url": _base_url_rule,
    "http_proxy": _url_rule,
    "https_proxy": _url_rule,
    "api_key": _api_key_rule,
    "x_stats_sampling_interval": _interval_rule,
    "quota_bytes": _quota_rule,
    "x_log_sync_interval": _positive_rule,
    "x_log_backlog_bytes": _positive_rule,
    "x_log_retry_interval": _positive_rule,
    "x_log_write_timeout": _positive_rule,
}


def _check_together(state: Mapping[str, Any]) -> None:
    given = [name for name in ("resume", "resume_from", "fork_from") if state.get(name) is not None]
    if len(given) > 1:
        raise ValidationError(given[0], f"{' and '.join(given)} exclude each other")


def _declared_fields() -> Dict[str, str]:
    fields = {name: kind for name, kind in Settings.__annotations__.items() if name[0] != "_"}
    for name, (kind, default) in ACCEPTED_ONLY.items():
        fields[name] = kind
        setattr(Settings, name, default)
    return fields


FIELDS: Dict[str, str] = _declared_fields()  # name -> annotation
