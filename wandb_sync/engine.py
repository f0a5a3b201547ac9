"""A whole sync: from options to a report.  The command line and `wandb_sync.sync` are both made of this.

Each run may go to several places.  They are done side by side, each by a service of its own with its own
transport and budget, so that a server that is down holds up nobody else; see retarget.py for what a lane is.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import math
import os
import threading
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence

from wandb import credentials, settings_file
from wandb.errors import AuthenticationError, TransientError, UsageError
import wandb_sync.event_files as event_files
import wandb_sync.temporary as temporary
from wandb_sync.discover import default_directory, is_pack
from wandb_sync.options import SyncOptions
from wandb_sync.outcomes import EXIT_INTERRUPTED, EXIT_LIMIT, Emit, Outcome, Report, Status
from wandb_sync.retarget import Destinations
from wandb_sync.service import Service
from wandb_sync.transport.base import Request, Transport
from wandb_sync.transport.dry_run import DryRun
from wandb_sync.transport.http import HttpTransport, checked_base_url
from wandb_sync.transport.retry import Retry
from wandb_sync.transport.shared import Shared, place_for
from wandb_sync.transport.stoppable import Stop
from wandb_sync.transport.throttle import N_SHARED, Allowance, Pace, Throttle
from wandb_sync.transport.told import Told
from wandb_sync.visits import Visits
from wandb_sync.workers import Task

# A run that is followed gives its place to the others when the server does not answer, and is tried again
# later; so one request is not tried for long.
REQUEST_RETRY_WHEN_LIVE_S = 5.0
DEFAULT_BASE_URL = "https://api.wandb.ai"


def run(paths: Sequence[str], options: SyncOptions, emit: Emit, stop: Stop) -> Report:
    """Sync what `paths` mean, runs (see discover.py) and packs of runs.  As `run_directories`, and:

    Raises:
        PackError: A pack is damaged, or there is no room for it; what was synced before stays so.
    """
    paths = _with_event_files(paths, options)
    packs = [path for path in paths if is_pack(path)]
    limits = _limits(options, stop)
    if not packs:
        with limits as transferred:
            return run_directories(paths, options, emit, stop, transferred)
    from wandb_sync.pack.upload import sync_packs

    def sync(runs: Sequence[str], is_open: bool, state_dir: str, emit: Emit) -> Report:
        dead_after_s = math.inf if is_open else options.assume_dead_after
        share = dataclasses.replace(options, state_dir=state_dir, assume_dead_after=dead_after_s)
        return run_directories(runs, share, emit, stop, transferred)

    if options.live or options.watch:
        raise UsageError(
            f"{packs[0]}: --live and --watch follow runs, and nothing is added to a pack",
            hint="sync packs without them, in a call of their own",
        )
    others = [path for path in paths if path not in packs]
    with limits as transferred:
        first = run_directories(others, options, emit, stop, transferred) if others else None
        if first is not None and first.was_interrupted:
            return first
        report = sync_packs(packs, options.state_dir, sync, emit, dry_run=options.dry_run)
    outcomes = [*(first.outcomes if first is not None else ()), *report.outcomes]
    return dataclasses.replace(report, outcomes=outcomes)


def _with_event_files(paths: Sequence[str], options: SyncOptions) -> Sequence[str]:
    if options.dry_run or options.sync_tensorboard is False or not paths:
        return paths
    place = Path(options.state_dir) if options.state_dir else default_directory(Path())
    return event_files.with_imports(paths, place, options.project, options.sync_tensorboard)


def run_directories(
    paths: Sequence[str], options: SyncOptions, emit: Emit, stop: Stop, transferred: Optional[Path]
) -> Report:
    """Sync runs.

    Args:
        transferred: As for `transport_for`.
        emit: Gets what happens, by event name, from any thread but never from two at once.
        stop: Ends the work when set, at the next request.

    Raises:
        UsageError: Options make no sense, or no path means a run; nothing was done.
        AuthenticationError: There is no API key for one of the servers; nothing was done.
    """
    servers = [checked_base_url(url) for url in options.base_url or (default_base_url(os.environ),)]
    destinations = Destinations(servers, options.rules, options.for_runs())
    lanes = [(checked_base_url(server), number) for server, number in destinations.lanes()]
    is_several = len({server for server, _ in lanes}) > 1
    keys = {s: "" if options.dry_run else find_key(s, options, is_several) for s, _ in lanes}
    if options.state_dir and not options.dry_run:
        _make_state_dir(options.state_dir)
    emit = _one_at_a_time(emit)
    with contextlib.ExitStack() as stack:
        services: List[Service] = []
        dry_runs: List[DryRun] = []
        for server, number in lanes:
            transport: Transport
            task: Optional[Task] = None
            if options.dry_run:
                dry_runs.append(transport := DryRun())
            else:
                transport = transport_for(server, keys[server], options, emit, stop, transferred)
                if not options.live and not options.watch and options.processes != 1:
                    arguments = (server, keys[server], options, transferred)
                    task = Task(visits_for, arguments, options.parallel)
            stack.callback(transport.close)
            services.append(
                Service(
                    transport,
                    server,
                    options.for_runs(),
                    options_for=destinations.of_lane(server, number),
                    selection=options.selection(),
                    parallel=options.parallel,
                    live=options.live,
                    watch=options.watch,
                    poll_s=options.poll_every,
                    events=not options.no_inotify,
                    patience_s=None if options.watch else options.retry_for,
                    task=task,
                    processes=options.processes,
                    emit=emit,
                    stop=stop,
                )
            )
        outcomes = _run_all(services, paths, stop)
    if options.dry_run:
        _tell_plan(outcomes, dry_runs, emit)
    return Report(
        outcomes,
        was_interrupted=stop.is_set(),
        interrupt_code=stop.exit_code if stop.is_set() else EXIT_INTERRUPTED,
        error_on_nothing=options.error_on_nothing,
    )


def _run_all(services: Sequence[Service], paths: Sequence[str], stop: Stop) -> List[Outcome]:
    """Run the services side by side; the first of them in this thread, which is the one that gets Ctrl-C."""
    if len(services) == 1:
        return services[0].run(paths).outcomes
    with concurrent.futures.ThreadPoolExecutor(len(services), thread_name_prefix="lane") as pool:
        others = [pool.submit(service.run, paths) for service in services[1:]]
        try:
            first = services[0].run(paths)
            return [*first.outcomes, *(o for other in others for o in other.result().outcomes)]
        except BaseException:
            stop.set()
            raise


def transport_for(
    base_url: str, key: str, options: SyncOptions, emit: Emit, stop: Stop, transferred: Optional[Path]
) -> Transport:
    """Stack the transports to a server: try again, hold back, say what is waited for, send.

    Args:
        transferred: The file in which the bytes of all processes are counted; None: nobody limits them.
    """

    def tell(request: Request, error: TransientError, wait_s: Optional[float]) -> None:
        rounded = None if wait_s is None else round(wait_s, 1)
        emit("waiting", {"operation": request.operation, "error": error.message, "wait_s": rounded})

    shared = Shared(place_for(base_url), N_SHARED)
    timetable = options.timetable
    pace = Pace(timetable.bytes_per_s, shared=shared, sleep=stop.wait) if timetable.is_limit else None
    allowance: Optional[Allowance] = None
    if options.max_n_bytes is not None:
        allowance = Allowance(options.max_n_bytes, stop, Shared(transferred, 1))
    verify = False if os.environ.get("WANDB_INSECURE_DISABLE_SSL", "").lower() in ("1", "true") else None
    http = HttpTransport(base_url, key, verify=verify, stop=stop, pace=pace.piece if pace else None)
    throttle = Throttle(
        Told(http, tell),
        requests_per_s=options.requests_per_second,
        allowance=allowance,
        shared=shared,
        sleep=stop.wait,
        tell=tell,
    )
    retry_s = options.retry_for
    if options.live or options.watch:
        retry_s = min(retry_s, REQUEST_RETRY_WHEN_LIVE_S)
    return Retry(throttle, deadline_s=retry_s, tell=tell, stop=stop)


def visits_for(
    emit: Emit, stop: Stop, base_url: str, key: str, options: SyncOptions, transferred: Optional[Path]
) -> Visits:
    """Return the visits of a worker (workers.py)."""
    transport = transport_for(base_url, key, options, emit, stop, transferred)
    return Visits(transport, base_url, live=False, emit=emit, stop=stop)


def default_base_url(environ: Mapping[str, str]) -> str:
    """Return the server: WANDB_BASE_URL, then the settings of the directory, of the user, then W&B's own."""
    if environ.get("WANDB_BASE_URL"):
        return environ["WANDB_BASE_URL"]
    for path in (settings_file.workspace_path(os.curdir), settings_file.global_path(environ)):
        found = settings_file.read(path).get("base_url")
        if found:
            return found
    return DEFAULT_BASE_URL


def find_key(base_url: str, options: SyncOptions = SyncOptions(), is_several: bool = False) -> str:
    """Return the API key for a server.

    Args:
        is_several: Whether runs go to other servers too.  Then a key that is not kept for one by name is that
            of the default server, and is shown to no other.

    Raises:
        AuthenticationError: Nobody has given one.
    """
    found: Any = options.api_key or None
    if found is None and is_several and base_url != checked_base_url(default_base_url(os.environ)):
        found = credentials.read_netrc(credentials.netrc_path(os.environ), base_url)
    elif found is None:
        key = credentials.find_key(base_url, os.environ)
        found = key[0] if key is not None else None
    if found is None:
        login = f"wandb login --host {base_url}" if is_several else "wandb login"
        raise AuthenticationError(
            f"there is no API key for {base_url}", hint=f"run `{login}`, or set WANDB_API_KEY"
        )
    return str(found)


def _make_state_dir(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--state-dir {path}: {error.strerror}") from error


def _one_at_a_time(emit: Emit) -> Emit:
    lock = threading.Lock()

    def emit_alone(event: str, fields: Mapping[str, Any]) -> None:
        with lock:
            emit(event, fields)

    return emit_alone


@contextlib.contextmanager
def _limits(options: SyncOptions, stop: Stop) -> Iterator[Optional[Path]]:
    """Stop in time, while inside; yield a file in which all processes count what they send, if need be."""
    with contextlib.ExitStack() as stack:
        if options.max_duration_s is not None:
            timer = threading.Timer(options.max_duration_s, stop.because, (EXIT_LIMIT,))
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        transferred: Optional[Path] = None
        if options.max_n_bytes is not None and not options.dry_run:
            transferred = stack.enter_context(temporary.directory("wandb-sync-count-")) / "n_bytes"
        yield transferred


def _tell_plan(outcomes: Sequence[Outcome], dry_runs: Sequence[DryRun], emit: Emit) -> None:
    counts = [outcome.counts for outcome in outcomes if outcome.status is Status.PLANNED]
    emit(
        "would_send",
        {
            "runs": len(counts),
            "rows": sum(count["rows"] for count in counts),
            "requests": sum(dry.n_requests for dry in dry_runs),
            "n_bytes": sum(dry.n_bytes for dry in dry_runs),
        },
    )
