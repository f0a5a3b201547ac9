"""`wandb status`: the settings of this directory, and where each of them comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, List

import click

if TYPE_CHECKING:
    from wandb.sdk.wandb_settings import Settings


@click.command()
@click.option("--settings/--no-settings", "with_settings", default=True, help="Whether to list the settings.")
@click.option("--all", "with_defaults", is_flag=True, help="List the settings that nobody has set too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(with_settings: bool, with_defaults: bool, as_json: bool) -> None:
    """Print the server, the login and the settings, with the source of each value.

    Of a setting that several sources name the strongest counts; the others are listed under it.  Nothing is
    asked of any server, and no key is shown.

    \b
    Examples:
        wandb status
        wandb status --json | jq .settings.mode.value
    """
    from wandb.sdk import wandb_login, wandb_setup

    settings = wandb_setup.setup_command().settings
    key = wandb_login.find_key(settings, settings.base_url)
    key_source = key[1] if key else None
    names = sorted(name for name in settings.keys() if with_defaults or settings.source(name).is_explicit)
    if as_json:
        answer: Dict[str, Any] = {
            "base_url": settings.base_url,
            "mode": settings.mode,
            "api_key_source": key_source,
            "overrides": settings.overrides(),
        }
        if with_settings:
            answer["settings"] = {
                name: {**first, "instead_of": rest}
                for name in names
                for first, *rest in (_explained(settings, name),)
            }
        click.echo(json.dumps(answer, indent=2, default=str))
        return
    click.echo(f"Server:  {settings.base_url}")
    click.echo(f"Mode:    {settings.mode}")
    click.echo(f"API key: {'in ' + key_source if key_source else 'not configured; run `wandb login`'}")
    if not with_settings:
        return
    click.echo("\nCurrent Settings")
    if not names:
        click.echo("  all are at their defaults; `wandb status --all` lists them")
    for name in names:
        for i, entry in enumerate(_explained(settings, name)):
            if i == 0:
                click.echo(f"  {name} = {json.dumps(entry['value'], default=str)}    ({_origin(entry)})")
            elif entry["source"] != "built-in default":
                click.echo(
                    f"      instead of {json.dumps(entry['value'], default=str)}    ({_origin(entry)})"
                )


def _explained(settings: Settings, name: str) -> List[Dict[str, Any]]:
    return [
        {"value": value, "source": str(source), "detail": detail}
        for source, value, detail in settings.explain(name)
    ]


def _origin(entry: Dict[str, Any]) -> str:
    detail = entry["detail"]
    return f"{entry['source']}: {detail}" if detail and detail != entry["source"] else str(entry["source"])
