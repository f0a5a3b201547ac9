"""Where a run begins: at nothing, or where an earlier segment of it has ended.

Offline there is nobody to ask but the directory of runs (wandb.backend.segments).  What it says goes into the
run: step, runtime, config, summary, definitions, name, tags; and into the log: which segment it follows, and
how many lines of each stream the earlier ones have, so that the syncer can lay every row in its place
whatever arrives first.

    resume            an earlier segment is here              none is here
    allow, an id      goes on from it                         begins; the syncer asks the server
    must              goes on from it                         begins, with a warning; the syncer asks
    never             UsageError                              begins
    auto              allow, for the id that this job had     begins under an id that the job will find again
    not given         begins anew; its rows follow            begins

Rule 1: a segment that somebody still writes is never followed: the new recording gets an id of its own, and
        the user is told.
Rule 2: two that begin at the same moment see each other: each makes its directory first and looks then.
"""

from __future__ import annotations

import json
import os
from time import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from wandb import env
from wandb.backend import segments
from wandb.backend.segments import Segment
from wandb.errors import LogError, PackageMissing, UsageError, ValidationError
from wandb.interface.records import path_of, value_of
from wandb.processes import Life
from wandb.sdk.beginning import Beginning, Earlier, step_of, was_requeued
from wandb.sdk.run_directory import RunDirectory
from wandb.transaction_log.format import LOG_SUFFIX
from wandb.transaction_log.side_logs import side_logs

SAME_MOMENT_S = 5.0  # directories that were made within it may both be about to get their log
NEARLY_TOGETHER_S = 60.0  # processes of one shared run begin within it
JUST_MADE_S = 1.0  # a directory that has no run record after it belongs to a start that was killed


def read(segment: Segment) -> Earlier:
    """Return what a run has come to at the end of a segment.

    Raises:
        LogError: The log cannot be read.
    """
    earlier = Earlier()
    state, earlier.end = segments.last_state(segment.log)
    if state:
        earlier.begin_with(state)
    for record, earlier.end in segments.records(segment.log, earlier.end):
        earlier.take(record)
    earlier.end_row()
    for log in _side_logs(segment):
        for record, _ in segments.records(log, 0):
            earlier.take_side(record)
    return earlier


def _side_logs(segment: Segment) -> List[str]:
    """Return the side logs of a segment; those of a shared run that began before are of earlier ones."""
    found = []
    for log in side_logs(segment.log, is_shared=_is_shared(segment)):
        run = segments.run_record(log)
        if run is not None and Segment(log, run).started_s >= segment.started_s - NEARLY_TOGETHER_S:
            found.append(log)
    return found


def _is_shared(segment: Segment) -> bool:
    return bool(segment.run.get("writer", {}).get("shared"))


def attached(wandb_dir: str, run: str) -> Tuple[RunDirectory, Dict[str, Any], Earlier, Tuple[Any, ...]]:
    """Find a run that another process records at this moment.

    Args:
        run: Its id, or its directory.

    Returns:
        Its directory, the fields of its run record, what it has come to, and what else
        `wandb_run.joined` takes: when it began, its earlier runtime, the zero of its runtime, its mode.

    Raises:
        UsageError: There is none, or it has ended.
    """
    if os.path.isdir(run):
        logs = [os.path.join(run, e) for e in sorted(os.listdir(run)) if e.endswith(LOG_SUFFIX)]
        here = [Segment(log, fields) for log in logs if (fields := segments.run_record(log)) is not None]
    else:
        here = segments.find(wandb_dir, run)
    if not here:
        raise UsageError(
            f"attach: {run} is no run in {wandb_dir}", hint="give run.sync_dir of the process that has it"
        )
    last = here[-1]
    earlier = read(last)
    if earlier.exit_code is not None or last.life() is Life.DEAD:
        raise UsageError(
            f"attach: run {run} has ended", hint="wandb.init(id=..., resume='allow') goes on with it"
        )
    path = os.path.dirname(os.path.abspath(last.log))
    directory = RunDirectory(
        path, os.path.join(path, os.path.basename(last.log)), os.path.join(path, "files")
    )
    mode = "offline" if os.path.basename(path).startswith("offline-") else "online"
    runtime = last.run.get("runtime", 0)
    zero = last.run.get("writer", {}).get("runtime_zero", last.started_s - runtime)
    return directory, last.run, earlier, (last.started_s, runtime, zero, mode)


def read_until(chain: List[Segment], step: float) -> Earlier:
    """Return what a run had come to behind the row of a step: for a run that is rewound.

    Raises:
        LogError: A log cannot be read.
    """
    earlier = Earlier()
    for segment in chain:
        is_reached = False  # by a row that waits: what is said until its end was said before it
        for record, _ in segments.records(segment.log, 0):
            pending = record.get("footer", {}).get("pending")
            if "history" in record and step_of(record["history"]) > step:
                return earlier
            if pending is not None and step_of(pending) > step:
                is_reached = True
            elif (pending is not None or "footer" not in record) and not _is_summary_behind(record, step):
                earlier.take(record)
        earlier.end_row()
        if is_reached:
            break
    return earlier


def _is_summary_behind(record: Mapping[str, Any], step: float) -> bool:
    """Say whether a record is the whole summary of a later step; wandb writes it before the row."""
    items = record.get("summary", {}).get("update", ())
    steps = [value_of(item.get("value_json", "")) for item in items if path_of(item) == "_step"]
    return any(isinstance(value, (int, float)) and value > step for value in steps)


def begin(settings: Any, warn: Callable[[str], None], n_earlier_runs: int) -> Optional[Beginning]:
    """Find out where a run begins; None if it is a new one with an id that is still to be made up.

    Args:
        settings: Those of the run.
        warn: Told what the user should know.
        n_earlier_runs: How many runs this process has begun with resume="auto" before.

    Raises:
        UsageError: resume="never", and the run is here; or resume_from is of another run than the id.
    """
    fork, rewind = settings.fork_from, settings.resume_from
    if fork is not None:
        branch = {"run": fork.run, "value": float(fork.value), "metric": fork.metric}
        fields = {"branch_point": branch, "forked": True, "starting_step": int(fork.value) + 1}
        if settings.run_id and segments.find(settings.wandb_dir, settings.run_id):  # the fork was requeued
            return _at_id(settings.wandb_dir, settings.run_id, "allow", _project(settings), warn)
        return Beginning(settings.run_id or "", None, int(fork.value) + 1, fields)
    if rewind is not None:
        if settings.run_id not in (None, "", rewind.run):
            raise ValidationError(
                "resume_from", f"is of run {rewind.run!r}, and the id is {settings.run_id!r}"
            )
        return _rewound(settings.wandb_dir, rewind)
    if settings.resume == "auto" and not settings.run_id:
        return _auto(settings, warn, n_earlier_runs)
    if settings.run_id:
        return _at_id(settings.wandb_dir, settings.run_id, settings.resume, _project(settings), warn)
    if was_requeued():
        warn("this job was requeued; wandb.init(resume='auto') lets it go on with the run it had")
    return None


def apart(beginning: Beginning, wandb_dir: str) -> Beginning:
    """Return the beginning of a recording that cannot have its run's id: it gets one that nobody has used."""
    free = _free_namesake(wandb_dir, beginning.run_id)
    if beginning.earlier is not None:
        return Beginning(free)
    fields = {name: value for name, value in beginning.run_fields.items() if name != "resume"}
    return beginning._replace(run_id=free, run_fields=fields, was_here=())


def _free_namesake(wandb_dir: str, run_id: str) -> str:
    number = 2
    while segments.directories(wandb_dir, f"{run_id}-{number}"):
        number += 1
    return f"{run_id}-{number}"


def rivals(directory: RunDirectory, beginning: Beginning) -> List[str]:
    """Return the directories that others have made for the same id since we looked, and that come first.

    A log is there already: its writer did not see us.  None is there yet: both see each other, and the name
    decides.
    """
    wandb_dir, name = os.path.split(directory.path)
    made_s = _changed_s(directory.path)
    found = []
    for other in segments.directories(wandb_dir, beginning.run_id):
        if other == name or other in beginning.was_here:
            continue
        age_s = abs(made_s - _changed_s(os.path.join(wandb_dir, other)))
        if segments.has_log(wandb_dir, other, beginning.run_id) or (other < name and age_s < SAME_MOMENT_S):
            found.append(other)
    return found


def _was_here(wandb_dir: str, run_id: str, found: List[Segment]) -> Tuple[str, ...]:
    """Return the directories that are no rivals: they were there before, if only from a dead start."""
    known = {segment.name.partition("/")[0] for segment in found}
    now_s = time()
    return tuple(
        name
        for name in segments.directories(wandb_dir, run_id)
        if name in known or abs(now_s - _changed_s(os.path.join(wandb_dir, name))) > JUST_MADE_S
    )


def _changed_s(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def forget_auto(settings: Any) -> None:
    """After a run with resume="auto" that ended well: the next one is a new one."""
    try:
        os.unlink(settings.resume_fname)
    except OSError:
        pass


def _at_id(
    wandb_dir: str, run_id: str, resume: Optional[str], project: Optional[str], warn: Callable[[str], None]
) -> Beginning:
    """Begin under an id that was given, or if somebody is writing there, under one that is free."""
    try:
        here = segments.find(wandb_dir, run_id)
    except PackageMissing as error:
        return _kept_apart(wandb_dir, run_id, error, warn)
    was_here = _was_here(wandb_dir, run_id, here)
    chain = [segment for segment in here if project in (None, segment.run.get("project", ""))]
    if not chain:
        if resume == "must":
            warn(f"run {run_id} has no earlier part in {wandb_dir}; the syncer looks for it on the server")
        fields = {"resume": True} if resume in ("allow", "must") else {}
        return Beginning(run_id, None, 0, fields, was_here)
    last = chain[-1]
    if resume == "never":
        raise UsageError(
            f"run {run_id} exists already, in {os.path.dirname(last.log)}, and resume is 'never'",
            hint="leave the id out, or say resume='allow'",
        )
    try:
        earlier = read(last)
    except LogError as error:
        return _kept_apart(wandb_dir, run_id, error, warn)
    if not _is_at_work(last, earlier, resume):
        return _following(run_id, last, earlier, resume, was_here, warn)
    free = _free_namesake(wandb_dir, run_id)
    writer = last.run.get("writer", {})
    warn(
        f"run {run_id} is being recorded by process {writer.get('pid', '?')} on "
        f"{writer.get('host') or 'an unknown host'}, in {os.path.dirname(last.log)}. "
        f"This recording is kept apart, as run {free}."
    )
    return Beginning(free)


def _kept_apart(wandb_dir: str, run_id: str, error: LogError, warn: Callable[[str], None]) -> Beginning:
    free = _free_namesake(wandb_dir, run_id)
    warn(f"{error}. This recording cannot go on from there and is kept apart, as run {free}.")
    return Beginning(free)


def _following(
    run_id: str,
    last: Segment,
    earlier: Earlier,
    resume: Optional[str],
    was_here: Tuple[str, ...],
    warn: Callable[[str], None],
) -> Beginning:
    before = last.run.get("segment", {})
    fields: Dict[str, Any] = {
        "segment": {
            "previous": last.name,
            "previous_end": earlier.end,
            "begin": earlier.lines(),
            "on_server": bool(last.run.get("resume") or before.get("on_server")),
            # Of what other processes have recorded, the upload of the segment before tells where it stands.
            "behind_previous": bool(
                _is_rewound(last) or before.get("behind_previous") or _is_shared(last) or side_logs(last.log)
            ),
            "first_start_time": before.get("first_start_time", last.run.get("start_time")),
        }
    }
    if resume is None:
        warn(
            f"run {run_id} was recorded before, in {os.path.dirname(last.log)}. Its rows stay, and those of "
            "this recording follow them; resume='allow' goes on with its steps, config and summary."
        )
        fresh = Earlier()
        fresh.take_lines(earlier.lines())
        return Beginning(run_id, fresh, 0, fields, was_here)
    fields.update(starting_step=earlier.next_step, resumed=True, runtime=int(earlier.runtime_s))
    return Beginning(run_id, earlier, earlier.next_step, fields, was_here)


def _rewound(wandb_dir: str, moment: Any) -> Beginning:
    step = int(moment.value)
    branch = {"run": moment.run, "value": float(moment.value), "metric": moment.metric}
    fields: Dict[str, Any] = {"branch_point": branch, "starting_step": step + 1, "resumed": True}
    chain = segments.find(wandb_dir, moment.run)
    earlier = read_until(chain, step) if chain else Earlier()
    return Beginning(moment.run, earlier, step + 1, fields, _was_here(wandb_dir, moment.run, chain))


def _is_rewound(segment: Segment) -> bool:
    return bool(segment.run.get("branch_point", {}).get("run") == segment.run.get("run_id"))


def _is_at_work(segment: Segment, earlier: Earlier, resume: Optional[str]) -> bool:
    """Say whether somebody still writes a segment; on another host, we know only when he last wrote."""
    if earlier.exit_code is not None:
        return False
    life = segment.life()
    if life is not Life.UNKNOWN:
        return life is Life.ALIVE
    try:
        return resume is None and time() - os.stat(segment.log).st_mtime < segments.MAYBE_ALIVE_S
    except OSError:
        return False


# -- resume="auto" ------------------------------------------------------------------------------------------


def _auto(settings: Any, warn: Callable[[str], None], n_earlier_runs: int) -> Optional[Beginning]:
    """Go on with the run that this job, or the last program here, had and did not end well."""
    job = _job()
    project = _project(settings)
    if job:
        return _auto_in_job((*job, settings.project or ""), settings.wandb_dir, project, warn, n_earlier_runs)
    try:
        with open(settings.resume_fname, encoding="utf-8") as file:
            run_id = json.load(file)["run_id"]
        if isinstance(run_id, str) and run_id:
            return _at_id(settings.wandb_dir, run_id, "allow", project, warn)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def remember_auto(settings: Any, run_id: str) -> None:
    """Note the id of a run for the next program that says resume="auto"; in a job it is found without."""
    if _job():
        return
    scratch = f"{settings.resume_fname}.{os.getpid()}"
    try:
        with open(scratch, "w", encoding="utf-8") as file:
            json.dump({"run_id": run_id}, file)
        os.replace(scratch, settings.resume_fname)
    except OSError:  # then the next program begins a new run
        pass


def _auto_in_job(
    job: Tuple[str, ...],
    wandb_dir: str,
    project: Optional[str],
    warn: Callable[[str], None],
    n_earlier_runs: int,
) -> Beginning:
    """Begin under an id that follows from the job: the requeued job finds it, whatever became of the first.

    A job that records several runs one after the other has an id for each.
    """
    generation = 0
    while True:  # a run that ended well is done; the program that begins it again means a new one
        run_id = _job_id(job, n_earlier_runs, generation)
        try:
            chain = segments.find(wandb_dir, run_id)
            is_done = bool(chain) and read(chain[-1]).exit_code == 0
        except LogError:
            is_done = False
        if not is_done:
            return _at_id(wandb_dir, run_id, "allow", project, warn)
        generation += 1


def _job() -> Tuple[str, ...]:
    """Return what stays the same when this job or worker of torchrun's is started again; () if none."""
    elastic = env.get("TORCHELASTIC_RUN_ID", "none")
    rank = env.get("SLURM_PROCID") or env.get("RANK") or "0"
    if env.get("SLURM_JOB_ID"):
        cluster = env.get("SLURM_CLUSTER_NAME") or ""
        return ("slurm", cluster, env.get("SLURM_JOB_ID") or "", rank, env.get("RANK") or "")
    if elastic and elastic != "none":
        return ("torchrun", elastic, env.get("RANK") or "0")
    return ()


def _job_id(job: Tuple[str, ...], number: int, generation: int) -> str:
    from hashlib import blake2b
    from wandb.internal.names import id_of

    return id_of(blake2b("\0".join((*job, str(number), str(generation))).encode()).digest())


# -- small parts --------------------------------------------------------------------------------------------


def _project(settings: Any) -> Optional[str]:
    """Return the project if somebody has said it: a run of the same id in another project is another run."""
    return settings.project if settings.project and settings.source("project").is_explicit else None
