"""A training script as a user writes it, for the type checker: `mypy --strict` has nothing to say of it."""

from __future__ import annotations

import argparse
import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, List, Optional

import wandb
from wandb import AlertLevel, Artifact, Image, Settings, Table
from wandb.errors import CommError, UsageError
from wandb.sdk.wandb_run import Run
from wandb.util import generate_id


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    return parser.parse_args()


def start(args: argparse.Namespace, checkpoints: Path) -> Run:
    run = wandb.init(
        project="digits",
        entity=os.environ.get("TEAM"),
        id=generate_id(),
        name="first",
        tags=["baseline", "cpu"],
        config=vars(args),
        resume="allow",
        dir=checkpoints,
        settings=Settings(console="off", silent=True),
    )
    run.define_metric("epoch", hidden=True)
    axis = run.define_metric("val/step")
    run.define_metric("val/*", step_metric=axis, summary="min,mean")
    run.config.update({"seed": 3}, allow_val_change=True)
    return run


def train(run: Run, epochs: int, table: Table) -> Dict[str, float]:
    best: Optional[float] = None
    losses: List[float] = []
    for epoch in range(epochs):
        loss = 1 / (epoch + 1)
        losses.append(loss)
        run.log({"loss": loss, "epoch": epoch, "image": Image([[0, 255]], caption=f"{epoch}")}, step=epoch)
        wandb.log({"val/loss": loss}, commit=False)
        table.add_data(epoch, loss)
        if best is None or loss < best:
            best = loss
            run.summary["best"] = best
            wandb.summary.update({"best_epoch": epoch})
    run.log({"losses": wandb.Histogram(losses), "curve": wandb.plot.line(table, "epoch", "loss")})
    return {"best": best or 0.0}


def keep(run: Run, checkpoint: Path) -> Optional[Artifact]:
    saved = wandb.save(checkpoint, base_path=checkpoint.parent, policy="now")
    if not saved:
        wandb.termwarn("nothing was saved", repeat=False)
        return None
    artifact = Artifact("model", type="model", metadata={"lr": run.config["lr"]})
    artifact.add_file(str(checkpoint))
    code = run.log_code("src", include_fn=lambda path: path.endswith(".py"))
    if code is not None:
        wandb.termlog(code.name)
    return run.log_artifact(artifact, aliases=["latest", "best"])


def main() -> None:
    wandb.require("core")
    args = parse()
    run = start(args, Path("checkpoints"))
    result: Dict[str, Any] = train(run, 3, Table(columns=["epoch", "loss"]))
    try:
        found = wandb.restore("last.ckpt", run_path=run.path)
        if found is not None:
            found.close()
    except (CommError, UsageError) as error:
        run.alert("no checkpoint", str(error), level=AlertLevel.WARN, wait_duration=timedelta(minutes=5))
    if wandb.run is not None:
        address: Optional[str] = wandb.run.url
        wandb.termlog(address or f"{run.id} is not on a server: {run.status().sync_items_pending} bytes wait")
    keep(run, Path("last.ckpt"))
    run.summary.update(result)
    run.mark_preempting()
    wandb.finish(exit_code=0)


if __name__ == "__main__":
    main()
