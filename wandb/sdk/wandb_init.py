"""`wandb.init()`: settings, a directory, a log with its first records, and what watches beside the run.

Offline it makes a directory, a file and a link: no connection, no child process, nothing to wait for.
"""

from __future__ import annotations

import os
import sys
from time import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from wandb import __version__, env
from wandb.backend.base import Backend
from wandb.errors import UsageError
from wandb.internal import names
from wandb.internal.environment import git_record, software, writer_identity
from wandb.internal.git import GitState, git_state
from wandb.internal.observers import Observers
from wandb.internal.program import Program, find_program
from wandb.sdk import active, run_directory, wandb_config, wandb_setup
from wandb.sdk.beginning import Beginning, Earlier, was_requeued
from wandb.sdk.guard import Guard
from wandb.sdk.run_directory import RunDirectory
from wandb.sdk.wandb_run import Run, RunIdentity, _tell, joined, joined_runs
from wandb.sdk.wandb_settings import CHOICES, Settings, Source
from wandb.term import termwarn

DEFAULT_PROJECT = "uncategorized"  # as in wandb
DEFAULT_CONFIG_FILE = "config-defaults.yaml"  # in the working directory
NO_SETTINGS = frozenset(  # arguments of init that are no settings, or of no meaning any more
    ("config", "config_exclude_keys", "config_include_keys", "settings", "anonymous", "magic")
)


def init(
    entity: Optional[str] = None,
    project: Optional[str] = None,
    dir: Union[str, os.PathLike[str], None] = None,
    id: Optional[str] = None,
    name: Optional[str] = None,
    notes: Optional[str] = None,
    tags: Union[str, Sequence[str], None] = None,
    config: Any = None,
    config_exclude_keys: Optional[Sequence[str]] = None,
    config_include_keys: Optional[Sequence[str]] = None,
    allow_val_change: Optional[bool] = None,
    group: Optional[str] = None,
    job_type: Optional[str] = None,
    mode: Optional[str] = None,
    force: Optional[bool] = None,
    reinit: Union[bool, str, None] = None,
    resume: Union[bool, str, None] = None,
    resume_from: Optional[str] = None,
    fork_from: Optional[str] = None,
    save_code: Optional[bool] = None,
    tensorboard: Optional[bool] = None,
    sync_tensorboard: Optional[bool] = None,
    monitor_gym: Optional[bool] = None,
    settings: Union[Settings, Dict[str, Any], None] = None,
    anonymous: Any = None,
    magic: Any = None,
) -> Run:
    """Open a run and make it the process's current one.

    Args:
        entity: The user or team it belongs to.
        project: The project; "uncategorized" if nobody says.
        dir: The directory that `wandb/` is made in.  Default: the working directory.
        id: The run's identifier; 8 random characters if not given.
        name: The name people see.
        notes: Free text.
        tags: Labels.
        config: What the run is started with: a dict, an argparse Namespace, absl FLAGS, or the path of a
            YAML file.
        config_exclude_keys: Keys of `config` to leave out.
        config_include_keys: Keys of `config` to take, and no others.
        allow_val_change: Let config values change later.
        group: The group of runs it belongs to.
        job_type: What kind of work it is: "train", "eval" ...
        mode: "online", "offline" or "disabled".  Default: online if there is an API key, else offline.
        force: Fail if nobody is logged in.
        reinit: What to do if there is a run already: "return_previous" (default), "finish_previous" (or
            True; in notebooks the default), "create_new".
        resume: Whether the run goes on from an earlier one of its id, looked for in the directory of runs:
            "allow", "must" (with a warning if there is none), "never", "auto" (the run that this job, or the
            last program here, had and did not end well), or the id itself.
        resume_from: "RUN?_step=N": the run goes on behind step N; what came later is dropped by the syncer.
        fork_from: "RUN?_step=N": a new run that begins behind step N of another one.
        save_code: Keep the main script with the run.
        tensorboard, sync_tensorboard: Record what is written for TensorBoard too.
        monitor_gym: Accepted with a warning; nothing of it is recorded yet.
        anonymous, magic: Accepted for old scripts.
        settings: More settings; what is said by name above counts more.

    Returns:
        The run.  Nothing more has to be done for it to be recorded; `finish()` or the end of the program
        ends it.

    Raises:
        ValidationError: An argument, a setting or a config value cannot be used.
        LogWriteError: The run directory or the log cannot be made.
    """
    arguments = dict(locals())  # a copy: under a debugger, the names below come into the original
    given = {name: value for name, value in arguments.items() if name not in NO_SETTINGS}
    if isinstance(tags, str):
        given["tags"] = (tags,)
    if isinstance(resume, str) and resume not in CHOICES["resume"]:
        given.update(id=resume, resume="allow")  # wandb takes the id here too
    if sync_tensorboard is not None:
        given["tensorboard"] = None  # two names of one setting
    setup = wandb_setup.setup()
    resolved = setup.settings_for_run(settings, given)

    previous = active.current or (setup.active_runs[-1] if setup.active_runs else None)
    if previous is not None and previous not in setup.active_runs:
        previous = None  # it is the parent's; this process may have a run of its own
    if previous is not None and resolved.reinit != "create_new":
        returns = (False, "return_previous") if resolved._ipython else (False, "return_previous", "default")
        if resolved.reinit in returns:
            if config is not None:
                termwarn(
                    "wandb.init() was called while a run is active; its config is not used.", repeat=False
                )
            return previous
        for run in list(setup.active_runs):
            run.finish()

    config = wandb_config.selected(
        wandb_config.parse_config(config),
        list(config_include_keys or ()),
        list(config_exclude_keys or ()),
    )
    run = _open_run(setup, resolved, _with_defaults(config, resolved), arguments)
    if resolved.reinit != "create_new":
        active.make_current(run)
    return run


def _open_run(
    setup: wandb_setup.Setup, settings: Settings, config: Dict[str, Any], arguments: Mapping[str, Any]
) -> Run:
    """Make the directory, the log and the run, and start what watches it.

    What the user may have done wrong is looked at first: a call that raises leaves nothing on the disk.
    """
    checked = wandb_config.Config()
    checked.update(config, allow_val_change=True)
    start_time = settings.x_start_time or time()
    settings.update({"x_start_time": start_time, "mode": _mode(settings)}, Source.COMPUTED, "wandb.init")
    disabled = settings.disabled
    guard = Guard(raises=settings.on_error == "raise")
    directory = None
    backend: Backend
    if disabled:
        from wandb.backend.memory import NullBackend

        backend = NullBackend()
        beginning = Beginning(settings.run_id or names.generate_id())
    else:
        beginning, directory = _begin(setup, settings)
        backend = run_directory.open_log(settings, directory, directory.log, guard.swallow)
    earlier = beginning.earlier or Earlier()
    who = earlier.who
    fill = {
        "run_id": beginning.run_id,
        "project": settings.project or who.get("project") or ("dummy" if disabled else DEFAULT_PROJECT),
        "x_files_dir": directory.files if directory is not None else settings.x_files_dir,
    }
    settings.update(
        {k: v for k, v in fill.items() if getattr(settings, k) != v}, Source.COMPUTED, "wandb.init"
    )
    around = _look_around(settings)
    run = Run(
        RunIdentity(
            run_id=settings.run_id or "",
            project=settings.project or "",
            entity=settings.entity or who.get("entity", ""),
            name=settings.run_name or (f"dummy-{settings.run_id}" if disabled else who.get("display_name")),
            notes=settings.run_notes or who.get("notes"),
            tags=tuple(who.get("tags", ()) if settings.run_tags is None else settings.run_tags),
            group=settings.run_group or who.get("run_group", ""),
            job_type=settings.run_job_type or who.get("job_type", ""),
            sweep_id=settings.sweep_id or who.get("sweep_id"),
        ),
        backend,
        directory,
        settings=settings.freeze(),
        start_time=start_time,
        run_fields={**_run_fields(settings, around, beginning.side_id), **beginning.run_fields},
        telemetry=_telemetry(settings, arguments, beginning),
        temporary_dir=settings.files_dir if disabled else "",
        on_finished=lambda run: _forget(setup, run),
        earlier=beginning.earlier,
        starting_step=beginning.starting_step,
        guard=guard,
        files=run_directory.run_files(settings, directory, backend, guard.swallow),
        is_side=beginning.side_id != "",
    )
    try:
        run._open(checked.as_dict(), {})
        if not disabled and not settings.x_disable_meta and not beginning.side_id:
            run._append_environment(_environment(settings, around, start_time))
        backend.opened()
    except BaseException:
        backend.close()
        if directory is not None:
            directory.remove()
        raise
    setup.active_runs.append(run)
    run._end_with_process()
    if directory is not None:
        run._watch(_observers(settings, run, directory.files, around.writer_id, bool(beginning.side_id)))
        if settings.save_code and not settings.disable_code:
            run._keep_code(around.program)
        if settings.sync_tensorboard:
            run._guarded("init", _hear_tensorboard, run)
        _warn_of_what_is_not_recorded(settings)
        if not settings.silent and not settings.quiet:
            _tell(f"Run data is saved locally in {directory.path}")
        if _is_uploaded(settings) and not beginning.side_id:
            from wandb.sdk.online import Online  # which starts a process, and needs more for it

            run._go_online(Online(directory.log, settings, run._learn, guard.swallow))
        if settings._ipython:
            run._guarded("init", run._watch_notebook)
    return run


def _begin(setup: wandb_setup.Setup, settings: Settings) -> Tuple[Beginning, RunDirectory]:
    """Find out where the run begins, and make its directory."""
    if settings._shared and settings.run_id and not settings.x_primary:
        return _begin_beside(settings, settings.run_id)
    beginning: Optional[Beginning] = None
    is_about_a_run = settings.run_id or settings.resume or settings.resume_from or settings.fork_from
    if is_about_a_run or was_requeued():
        from wandb.sdk import wandb_resume  # most runs begin at nothing

        told: List[str] = []
        beginning = wandb_resume.begin(settings, told.append, setup.n_auto_runs)
        is_other = bool(beginning and settings.run_id and beginning.run_id != settings.run_id)
        if settings._shared and settings.run_id and is_other:
            return _begin_beside(settings, settings.run_id)  # another process has the main log
        for text in told:
            termwarn(text)
    beginning = beginning or Beginning("")
    is_named = bool(beginning.run_id)
    while True:
        run_id = beginning.run_id or names.generate_id()
        beginning = beginning._replace(run_id=run_id)
        directory = run_directory.create(
            settings.wandb_dir,
            run_id,
            settings.x_start_time or 0.0,
            settings.run_mode,
            link_latest=settings.symlink,
        )
        others = wandb_resume.rivals(directory, beginning) if is_named else []
        if not others:
            break
        directory.remove()
        if settings._shared:
            return _begin_beside(settings, run_id)
        beginning = wandb_resume.apart(beginning, settings.wandb_dir)
        termwarn(
            f"run {run_id} is begun by somebody else at this moment, in {others[0]}. This recording is kept "
            f"apart, as run {beginning.run_id}."
        )
    if settings.resume == "auto":
        setup.n_auto_runs += 1
        wandb_resume.remember_auto(settings, run_id)
    return beginning, directory


def _begin_beside(settings: Settings, run_id: str) -> Tuple[Beginning, RunDirectory]:
    """Make the directory of a process that records a shared run beside the primary one."""
    side_id = names.generate_id()
    directory = run_directory.create(
        settings.wandb_dir,
        run_id,
        settings.x_start_time or 0.0,
        settings.run_mode,
        link_latest=False,
        side_id=side_id,
    )
    return Beginning(run_id, side_id=side_id), directory


def _warn_of_what_is_not_recorded(settings: Settings) -> None:
    if settings.monitor_gym:
        termwarn(
            "monitor_gym: Gym's videos are not recorded by wandb-ng yet; log() what you need.", repeat=False
        )


def _hear_tensorboard(run: Run) -> None:
    from wandb.integration.tensorboard.monkeypatch import patch_for_init

    try:
        patch_for_init()
    except UsageError as error:  # none of its writers is installed: there is nothing to miss
        termwarn(f"sync_tensorboard: {error}", repeat=False)
        return
    run._watched_events()


def _mode(settings: Settings) -> str:
    """Return the mode: what was said, else online for whoever has an API key."""
    mode = {"dryrun": "offline", "run": "online"}.get(settings.mode, settings.mode)
    if mode == "online" and not settings.source("mode").is_explicit:
        from wandb.sdk.wandb_login import find_key

        try:
            found = find_key(settings, settings.base_url)
        except UsageError as error:
            termwarn(f"{error}. It is taken as if it held no key.", repeat=False)
            found = None
        if not found:
            return "offline"
    return mode


def _is_uploaded(settings: Settings) -> bool:
    """Return whether the run is uploaded while it is recorded.

    A shared one is, by the process that has its main log, for whoever has a key and has not said offline.
    """
    if settings.mode != "shared":
        return settings.mode in ("online", "run")
    from wandb.sdk.wandb_login import find_key

    try:
        return env.get("WANDB_MODE") != "offline" and bool(find_key(settings, settings.base_url))
    except UsageError:
        return False  # a netrc that cannot be read


def _with_defaults(config: Dict[str, Any], settings: Settings) -> Dict[str, Any]:
    """Return the config with what YAML files say of the keys that it lacks."""
    defaults: Dict[str, Any] = {}
    if not settings.disabled and os.path.exists(DEFAULT_CONFIG_FILE):
        defaults.update(wandb_config.load_yaml(DEFAULT_CONFIG_FILE))
    for path in settings.config_paths or ():
        defaults.update(wandb_config.load_yaml(path))
    return {**defaults, **config}


class _Surroundings:
    """What is known of the program when a run begins."""

    __slots__ = ("program", "git", "writer_id")

    def __init__(self, program: Program, git: Optional[GitState], writer_id: str) -> None:
        self.program = program
        self.git = git
        self.writer_id = writer_id


def _look_around(settings: Settings) -> _Surroundings:
    start = os.path.dirname(
        settings.program_abspath or getattr(sys.modules.get("__main__"), "__file__", "") or ""
    )
    git = None if settings.disable_git else git_state(start or os.getcwd(), settings.git_remote)
    if settings.git_commit or settings.git_remote_url:
        git = GitState(
            root=git.root if git else "",
            remote_url=settings.git_remote_url or (git.remote_url if git else None),
            commit=settings.git_commit or (git.commit if git else None),
            branch=None,
        )
    notebook = _notebook(settings)
    root = git.root or None if git else None
    program = find_program(settings.program, root, notebook.get("path"), notebook.get("root"))
    return _Surroundings(program, git, names.generate_writer_id())


def _notebook(settings: Settings) -> Mapping[str, str]:
    """Return where the notebook is that this kernel runs, as far as that is known; {} if it is none."""
    if not settings._jupyter:
        return {}
    from wandb import jupyter

    return jupyter.notebook_metadata(settings)


def _environment(settings: Settings, around: _Surroundings, start_time: float) -> Dict[str, Any]:
    """Return the EnvironmentRecord's fields about the process; without machine info, its program's only."""
    fields = software(
        started_at_s=start_time,
        writer_id=around.writer_id,
        program=around.program,
        git=around.git,
        root=os.path.abspath(os.path.expanduser(settings.root_dir)),
        host=settings.host,
        username=settings.username,
        email=settings.email,
        executable=settings.x_executable,
    )
    if settings.x_disable_machine_info:
        kept = ("python", "started_at", "program", "code_path", "git", "writer_id")
        return {name: fields[name] for name in kept if name in fields}
    return fields


def _run_fields(settings: Settings, around: _Surroundings, side_id: str) -> Dict[str, Any]:
    """Return the fields of RunRecord that stay the same for the whole run."""
    writer = writer_identity()
    host = "" if settings.x_disable_machine_info else writer["host"]
    if settings._shared:
        writer["shared"] = True
        writer["keeps_state"] = not settings.x_update_finish_state
    if side_id:
        writer.update(side=True, id=side_id)
    if settings.x_label:
        writer["label"] = settings.x_label
    fields: Dict[str, Any] = {
        "host": host and (settings.host or host),
        "git": git_record(around.git),
        "writer": {**writer, "host": host},
    }
    return fields


def _telemetry(settings: Settings, arguments: Mapping[str, Any], beginning: Beginning) -> Dict[str, Any]:
    """Return the fields of TelemetryRecord; they stay in the log until the user syncs it."""
    features = {
        "set_init_name": "name",
        "set_init_id": "id",
        "set_init_tags": "tags",
        "set_init_config": "config",
    }
    feature = {field: True for field, argument in features.items() if arguments[argument]}
    if settings._offline:
        feature["offline"] = True
    if beginning.run_fields.get("resumed"):
        feature["resumed"] = True
    if settings._shared:
        feature["shared_mode"] = True
    if settings.sync_tensorboard:
        feature["tensorboard_sync"] = True
    machine = os.uname().machine if hasattr(os, "uname") else ""
    return {
        "feature": feature,
        "python_version": ".".join(map(str, sys.version_info[:3])),
        "cli_version": __version__,
        "platform": f"{sys.platform}-{machine}",
    }


def _observers(settings: Settings, run: Run, files_dir: str, writer_id: str, is_side: bool) -> Observers:
    stats = (
        0.0
        if settings.x_disable_stats or settings.x_disable_machine_info
        else settings.x_stats_sampling_interval
    )
    return Observers(
        run._backend.append,
        run._guard.swallow,
        files_dir=files_dir,
        console=settings.console,
        system_metrics_interval_s=stats,
        # As wandb: what measures it, describes it; and of a shared run only the primary process does.
        machine_info=not settings.x_disable_meta and stats > 0 and not is_side,
        packages=settings.x_save_requirements and not settings.x_disable_meta and not is_side,
        label=settings.x_label or "",
        writer_id=writer_id,
        lock=run._backend.lock,
        console_lines=run._earlier.console,
    )


def _forget(setup: wandb_setup.Setup, run: Run) -> None:
    if run in setup.active_runs:
        setup.active_runs.remove(run)
    if active.current is run:
        active.current = None
    if run._settings.resume == "auto" and run._exit_code == 0 and not run._is_side:
        from wandb.sdk.wandb_resume import forget_auto

        forget_auto(run._settings)


def _join_all_in_child() -> None:
    """In a forked child: the parent's runs are the parent's; the child may add to them, or init its own."""
    setup = wandb_setup._singleton
    runs = list(joined_runs.values())
    if setup is not None:
        runs += [run for run in setup.active_runs if run not in runs]
        setup.active_runs = []
    for run in runs:
        run._join_in_child()


def attach(attach_id: Optional[str] = None, run_id: Optional[str] = None, **options: Any) -> Run:
    """Return a run of this process, or join one that another process records at this moment.

    Args:
        attach_id, run_id: Its id; it is looked for where `wandb.init()` would record.  Or the path of its
            directory (`run.sync_dir` there).  Neither for this process's own run.

    Raises:
        UsageError: There is no such run, or it has ended.
    """
    run_id = run_id or attach_id
    for run in wandb_setup.singleton().active_runs:
        if run_id in (None, run.id, run.sync_dir):
            return run  # type: ignore[no-any-return]
    if run_id is None and active.current is not None:
        return active.current
    if not run_id:
        raise UsageError("attach: this process has no run", hint="give the id of another process's run")
    from wandb.sdk.wandb_resume import attached

    directory, who, earlier, begin = attached(wandb_setup.setup().settings.wandb_dir, run_id)
    return joined(directory, who, earlier, *begin)


_attach = attach  # the name that Lightning calls it by, with a run's `_attach_id`


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_join_all_in_child)
