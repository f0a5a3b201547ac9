"""A run that is uploaded while it is recorded: its syncer, what that says, and the wait at the end.

    init      starts the syncer; waits INIT_WAIT_S at most for what the server calls the run
    meanwhile a thread looks at the syncer's file once a second: one stat.  A stop that somebody asked for
              interrupts the main thread, as Ctrl-C does; a syncer that has died gets a successor
    finish    waits until all has arrived, shows how far it is, and can be interrupted

Rule 1: nothing here is needed for recording; whatever fails is told, and recording goes on.
Rule 2: a server that does not answer delays the upload and nothing else; `finish` says how to go on.
"""

from __future__ import annotations

import os
import signal
import threading
from time import monotonic, sleep
from typing import Any, Callable, Dict

from wandb import env
from wandb.backend.syncer import Syncer
from wandb.live_file import News
from wandb.term import termlog, termprogress, termwarn

INIT_WAIT_S = 5.0
LOOK_EVERY_S = 1.0
POLL_S = 0.05  # while somebody waits
TROUBLE_WAIT_S = 30.0  # how long `finish` waits for a server that does not answer
START_WAIT_S = 30.0  # ... and for a syncer that says nothing at all
SIGNAL_WAIT_S = 20.0  # ... and in all, when a signal ends the process: the next one is a SIGKILL
MOST_REST_S = 300.0  # between two starts of a syncer: two seconds at first, twice as long each time
BAR_WIDTH = 24

# What the syncer ends with when nothing is left to do.
_ALL_IS_THERE = ("synced", "uploaded", "unchanged")


class Online:
    """What makes a run an online one.

    Args:
        log: The run's log.
        settings: The run's.
        learned: Called with what the server calls the run, from any thread, when that is known or changes.
        failed: Takes what goes wrong, and the name of the call.
    """

    def __init__(
        self,
        log: str,
        settings: Any,
        learned: Callable[[News], None],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self._log = log
        self._settings = settings
        self._learned = learned
        self._failed = failed
        self._syncer = Syncer(log, syncer_environ(settings))
        self._news = News()
        self._stopped = threading.Event()
        self._is_started = False
        self._start_lock = threading.Lock()
        self._n_starts = 0
        self._started_s = 0.0
        self._has_told_address = False
        self._has_stopped_run = False
        self._others_go_on = False

    def start(self) -> None:
        """Start the syncer and wait a moment for the run's address."""
        self._start_syncer()
        if not self._is_started:
            return
        until_s = monotonic() + min(INIT_WAIT_S, self._settings.init_timeout)
        while monotonic() < until_s:
            news = self._look()
            if news.url or news.trouble or news.status:
                break
            sleep(POLL_S)
        if self._news.trouble:
            termwarn(
                f"Nothing can be uploaded now ({self._news.trouble}). It is recorded, and uploaded later."
            )
        elif not self._news.url and not self._news.status:
            termwarn("The server has not answered yet. The run is recorded, and uploaded when it does.")
        threading.Thread(target=self._watch, name="wandb-online", daemon=True).start()

    def finish(self, by_signal: bool, quiet: bool) -> None:
        """Wait for the upload, and tell how it ended.

        Args:
            by_signal: Whether a signal ends the process, and another one may soon do it for good.

        Raises:
            KeyboardInterrupt: Somebody does not want to wait; it was told how to go on.
        """
        self._stopped.set()
        if not self._is_started:
            return  # which was told
        with self._start_lock:  # which the thread may just have begun
            self._replace_the_dead()
        try:
            why_not = self._wait(by_signal, quiet)
        except KeyboardInterrupt:
            termprogress("")
            termwarn(f"The upload goes on in the background. {self._how_to_go_on()}")
            raise
        termprogress("")
        if why_not:
            termwarn(f"Not everything is uploaded yet: {why_not}. {self._how_to_go_on()}")
        elif self._others_go_on:
            termlog("Other processes go on with the run; what they log is uploaded in the background.")
        elif self._news.status not in _ALL_IS_THERE:
            termwarn(f"Not everything was uploaded: {self._news.reason}. {self._how_to_go_on()}")
        if not quiet and self._news.url:
            name = self._news.name or self._settings.run_id
            termlog(f"View run {name} at: {self._news.url}")

    def forget(self) -> None:
        """Let go in a forked child: the syncer is the parent's."""
        self._stopped.set()

    def _replace_the_dead(self) -> None:
        """Start another syncer if the one that there was is gone and has not said that it is through."""
        if self._look().is_from_the_dead and not self._news.status:
            termwarn("The process that uploaded the run has died; another one goes on.")
            self._news = self._news._replace(process={}, trouble="")
            self._start_syncer()

    def _start_syncer(self) -> None:
        self._n_starts += 1
        self._started_s = monotonic()
        try:
            self._syncer.start()
            self._is_started = True
        except OSError as error:
            self._is_started = False
            termwarn(f"The upload cannot be started ({error}). {self._how_to_go_on()}")

    # ---- the syncer's news

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                self._look()
                if monotonic() - self._started_s > min(MOST_REST_S, 2.0**self._n_starts):
                    with self._start_lock:
                        if not self._stopped.is_set():
                            self._replace_the_dead()
                if self._news.is_asked_to_stop and not self._has_stopped_run:
                    self._has_stopped_run = True
                    termwarn("The run was asked to stop.")
                    (self._settings.stop_fn or interrupt_main)()
            except Exception as error:
                self._failed("online", error)
                return

    def _look(self) -> News:
        news = self._syncer.news() or self._news
        if news is not self._news:
            self._news = news
            if news.url:
                self._learned(news)
                self._tell_address()
        return news

    def _tell_address(self) -> None:
        if not self._has_told_address:
            self._has_told_address = True
            termlog("Run `wandb offline` to turn off syncing.", repeat=False)
            termlog(f"Syncing run {self._news.name}")
            termlog(f"View project at {self._news.url.rpartition('/runs/')[0]}")
            termlog(f"View run at {self._news.url}")

    # ---- the end

    def _wait(self, by_signal: bool, quiet: bool) -> str:
        """Wait until the syncer is through; return why it is not, if it is not worth while to wait longer."""
        began_s = moved_s = monotonic()
        limit_s = self._settings.finish_timeout or float("inf")
        if by_signal:
            limit_s = min(limit_s, SIGNAL_WAIT_S)
        while self._is_started:
            before, now_s = self._news, monotonic()
            news = self._look()
            if news.status:
                return ""
            if self._settings._shared and news.n_bytes and news.offset >= self._n_bytes_of_log():
                self._others_go_on = True
                return ""
            if (news.offset, news.n_files) != (before.offset, before.n_files) or not news.trouble:
                moved_s = now_s
            if news.trouble and (news.lacks_key or now_s - moved_s > TROUBLE_WAIT_S):
                return news.trouble
            if now_s - began_s > limit_s:
                return f"it takes longer than {limit_s:g} s"
            is_dead = news.is_from_the_dead if news.process else now_s - began_s > START_WAIT_S
            if is_dead and not self._look().status:
                return "the process that uploads it has died"
            if not quiet:
                termprogress(_progress(news))
            sleep(POLL_S)
        return "nothing uploads it"

    def _n_bytes_of_log(self) -> float:
        try:
            return os.stat(self._log).st_size
        except OSError:
            return float("inf")

    def _how_to_go_on(self) -> str:
        return f"To go on with it later:\nwandb sync {self._syncer.directory}"


def syncer_environ(settings: Any) -> Dict[str, str]:
    """Return the environment that lets a syncer find the server and the key that the run's settings name."""
    found = {
        "WANDB_BASE_URL": settings.base_url,
        "WANDB_API_KEY": settings.api_key,
        "WANDB_INSECURE_DISABLE_SSL": "true" if settings.insecure_disable_ssl else None,
        "HTTP_PROXY": settings.http_proxy,
        "HTTPS_PROXY": settings.https_proxy,
    }
    return env.for_child({name: value for name, value in found.items() if value})


def interrupt_main() -> None:
    """Do to the main thread what Ctrl-C does; a sleep or a read of it ends too, as with the real client."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _progress(news: News) -> str:
    share = news.offset / news.n_bytes if news.n_bytes else 0.0
    bar = "#" * int(share * BAR_WIDTH)
    text = f"uploading [{bar:{BAR_WIDTH}}] {share:4.0%} of {news.n_bytes / 1e6:.1f} MB"
    text += f", {news.n_files} files" if news.n_files else ""
    return f"{text}; {news.trouble}"[:200] if news.trouble else text
