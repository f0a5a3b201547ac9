"""The syncer of one run while it is recorded: a program of its own, started by `wandb.init(mode="online")`.

    python wandb_sync/live.py RUN_DIRECTORY

Rule 1: it is nobody's child and holds nothing of the program that records: that one may end in any way.
Rule 2: it is told nothing but the run directory.  Server, key and certificates come from where `wandb sync`
        has them: the environment, the settings files, netrc.
Rule 3: trouble that may pass is waited for until the run has ended, and an hour longer: then `wandb sync`
        goes on, from the checkpoint.  So no syncer lives for ever.
Rule 4: what whoever records is to know stands in the live file (wandb/live_file.py); all else goes to stderr,
        which is `logs/debug-internal.log` in the run directory.
"""

from __future__ import annotations

import os
import sys

NICENESS = 5  # the training comes first


def main() -> None:
    """Let go of the parent, then follow the run that is named on the command line."""
    if os.fork():
        os._exit(0)  # whoever started us need not wait for us, and init takes care of us
    _find_packages()
    from wandb import live_file
    from wandb.processes import ProcessId

    directory = os.path.abspath(sys.argv[1])
    (log,) = (os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".wandb"))
    path = live_file.path_of(log)
    news = live_file.News(process=ProcessId.current().to_json())
    live_file.write(path, news)
    os.nice(NICENESS)
    try:
        from wandb_sync.live_sync import LiveSync  # half a second of imports

        LiveSync(directory, log, news).run()
    except BaseException as error:
        live_file.write(path, news._replace(status="failed", reason=f"{type(error).__name__}: {error}"))
        raise


def _find_packages() -> None:
    """Let our packages be found, and nothing that lies beside this file or where we were started."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path and os.path.abspath(path) != here]
    root = os.path.dirname(here)
    if root not in map(os.path.abspath, sys.path):
        sys.path.append(root)


if __name__ == "__main__":
    main()
