"""Imports wandb, opens a run, logs a row, finishes; and says how long each took, in milliseconds.

    open_and_finish.py [MODULE]           MODULE: imported before, as a training script would have it

Prints a line of JSON when the run is open, waits for a line, finishes, and prints another one.  "wandb" is
whichever wandb the interpreter has.  Everything is at its default but the output on the terminal.
"""

from __future__ import annotations

import sys
import time


def say(times: dict[str, float]) -> None:
    """Answer, past the console capture; json is loaded only now, because a run may need it too."""
    import json

    assert sys.__stdout__ is not None
    sys.__stdout__.write(json.dumps(times) + "\n")
    sys.__stdout__.flush()


def main() -> None:
    """Command line; see the top of the file."""
    for module in sys.argv[1:]:
        __import__(module)
    clock = time.perf_counter
    before_import = clock()
    import wandb

    before_init = clock()
    run = wandb.init(project="bench", mode="offline", config={"lr": 0.1, "layers": 3})
    after_init = clock()
    run.log({"loss": 0.5})
    times = {"import": (before_init - before_import) * 1000, "init": (after_init - before_init) * 1000}
    say(times)
    sys.stdin.readline()
    before_finish = clock()
    run.finish()
    say({"finish": (clock() - before_finish) * 1000})


if __name__ == "__main__":
    main()
