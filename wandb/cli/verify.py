"""`wandb verify`: a run's log, its receipt, and what the server holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional, Tuple

import click

from wandb import term
from wandb.errors import AuthenticationError


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "-p", "--project", default="", help="Where the runs were uploaded to, if not where the logs say."
)
@click.option("-e", "--entity", default="", help="The same, of the user or team.")
@click.option("--id", "run_id", default="", help="The same, of the run id.")
@click.option("--base-url", "--host", default="", help="The server, as of `wandb sync`.")
@click.option("--offline", is_flag=True, help="Ask no server: compare logs and receipts only.")
@click.option("--state-dir", type=click.Path(exists=True, file_okay=False), help="As of `wandb sync`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per log.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what differs.")
@click.pass_context
def verify(
    ctx: click.Context,
    paths: Tuple[str, ...],
    project: str,
    entity: str,
    run_id: str,
    base_url: str,
    offline: bool,
    state_dir: Optional[str],
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare runs with their receipts and with what the server holds: lines, last step, summary, state,
    files.

    Nothing is changed, here or there.  If the server cannot be reached, what is here is compared, and that
    is said.

    \b
    Examples:
        wandb verify ./wandb
        wandb verify ./wandb/offline-run-20260102_030405-abc --json | jq .findings
        wandb verify --offline ./wandb

    \b
    Exit codes:
        0  nothing differs        3  something differs or is missing: see what was said
        2  wrong usage            5  the server cannot be reached; what is here is well
        1  failed                 6  the API key is missing or refused; what is here is well
    """
    from wandb_sync.engine import default_base_url, find_key
    from wandb_sync.discover import discover
    from wandb_sync.transport.http import checked_base_url
    from wandb_sync.session import Target
    from wandb_sync.verify import exit_code_of
    from wandb_sync.verify import verify as verify_logs

    logs = discover(paths)
    url = checked_base_url(base_url or default_base_url(os.environ))
    transport: Any = None
    no_key = None
    if not offline:
        from wandb_sync.transport.http import HttpTransport
        from wandb_sync.transport.retry import Retry

        try:
            transport = Retry(HttpTransport(url, find_key(url)), deadline_s=RETRY_FOR_S)
        except AuthenticationError as error:
            no_key = error
    try:
        target = Target(entity, project, run_id)
        found = verify_logs(
            logs, transport, url, target=target, state_dir=Path(state_dir) if state_dir else None
        )
    finally:
        if transport is not None:
            transport.close()
    for one in found:
        if as_json:
            fields = {
                "log": one.log.shown,
                "findings": [finding._asdict() for finding in one.findings],
                "notes": one.notes,
                "has_receipt": one.has_receipt,
                "server_was_asked": one.was_asked,
                "exit_code": one.exit_code,
            }
            click.echo(json.dumps(fields, default=str))
            continue
        for finding in one.findings:
            click.echo(f"{one.log.shown}: {finding}")
        if not one.findings and not quiet:
            proof = "with a receipt" if one.has_receipt else "without a receipt"
            where = "the same on the server" if one.was_asked else "well here, and the server was not asked"
            click.echo(f"{one.log.shown}: {where}, {proof}")
        for note in one.notes if not quiet else ():
            term.termlog(f"{one.log.shown}: {note}")
    exit_code = exit_code_of(found)
    if no_key is not None:
        term.termwarn(f"the server was not asked: {no_key}")
        exit_code = exit_code or no_key.exit_code
    ctx.exit(exit_code)


RETRY_FOR_S = 20.0  # a person waits for the answer
