"""Output that only a real terminal shows as it was meant: backspaces, erased lines, far jumps, long lines."""

import wandb

run = wandb.init(settings=wandb.Settings(console="wrap"))
print("spaces behind   ")
print("abc\b\bX")
print("old text\r\033[Knew")
print("first bar\nsecond bar")
print("\033[2A\033[Kfirst bar done\033[2B", end="\r")
print("after the bars\033[K")
print("l" * 5000)
print("end")
run.finish()
