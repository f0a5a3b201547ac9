"""How public code calls wandb: each shape once, as it was seen, shortened to what it asks of wandb.

A shape is the body of a script: it has `import wandb, os, numpy as np` above it, and runs in an empty working
directory with WANDB_MODE=offline and WANDB_CONSOLE=off.  `run_shape` is for both clients: it needs no module
of ours.
"""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
from typing import Dict, Set

SHAPES: Dict[str, str] = {
    "quickstart": """
        wandb.init(project="demo", config={"lr": 0.01, "epochs": 2})
        for epoch in range(wandb.config.epochs):
            wandb.log({"loss": 1 / (epoch + 1)})
        wandb.finish()
    """,
    "context_manager": """
        with wandb.init(project="demo", name="first", notes="n", tags=["a", "b"]) as run:
            run.log({"acc": 0.5, "epoch": 1})
    """,
    "config_from_args": """
        import argparse
        args = argparse.Namespace(lr=0.1, layers=[1, 2], name=None)
        wandb.init(project="demo", config=args)
        assert wandb.config.lr == 0.1
    """,
    "config_update_args": """
        import argparse
        wandb.init(name="x", project="demo")
        wandb.config.update(argparse.Namespace(batch=4, opt="adam"))
        wandb.config.update({"batch": 8}, allow_val_change=True)
    """,
    "config_vars": """
        class Args:
            def __init__(self):
                self.seed = 3
                self.nested = {"a": {"b": 1}}
        wandb.init(project="demo", config=vars(Args()))
        assert wandb.config["nested"]["a"]["b"] == 1
    """,
    "config_assigned_before_init": """
        wandb.config = {"learning_rate": 0.001, "epochs": 100}
        wandb.init(project="demo", config={"learning_rate": 0.5})
        assert wandb.config.learning_rate == 0.5
        wandb.log({"loss": 1})
    """,
    "config_attributes": """
        wandb.init(project="demo")
        wandb.config.lr = 0.1
        wandb.config["depth"] = 3
        wandb.config.setdefaults({"lr": 9, "width": 7})
        assert dict(wandb.config) == {"lr": 0.1, "depth": 3, "width": 7}
        assert wandb.config.get("nothing", 5) == 5 and "lr" in wandb.config
    """,
    "config_as_kwargs": """
        def train(lr, depth):
            return lr * depth
        wandb.init(project="demo", config=dict(lr=0.5, depth=2))
        wandb.log({"out": train(**wandb.config)})
    """,
    "config_dataclass": """
        from dataclasses import asdict, dataclass
        @dataclass
        class Config:
            lr: float = 0.1
            name: str = "x"
        wandb.init(project="demo", config=asdict(Config()))
    """,
    "config_include_keys": """
        wandb.init(project="demo", config={"a": 1, "b": 2, "c": 3}, config_include_keys=["a", "c"])
    """,
    "config_exclude_keys": """
        wandb.init(project="demo", config={"a": 1, "b": 2, "c": 3}, config_exclude_keys=["a"])
    """,
    "hydra_style_group": """
        wandb.init(project="demo", group="exp", job_type="train", name="s1", dir=os.getcwd(), reinit=True,
                   config={"agent": {"name": "ddpg", "lr": 1e-4}, "seed": 1})
        wandb.run.log({"train/episode_reward": 1.0}, step=10)
    """,
    "id_and_resume": """
        run = wandb.init(project="demo", id="abcd1234", resume="allow")
        assert not wandb.run.resumed
        wandb.log({"a": 1})
    """,
    "resume_with_true": """
        wandb.init(project="preemptable", resume=True)
        if wandb.run.resumed:
            raise SystemExit("nothing to resume here")
        wandb.log({"a": 1})
    """,
    "settings_object": """
        wandb.init(project="demo", settings=wandb.Settings(silent=True, console="off"))
        wandb.log({"a": 1})
    """,
    "settings_silent_text": """
        run = wandb.init(project="demo", job_type="t", settings=wandb.Settings(silent="true"))
        run.log({"a": 1})
    """,
    "settings_code_dir": """
        wandb.init(project="demo", settings=wandb.Settings(code_dir="."))
    """,
    "settings_quiet_dict": """
        wandb.init(project="demo", settings={"quiet": True, "x_disable_stats": True})
    """,
    "setup_first": """
        wandb.setup()
        wandb.init(project="demo").log({"a": 1})
    """,
    "environment": """
        os.environ["WANDB_PROJECT"] = "from-env"
        os.environ["WANDB_NAME"] = "named"
        os.environ["WANDB_TAGS"] = "x,y"
        os.environ["WANDB_RUN_GROUP"] = "g"
        wandb.teardown()
        wandb.init()
    """,
    "name_set_later": """
        wandb.init(project="demo")
        wandb.run.name = "later"
        wandb.run.notes = "words"
        wandb.run.tags = wandb.run.tags + ("added",)
    """,
    "log_many_calls_one_step": """
        run = wandb.init(project="demo")
        for step in range(3):
            wandb.log({"loss": step}, commit=False)
            wandb.log({"acc": step * 2})
    """,
    "log_with_step": """
        wandb.init(project="demo")
        for step in (0, 10, 20):
            wandb.log({"loss": step / 2}, step=step)
            wandb.log({"lr": 0.1}, step=step)
    """,
    "log_step_goes_back": """
        wandb.init(project="demo")
        wandb.log({"a": 1}, step=5)
        wandb.log({"a": 2}, step=6)
    """,
    "log_nested": """
        wandb.init(project="demo")
        wandb.log({"train": {"loss": 1.0, "acc": {"top1": 0.5}}, "val/loss": 2})
    """,
    "log_texts_and_none": """
        import datetime
        wandb.init(project="demo")
        wandb.log({"idx": 1, "stage": "warmup", "nothing": None, "flag": True})
        wandb.log({"duration": str(datetime.timedelta(seconds=3))})
    """,
    "log_numpy_scalars": """
        wandb.init(project="demo")
        wandb.log({"F1": np.mean([0.5, 1.0]), "n": np.int64(3), "f": np.float32(0.25), "z": np.array(2.0)})
    """,
    "log_nan": """
        wandb.init(project="demo")
        wandb.log({"loss": float("nan"), "best": float("inf"), "worst": -np.inf})
    """,
    "log_lists": """
        wandb.init(project="demo")
        wandb.log({"per_class": [0.1, 0.2, 0.3], "tuple": (1, 2), "shape": list(np.zeros((2, 3)).shape)})
    """,
    "log_empty": """
        wandb.init(project="demo")
        wandb.log({})
        wandb.log({"a": 1})
    """,
    "log_dict_comprehension": """
        wandb.init(project="demo")
        metrics = {"loss": 0.5, "acc": 0.9}
        wandb.log({f"val/{k}": v for k, v in metrics.items()})
        wandb.log({**metrics, "epoch": 1})
    """,
    "log_histogram": """
        wandb.init(project="demo")
        wandb.log({"weights": wandb.Histogram(np.arange(10.0)), "plain": np.arange(100.0)})
    """,
    "log_np_histogram": """
        wandb.init(project="demo")
        wandb.log({"h": wandb.Histogram(np_histogram=np.histogram([1, 2, 2, 3], bins=4))})
    """,
    "log_image": """
        wandb.init(project="demo")
        wandb.log({"renders": wandb.Image(np.zeros((4, 4, 3), dtype=np.uint8), caption="black")})
    """,
    "log_image_list": """
        wandb.init(project="demo")
        pixels = np.full((2, 2), 255, dtype=np.uint8)
        wandb.log({"samples": [wandb.Image(pixels, caption=str(i)) for i in range(2)], "epoch": 1})
    """,
    "log_table": """
        wandb.init(project="demo")
        table = wandb.Table(columns=["input", "output"], data=[["a", 1], ["b", 2]])
        table.add_data("c", 3)
        wandb.log({"sample_predictions": table})
    """,
    "log_html": """
        wandb.init(project="demo")
        wandb.log({"page": wandb.Html("<p>hello</p>", inject=False)})
    """,
    "plot_line": """
        wandb.init(project="demo")
        table = wandb.Table(data=[[1, 2], [2, 4]], columns=["x", "y"])
        wandb.log({"curve": wandb.plot.line(table, "x", "y", title="a curve")})
    """,
    "define_epoch": """
        wandb.init(project="demo")
        wandb.define_metric("epoch")
        wandb.define_metric("*", step_metric="epoch")
        for epoch in range(2):
            wandb.log({"epoch": epoch, "loss": 1 / (1 + epoch)})
    """,
    "define_groups": """
        run = wandb.init(project="demo")
        run.define_metric("train/step")
        run.define_metric("train/*", step_metric="train/step")
        run.define_metric("eval/reward", step_metric="train/step", summary="max")
        run.log({"train/step": 1, "train/loss": 3})
        run.log({"eval/reward": 5})
    """,
    "define_summary_best": """
        wandb.init(project="demo")
        wandb.define_metric("val_acc", summary="max")
        wandb.define_metric("val_loss", summary="min,mean")
        for acc in (0.1, 0.9, 0.5):
            wandb.log({"val_acc": acc, "val_loss": 1 - acc})
    """,
    "define_hidden": """
        wandb.init(project="demo")
        wandb.define_metric(name="step", hidden=True)
        wandb.define_metric(name="loss", step_metric="step", hidden=False)
        wandb.log({"step": 3, "loss": 1})
    """,
    "summary_items": """
        wandb.init(project="demo")
        wandb.log({"acc": 0.5})
        wandb.run.summary["best_acc"] = 0.9
        wandb.summary["best_epoch"] = 3
        wandb.run.summary.update({"cv/mean": 1.5, "cv/std": 0.1})
    """,
    "summary_nested": """
        wandb.init(project="demo")
        wandb.run.summary["eval"] = {"a": 1, "b": {"c": 2}}
    """,
    "summary_attribute": """
        run = wandb.init(project="demo")
        run.summary.best = 4
        assert run.summary["best"] == 4 and run.summary.get("none") is None
    """,
    "alert_plain": """
        wandb.init(project="demo")
        wandb.alert(title="Low accuracy", text="Accuracy 0.1 is below the acceptable threshold")
    """,
    "alert_level": """
        from datetime import timedelta
        wandb.init(project="demo")
        wandb.alert(title="NaN", text="x", level=wandb.AlertLevel.WARN, wait_duration=timedelta(minutes=5))
        wandb.run.alert("t", "u", "ERROR", 300)
    """,
    "save_file": """
        open("model.pth", "w").write("weights")
        wandb.init(project="demo")
        wandb.save("model.pth")
    """,
    "save_glob_with_base": """
        os.makedirs("out/ckpt")
        for name in ("a.pt", "b.pt", "c.txt"):
            open(f"out/ckpt/{name}", "w").write(name)
        wandb.init(project="demo")
        wandb.save("out/ckpt/*.pt", base_path="out")
    """,
    "save_absolute": """
        os.makedirs("out/ckpt")
        path = os.path.join(os.getcwd(), "out", "ckpt", "last.pt")
        open(path, "w").write("x")
        wandb.init(project="demo")
        wandb.save(path, policy="now")
    """,
    "save_nothing": """
        wandb.init(project="demo")
        assert wandb.save("model_none") == []
    """,
    "write_into_run_dir": """
        wandb.init(project="demo")
        with open(os.path.join(wandb.run.dir, "config.txt"), "w") as f:
            f.write("x")
        wandb.save(os.path.join(wandb.run.dir, "config.txt"))
    """,
    "artifact_file": """
        open("data.csv", "w").write("1,2")
        run = wandb.init(project="demo", job_type="upload")
        artifact = wandb.Artifact("dataset", type="dataset", description="d", metadata={"rows": 1})
        artifact.add_file("data.csv")
        run.log_artifact(artifact, aliases=["best"])
    """,
    "artifact_dir": """
        os.makedirs("model/sub")
        open("model/a.bin", "w").write("a")
        open("model/sub/b.bin", "w").write("b")
        run = wandb.init(project="demo")
        artifact = wandb.Artifact(name=f"model-{wandb.run.project}", type="model")
        artifact.add_dir("model")
        wandb.log_artifact(artifact)
    """,
    "artifact_new_file": """
        run = wandb.init(project="demo")
        artifact = wandb.Artifact("notes", type="text")
        with artifact.new_file("notes.txt") as f:
            f.write("hello")
        run.log_artifact(artifact)
    """,
    "artifact_path": """
        open("w.h5", "w").write("w")
        run = wandb.init(project="demo")
        run.log_artifact("w.h5", name="weights", type="model")
    """,
    "log_code": """
        os.makedirs("src")
        open("src/train.py", "w").write("pass")
        wandb.init(project="demo")
        wandb.run.log_code("src", name="the-code")
    """,
    "log_code_filter": """
        os.makedirs("src")
        for name in ("a.py", "b.sh", "c.md"):
            open(f"src/{name}", "w").write(name)
        wandb.init(project="demo")
        wandb.run.log_code("src", "filtered", include_fn=lambda path: path.endswith((".py", ".sh")))
    """,
    "disabled": """
        run = wandb.init(project="demo", mode="disabled", config={"a": 1})
        run.log({"x": 1})
        wandb.log({"x": 2})
        assert run.disabled and wandb.config.a == 1
        run.finish()
    """,
    "logged_only_if_active": """
        if wandb.run is not None:
            raise SystemExit("there is no run yet")
        wandb.init(project="demo")
        name = wandb.run.name if wandb.run else None
        wandb.log({"id": len(wandb.run.id)})
        wandb.finish()
        assert wandb.run is None
    """,
    "log_before_init": """
        try:
            wandb.log({"a": 1})
        except wandb.errors.Error as error:
            assert "wandb.init()" in str(error)
        wandb.init(project="demo")
    """,
    "log_after_finish": """
        run = wandb.init(project="demo")
        run.finish()
        try:
            run.log({"a": 1})
        except wandb.errors.UsageError as error:
            assert "is finished" in str(error)
    """,
    "reinit_several": """
        for seed in range(2):
            run = wandb.init(project="demo", name=f"seed{seed}", reinit=True)
            run.log({"seed": seed})
            run.finish()
    """,
    "create_new_side_by_side": """
        first = wandb.init(project="demo", name="one", reinit="create_new")
        second = wandb.init(project="demo", name="two", reinit="create_new")
        first.log({"a": 1})
        second.log({"b": 2})
        first.finish()
        second.finish()
    """,
    "second_init_returns_the_first": """
        first = wandb.init(project="demo")
        assert wandb.init(project="demo") is first
        wandb.log({"a": 1})
    """,
    "require_core": """
        wandb.require("core")
        wandb.require(experiment="service")
        wandb.init(project="demo")
    """,
    "terms": """
        wandb.termlog("info")
        wandb.termwarn("warning", repeat=False)
        wandb.termerror("error")
        wandb.init(project="demo")
    """,
    "mark_preempting": """
        wandb.init(project="demo")
        wandb.mark_preempting()
        wandb.log({"a": 1})
    """,
    "finish_exit_code": """
        wandb.init(project="demo")
        wandb.finish(exit_code=3)
    """,
    "raised_inside": """
        try:
            with wandb.init(project="demo") as run:
                run.log({"a": 1})
                raise RuntimeError("boom")
        except RuntimeError:
            pass
        assert wandb.run is None
    """,
    "typed_by_paths": """
        from wandb.sdk.wandb_run import Run
        from wandb.wandb_run import Run as Run2
        from wandb.sdk.lib import RunDisabled
        from wandb.sdk.data_types.image import Image
        from wandb.sdk.lib.runid import generate_id
        run = wandb.init(project="demo", id=generate_id())
        assert isinstance(run, Run) and Run is Run2 is wandb.Run and Image is wandb.Image
        assert not isinstance(run, RunDisabled)
    """,
    "toolbox": """
        run = wandb.init(project="demo", name="it/is: odd")
        run.config["safe"] = wandb.util.make_artifact_name_safe(f"{wandb.run.name}-checkpoint")
        run.config["text"] = wandb.util.json_dumps_safer([1, 2])
        run.config["there"] = wandb.util.get_module("no_such_module_here") is None
    """,
    "telemetry_of_a_library": """
        from wandb.sdk.lib import telemetry
        wandb.init(project="demo")
        with telemetry.context() as tel:
            tel.feature.watch = True
        wandb.log({"a": 1})
    """,
    "helper_parse_config": """
        wandb.init(project="demo", config=wandb.helper.parse_config({"a": 1, "b": 2}, exclude=("b",)))
    """,
    "pinned_keys": """
        run = wandb.init(project="demo", config={"lr": 1, "seed": 2})
        run.pin_config_keys(["seed"])
    """,
    "write_logs": """
        run = wandb.init(project="demo", settings=wandb.Settings(console="off"))
        run.write_logs("a line of my own")
    """,
    "properties": """
        run = wandb.init(project="demo", entity="me", group="g", job_type="j", id="abc", config={"a": 1})
        assert (run.id, run.project, run.entity, run.group, run.job_type) == ("abc", "demo", "me", "g", "j")
        assert run.path == "me/demo/abc" and run.offline and not run.disabled and run.step == 0
        assert run.url is None and run.sweep_id is None and os.path.isdir(run.dir)
        assert run.config_static["a"] == 1 and run.start_time > 1e9 and run.starting_step == 0
        run.log({"x": 1})
        assert run.step == 1
    """,
}

# Shapes of older scripts: the real 0.31 refuses them, and ours goes on.
OLD_SHAPES: Dict[str, str] = {
    "start_method": """
        wandb.init(project="demo", settings=wandb.Settings(start_method="fork"))
    """,
    "private_settings": """
        wandb.init(project="demo", settings=wandb.Settings(_disable_stats=True))
    """,
    "generate_id": """
        wandb.init(project="demo", id=wandb.util.generate_id(), resume="allow")
    """,
    "save_the_run": """
        wandb.init(project="demo")
        wandb.run.name = "named"
        wandb.run.save()
    """,
    "magic": """
        wandb.init(project="demo", magic=True, anonymous="allow")
    """,
    "log_sync": """
        wandb.init(project="demo")
        wandb.log({"a": 1}, sync=False)
    """,
    "get_url": """
        run = wandb.init(project="demo")
        assert run.get_url() is None and run.project_name() == "demo"
    """,
    "define_goal": """
        wandb.init(project="demo")
        wandb.define_metric("loss", summary="best", goal="minimize")
        wandb.log({"loss": 2})
    """,
}


def run_shape(code: str) -> Set[str]:
    """Run a shape here and now, and finish what it leaves open; return the run directories that it made."""
    import numpy as np
    import wandb

    before = {"WANDB_PROJECT", "WANDB_NAME", "WANDB_TAGS", "WANDB_RUN_GROUP"} - set(os.environ)
    try:
        exec(textwrap.dedent(code), {"wandb": wandb, "os": os, "np": np, "__name__": "__main__"})
    finally:
        wandb.finish()
        for name in before & set(os.environ):
            del os.environ[name]
        wandb.teardown()
    if not os.path.isdir("wandb"):
        return set()
    return {name for name in os.listdir("wandb") if name.startswith("offline-run-")}


if __name__ == "__main__":  # run all of them, each in a directory of its own below the working directory
    top = os.getcwd()
    os.environ.update(WANDB_MODE="offline", WANDB_CONSOLE="off")
    failed = []
    for title, body in SHAPES.items():
        os.makedirs(os.path.join(top, title))
        os.chdir(os.path.join(top, title))
        try:
            run_shape(body)
        except Exception:
            failed.append(f"{title}: {traceback.format_exc()}")
    print("\n".join(failed))
    sys.exit(1 if failed else 0)
