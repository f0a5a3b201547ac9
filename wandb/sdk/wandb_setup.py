"""`wandb.setup()`: what the runs of one process have in common.

The environment and the settings files are read once, at the first `setup()` (which the first `init()`
calls), and not again until `teardown()`: a program that changes `os.environ` halfway does not change half of
its runs.

Rule: nothing here opens a connection or starts a thread or a process.
"""

from __future__ import annotations

import os

from wandb import env, settings_file, term
from wandb.errors import UsageError
from wandb.sdk import settings_layers
from wandb.sdk.settings_layers import Layer
from wandb.sdk.wandb_settings import Settings, Source

TYPE_CHECKING = False  # see wandb_settings
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Union


class Setup:
    """The process's settings, before those of a run are added.

    Attributes:
        environ: The WANDB_* variables and NETRC as they were when they were read.
        active_runs: The runs that are not finished, the latest last; kept by `Run`.
        left_out: Why settings files do not count that cannot be read or parsed.
    """

    def __init__(self) -> None:
        self.environ: Mapping[str, str] = env.snapshot()
        self.active_runs: List[Any] = []
        self.n_auto_runs = 0  # begun with resume="auto": each has an id of its own in its job
        self._pid = os.getpid()
        self.left_out: List[UsageError] = []
        self._layers = self._layers_outside_code()
        path = self.environ.get("WANDB_ENFORCED_SETTINGS_FILE") or settings_layers.ENFORCED_FILE
        self._enforced = settings_file.read_sections(path)
        self._setup_values: Dict[str, Any] = {}
        self._login_values: Dict[str, Any] = {}
        self._settings: Optional[Settings] = None

    @property
    def settings(self) -> Settings:
        """What holds for every run of the process; frozen."""
        if self._settings is None:
            self._settings = self._resolve().freeze()
        return self._settings

    def settings_for_run(
        self,
        init_settings: Union[Settings, Dict[str, Any], None] = None,
        init_args: Optional[Mapping[str, Any]] = None,
        locked: Optional[Mapping[str, Any]] = None,
    ) -> Settings:
        """The settings of one run, not frozen yet.  Overrides are reported, each once.

        Args:
            init_settings: The argument `settings` of `wandb.init()`.
            init_args: Its other arguments, by their own names or the fields'; None means not given.
            locked: What a sweep or a launch queue chose; it wins over code.

        Raises:
            ValidationError: A value is wrong.
        """
        settings = self._resolve(
            settings_layers.code_layer(Source.INIT_SETTINGS, init_settings),
            settings_layers.argument_layer(init_args or {}),
            Layer(Source.SWEEP, locked or {}, str(Source.SWEEP)),
        )
        term.termsetup(settings)
        self.tell_left_out()
        for sentence in settings.overrides():
            term.termwarn(sentence, repeat=False)
        if not settings.disabled:
            _use_writable_root(settings)
        return settings

    def tell_left_out(self) -> None:
        """Warn of the settings files that do not count, of each once."""
        for error in self.left_out:
            term.termwarn(f"{error}. The file is left out.", repeat=False)

    def update(self, settings: Union[Settings, Dict[str, Any], None]) -> None:
        """Add what `wandb.setup(settings)` says; nothing is changed if a value is wrong."""
        values = {**self._setup_values, **settings_layers.code_layer(Source.SETUP, settings).values}
        self._change(setup=values, login=self._login_values)

    def record_login(self, **values: Any) -> None:
        """Add what `wandb.login()` found out: the key, the server, the mode."""
        self._change(setup=self._setup_values, login={**self._login_values, **values})

    def _layers_outside_code(self) -> List[Layer]:
        path = settings_file.global_path(self.environ)
        try:
            workspace = settings_file.workspace_path(os.getcwd())
        except OSError:  # the working directory was deleted under us
            workspace = os.devnull
        return [
            Layer(Source.COMPUTED, {"settings_system": path}),
            self._file_layer(Source.GLOBAL_FILE, path),
            self._file_layer(Source.WORKSPACE_FILE, workspace),
            settings_layers.environment_layer(self.environ),
        ]

    def _file_layer(self, source: Source, path: str) -> Layer:
        """What a settings file says; nothing if it cannot be read: that is no reason not to record."""
        try:
            return settings_layers.file_layer(source, path)
        except UsageError as error:
            self.left_out.append(error)
            return Layer(source, {}, path)

    def _change(self, setup: Dict[str, Any], login: Dict[str, Any]) -> None:
        before = self._setup_values, self._login_values
        self._setup_values, self._login_values = setup, login
        try:
            self._settings = self._resolve().freeze()
        except Exception:
            self._setup_values, self._login_values = before
            raise

    def _resolve(self, *layers: Layer) -> Settings:
        return settings_layers.resolve(
            *self._layers,
            Layer(Source.SETUP, self._setup_values, str(Source.SETUP)),
            Layer(Source.LOGIN, self._login_values, str(Source.LOGIN)),
            *layers,
            enforced=self._enforced,
        )


_singleton: Optional[Setup] = None


def setup(settings: Union[Settings, Dict[str, Any], None] = None) -> Setup:
    """Prepare the process for runs; called again, it adds its settings to the earlier ones.

    `wandb.init()` calls it, so a program needs it only to give settings that hold for all of its runs.

    Raises:
        ValidationError: A value in the settings, a settings file or the environment is wrong.
    """
    this = singleton()
    if settings is not None:
        this.update(settings)
    return this


def setup_command(settings: Union[Settings, Dict[str, Any], None] = None) -> Setup:
    """As `setup()`, for a command: nothing is recorded by it, so it may stop at a file that has to be mended.

    Raises:
        UsageError: A settings file cannot be read or parsed.
        ValidationError: As of `setup()`.
    """
    this = setup(settings)
    for error in this.left_out:
        raise error
    return this


def singleton() -> Setup:
    """The process's `Setup`, made if there is none yet."""
    global _singleton
    if _singleton is None:
        _singleton = Setup()
    elif _singleton._pid != os.getpid():
        # A forked child goes on with the parent's settings; the parent's runs are not the child's.
        _singleton._pid = os.getpid()
        _singleton.active_runs = []
    return _singleton


def teardown(exit_code: Optional[int] = None) -> None:
    """Finish all runs and forget the settings; the next `setup()` reads everything anew."""
    global _singleton
    this, _singleton = _singleton, None
    if this is not None and this._pid == os.getpid():
        for run in list(this.active_runs):
            run.finish(exit_code)


def _use_writable_root(settings: Settings) -> None:
    """Record under the system's temporary directory if nothing can be written where the user said."""
    directory = settings.wandb_dir
    while not os.path.exists(directory):
        parent = os.path.dirname(directory)
        if parent == directory:
            break
        directory = parent or os.curdir
    if os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK):
        return
    import tempfile

    instead = tempfile.gettempdir()
    term.termwarn(
        f"Path {settings.wandb_dir} wasn't writable, using system temp directory {instead}.", repeat=False
    )
    settings.update({"root_dir": instead}, Source.COMPUTED, "the directory was not writable")
