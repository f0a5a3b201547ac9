"""The command `wandb` (and `wb`, and `python -m wandb`).

One file per command, named as the command, loaded when it is used; a new command is a new file and a line in
COMMANDS.  In the file the command object has the command's name.

Rules for commands:
    - `--help` has an example; `--json` exists where a script would want the answer.
    - Nothing is asked unless stdin and stderr are a terminal.
    - What goes wrong is an error of `wandb.errors`; `main` prints it and exits with its `exit_code`.
    - Answers go to stdout by `click.echo`; what is said about the work goes to stderr by `wandb.term`.

Exit codes: 0 done; 1 failed; 2 wrong usage, settings or files; 5 may work later; 6 the API key is missing or
refused; 7 the server refused; 130 interrupted.  `wandb sync` has more, in wandb_sync/README.md.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Dict, List, NamedTuple, Optional

import click

from wandb.errors import Error
from wandb.version import __version__


class Entry(NamedTuple):
    """Where a command lives and what `wandb --help` says about it without loading it."""

    module: str
    summary: str
    hidden: bool = False


COMMANDS: Dict[str, Entry] = {
    "sync": Entry("wandb.cli.sync", "Upload recorded runs to a W&B server."),
    "ls": Entry("wandb.cli.ls", "List the runs that are recorded here."),
    "show": Entry("wandb.cli.show", "Print a recorded run and draw its curves."),
    "tail": Entry("wandb.cli.tail", "Print the last rows and output of a run, and what comes."),
    "history": Entry("wandb.cli.history", "Print rows of a run: table, JSON lines, CSV."),
    "plot": Entry("wandb.cli.plot", "Draw curves of runs in the terminal."),
    "export": Entry("wandb.cli.export", "Write runs as jsonl, csv, parquet, tensorboard or html."),
    "pack": Entry("wandb.cli.pack", "Pack runs into one file, to be carried."),
    "unpack": Entry("wandb.cli.unpack", "Unpack what `wandb pack` has made."),
    "receipts": Entry("wandb.cli.receipts", "Carry the proofs of upload back across an air gap."),
    "verify": Entry("wandb.cli.verify", "Compare runs with what the server holds."),
    "check": Entry("wandb.cli.check", "Say what is damaged or lost in logs or packs."),
    "repair": Entry("wandb.cli.repair", "Save everything that can be read of damaged logs."),
    "clean": Entry("wandb.cli.clean", "Remove runs that are proven to be on a server."),
    "compact": Entry("wandb.cli.compact", "Compress the logs of runs that have ended."),
    "artifact": Entry("wandb.cli.artifact", "Keep files under names and versions."),
    "login": Entry("wandb.cli.login", "Keep an API key for a server."),
    "logout": Entry("wandb.cli.logout", "Forget the API key of a server."),
    "init": Entry("wandb.cli.init", "Choose project, entity and mode for this directory."),
    "status": Entry("wandb.cli.status", "Print the settings and where each comes from."),
    "offline": Entry("wandb.cli.mode", "Record runs of this directory without uploading them."),
    "online": Entry("wandb.cli.mode", "Upload runs of this directory again."),
    "disabled": Entry("wandb.cli.mode", "Record nothing in this directory."),
    "enabled": Entry("wandb.cli.mode", "Record and upload runs of this directory."),
    "server": Entry("wandb.cli.server", "Run a local server that speaks the W&B protocol."),
    "on": Entry("wandb.cli.mode", "Old name of `enabled`.", hidden=True),
    "off": Entry("wandb.cli.mode", "Old name of `disabled`.", hidden=True),
}


class LazyGroup(click.Group):
    """A group that imports the file of a command when the command is called."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return [name for name, entry in COMMANDS.items() if not entry.hidden]

    def get_command(self, ctx: click.Context, name: str) -> Optional[click.Command]:
        entry = COMMANDS.get(name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def resolve_command(self, ctx: click.Context, args: List[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as e:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near and args[0] not in COMMANDS:
                raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx) from e
            raise

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; an error of ours becomes a line on stderr and an exit code."""
        from wandb import term

        try:
            return super().main(*args, **kwargs)
        except Error as e:
            term.termerror(str(e))
            sys.exit(e.exit_code)


@click.command(cls=LazyGroup, name="wandb", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wandb", message="%(prog)s, version %(version)s (wandb-ng)")
def main() -> None:
    """Record experiments offline, upload them when there is a network.

    \b
    A script records with `import wandb`; then:
        wandb sync ./wandb/offline-run-*     upload what was recorded
        wandb show ./wandb/latest-run        look at it here
    """
