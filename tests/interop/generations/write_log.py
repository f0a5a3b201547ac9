"""Record one small offline run with whatever `wandb` is installed: 0.10 to 0.31, Python 3.6 and later.

    python write_log.py RUN_ID N_BIG

Run by test_generations.py in an empty directory, with HOME in another.  Facts about the machine are turned
off by the names that each generation had for that; a release refuses those it does not know, so each name is
tried alone.
"""

import sys

N_STEPS = 30


def quiet_settings(wandb):
    """Return settings that record nothing of the machine: all the names that this release takes."""
    settings = {}
    for name, value in (
        ("_disable_stats", True),
        ("_disable_meta", True),
        ("_disable_machine_info", True),
        ("x_disable_stats", True),
        ("x_disable_meta", True),
        ("x_disable_machine_info", True),
        ("x_save_requirements", False),
        ("_save_requirements", False),
        ("disable_git", True),
        ("disable_job_creation", True),
        ("save_code", False),
        ("host", "somewhere"),
        ("username", "somebody"),
        ("email", "somebody@example.com"),
        ("program", "write_log.py"),
        ("program_relpath", "write_log.py"),
    ):
        try:
            wandb.Settings(**{name: value})
        except Exception:  # each generation has its own way to say no
            continue
        settings[name] = value
    return wandb.Settings(**settings)


def main(run_id, n_big):
    """Record a run with most kinds of records; one row holds `n_big` numbers."""
    import wandb

    run = wandb.init(
        mode="offline",
        project="generations",
        entity="somebody",
        id=run_id,
        name="a run of wandb " + wandb.__version__,
        notes="unicode: \u00fc \u65e5\u672c",
        tags=["small", "vector"],
        group="group",
        job_type="test",
        config={"lr": 0.1, "layers": [1, 2, 3], "nested": {"a": {"b": None}}},
        settings=quiet_settings(wandb),
    )
    run.define_metric("val/*", step_metric="epoch")
    for step in range(N_STEPS):
        run.log(
            {"loss": 1.0 / (step + 1), "nested": {"acc": step / 40.0}, "epoch": step, "text": "row %d" % step}
        )
    run.log({"big": list(range(n_big)), "nan": float("nan"), "inf": float("inf"), "none": None})
    run.config.update({"later": "value"})
    run.summary["best"] = 0.5
    print("a line on the console")
    run.finish(exit_code=0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
