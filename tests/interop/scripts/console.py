"""What is printed: both streams, colours, unicode, partial lines, long lines, lines of our own."""

import sys

import wandb

run = wandb.init(settings=wandb.Settings(console="wrap"))
print("a line")
print("no newline yet, ", end="")
print("now there is")
print("to stderr", file=sys.stderr)
print("\033[31mred\033[0m and \033[1mbold\033[0m")
print("ünïcödé ж 漢字 🚀\ttab")
print()
print("  spaces before")
print("two\nlines")
sys.stdout.writelines(["one ", "write\n", "another\n"])
print("l" * 4000)
run.log({"loss": 1})
run.write_logs("written by the run itself")
run.write_logs("two lines\nof the run's own\n")
print("the last line has no end", end="")
run.finish()
