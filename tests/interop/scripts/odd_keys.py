"""Keys that are no identifiers: dots, slashes, spaces, other scripts, quotes; long ones."""

import wandb

run = wandb.init(config={"a.b": 1, "a/b": 2, "a b": 3, "a": {"b": 4, "c.d": 5}, "ключ": "значение"})
run.log({"a.b": 1, "a/b": 2, "a b": 3, "a\\b": 4, "a": {"b": 5, "c.d": 6}})
run.log({"ключ": 1, "键": 2, "🚀": 3, 'quo"te': 4, "new\nline": 5, "tab\t": 6})
run.log({"k" * 300: 1, "0": 2, "-": 3, "_private": 4, "UPPER": 5, "upper": 6})
run.log({"text": 'quo"te \\ back', "unicode": "ж 漢字 🚀", "control": "a\x00b\x1f", "html": "<b>&</b>\u2028"})
run.summary["a.b"] = 10
run.summary["a"] = {"b.c": 11}
run.finish()
