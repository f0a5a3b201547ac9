"""Measures against a floor and against the peers, in one run: `tox -e bench`.

    python tools/bench.py [--only log|crowds|start|sync|live|look] [--quick] [--long] [--json]

What counts are ratios of figures from the same run: every section lets its contenders take turns.  The
columns on the right say what a figure is held to and whether it was met; nothing here ever fails because of a
time.  The real wandb 0.31.0 takes part if WANDB_NG_REAL_PYTHON names the interpreter of an environment that
has it; tensorboardX, if it is installed.  Linux only: CPU times and sockets of others are read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from typing import Any, Callable, Dict, List

from benchmarks import crowds, live, log_calls, look, start, sync
from benchmarks.bench_place import BenchPlace
from benchmarks.tables import Table

SECTIONS: Dict[str, Callable[[BenchPlace, argparse.Namespace], List[Table]]] = {
    "log": lambda place, options: log_calls.tables(place, options.quick),
    "crowds": lambda place, options: crowds.tables(place, options.quick, options.long),
    "start": lambda place, options: start.tables(place, options.quick),
    "sync": lambda place, options: sync.tables(place, options.quick, options.long),
    "live": lambda place, options: live.tables(place, options.quick),
    "look": lambda place, options: look.tables(place, options.quick, options.long),
}


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", choices=list(SECTIONS), action="append", help="this section; can be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: below a minute")
    parser.add_argument("--long", action="store_true", help="also logs of a million rows")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()

    machine = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    document: Dict[str, Any] = {"machine": machine, "tables": []}
    if not options.json:
        print(machine)
    with BenchPlace() as place:
        for section in options.only or SECTIONS:
            began = time.monotonic()
            for table in SECTIONS[section](place, options):
                if options.json:
                    document["tables"].append(table.as_json())
                else:
                    print(f"\n{table.as_text()}", flush=True)
            if not options.json:
                print(f"  ({section}: {time.monotonic() - began:.0f} s)", flush=True)
    if options.json:
        print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
