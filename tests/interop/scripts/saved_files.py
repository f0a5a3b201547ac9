"""wandb.save by all policies, files in directories, files put into the run's directory."""

import os

import wandb

os.makedirs("out/deep", exist_ok=True)
for name, text in {
    "out/model.txt": "weights",
    "out/deep/notes.txt": "notes",
    "now.txt": "now",
    "end.txt": "",
}.items():
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
run = wandb.init()
wandb.save("now.txt", policy="now")
wandb.save("end.txt", policy="end")
run.save("out/*.txt", base_path=".")
run.save("out/deep/notes.txt", base_path="out")
with open("end.txt", "w", encoding="utf-8") as file:
    file.write("grown later")
with open(os.path.join(run.dir, "direct.txt"), "w", encoding="utf-8") as file:
    file.write("put there directly")
run.save(os.path.join(run.dir, "direct.txt"))
run.log({"loss": 1})
run.finish()
