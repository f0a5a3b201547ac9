"""Every command and program in README.md runs, as it stands there.

The blocks are run in order in one directory that has a `train.py`, against the local server.  The two that
build an environment from the checkout, the demonstration and the installation, are run by `tox -e docs`; the
one that runs all tests is what CI itself calls.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from log_view import LogView

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import time, wandb
with wandb.init(project="readme", config={"lr": 0.1}) as run:
    for step in range(run.step, 60):
        run.log({"loss": 1 / (step + 1)})
        print("step", step, flush=True)
        time.sleep(float(__import__("os").environ.get("PAUSE_S", "0")))
"""


def blocks() -> List[Tuple[str, str]]:
    """Return (language, text) of each fenced block."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [(m[1], m[2]) for m in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)]


def block(language: str, containing: str) -> str:
    """Return the one block of a language that contains a text."""
    found = [text for name, text in blocks() if name == language and containing in text]
    assert len(found) == 1, f"README.md has {len(found)} {language} blocks with {containing!r}"
    return found[0]


@pytest.fixture
def shell(live_mock_server, tmp_path: Path) -> Dict[str, str]:
    """The environment of somebody who has installed the package: its programs in PATH, the server's URL."""
    Path("train.py").write_text(TRAIN)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, arguments in (("python", ""), ("wandb", "-m wandb")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "WANDB_BASE_URL": live_mock_server.base_url,
        "WANDB_API_KEY": live_mock_server.api_key,
        "SCRATCH": str(tmp_path / "work" / "scratch"),
        "SLURM_SUBMIT_DIR": str(tmp_path / "work"),
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NAME": "train",
    }


def run(script: str, environ: Dict[str, str]) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done


def run_typing(script: str, environ: Dict[str, str], prompt: str, answer: str) -> str:
    """Run a script on a terminal, answer its prompt, and return what it printed."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("bash", ["bash", "-eu", "-c", script], environ)
    shown = b""
    answered = False
    while True:
        assert select.select([terminal], [], [], 60)[0], f"nothing more was printed: {shown.decode()}"
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
        if not answered and prompt.encode() in shown:
            os.write(terminal, answer.encode() + b"\n")
            answered = True
    os.close(terminal)
    status = os.waitpid(child, 0)[1]
    assert status == 0 and answered, shown.decode(errors="replace")
    return shown.decode(errors="replace")


def n_rows(server) -> List[int]:
    return sorted(len(server.run(r["entity"], r["project"], r["name"])["history"]) for r in server.runs())


def test_the_readme_begins_with_the_demonstration_and_then_the_tests() -> None:
    shell_blocks = [text.strip() for language, text in blocks() if language == "sh"]
    assert shell_blocks[:2] == ["python3 tools/demo.py", "./tools/test.sh"]
    assert "./tools/test.sh" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.docs
def test_the_program_records_and_the_next_block_shows_logs_in_and_syncs(shell, live_mock_server) -> None:
    del shell["WANDB_API_KEY"]
    program = block("python", 'project="digits')
    subprocess.run([sys.executable, "-c", program], env=shell, check=True, capture_output=True, timeout=60)
    script = block("sh", "wandb login").replace(
        "--host https://api.wandb.ai", f"--host {shell['WANDB_BASE_URL']}"
    )
    shown = run_typing(script, shell, "from your profile: ", live_mock_server.api_key)
    assert "loss" in shown and live_mock_server.api_key not in shown
    assert n_rows(live_mock_server) == [100]


@pytest.mark.docs
def test_runs_are_looked_at_without_a_server(shell) -> None:
    without_server = {name: value for name, value in shell.items() if not name.startswith("WANDB_")}
    for _ in range(2):
        run("WANDB_MODE=offline python train.py", without_server)
    shown = run(block("sh", "wandb ls"), without_server).stdout
    assert shown.count("finished") == 2 and "step 59  loss=0.0166667" in shown
    assert "loss, smoothed 0.6, log" in shown and shown.count("(60 points") == 2
    assert Path("report.html").read_text().count("<polyline") == 2
    program = block("python", "wandb_sync.read") + "print(len(losses))"
    done = subprocess.run([sys.executable, "-c", program], env=without_server, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("finished {'lr': 0.1} 0.01666") and done.stdout.endswith("\n10\n")


@pytest.mark.docs
def test_the_ranks_of_the_recipe_are_one_run(shell, live_mock_server) -> None:
    program = block("python", "x_primary")
    ranks = [
        subprocess.Popen([sys.executable, "-c", program], env={**shell, "RANK": str(rank)})
        for rank in range(3)
    ]
    assert [process.wait(timeout=60) for process in ranks] == [0, 0, 0]
    run("wandb sync ./wandb", shell)
    (found,) = live_mock_server.runs()
    state = live_mock_server.run(found["entity"], found["project"], found["id"])
    rows = [json.loads(line) for line in state["history"]]
    assert sorted((row["loss"], row["_step"]) for row in rows) == [(0.5, 1), (1.5, 1), (2.5, 1)]


@pytest.mark.docs
def test_the_air_gap_recipe_carries_everything_and_only_what_is_new(shell, live_mock_server) -> None:
    Path(shell["SCRATCH"]).mkdir()
    record_and_pack, unpack, clean = (
        block("sh", part) for part in ("wandb pack", "wandb unpack", "wandb receipts import")
    )
    without_server = {name: value for name, value in shell.items() if not name.startswith("WANDB_")}
    run(record_and_pack, without_server)
    run(unpack, shell)
    assert n_rows(live_mock_server) == [60]
    run(record_and_pack, without_server)
    live_mock_server.clear_requests()
    run(unpack, shell)
    assert n_rows(live_mock_server) == [60, 60]
    posted = [r["path"] for r in live_mock_server.requests() if r["path"].endswith("/file_stream")]
    assert len(set(posted)) == 1  # to the new run alone
    runs = Path(shell["SCRATCH"]) / "wandb"
    assert len(list(runs.glob("offline-run-*"))) == 2
    for log in runs.glob("*/*.wandb"):
        os.utime(log, (time.time() - 8 * 86400,) * 2)
    run(clean, without_server)
    assert not list(runs.glob("offline-run-*"))


@pytest.mark.docs
def test_the_recipe_for_little_room_leaves_compressed_logs_that_are_synced(shell, live_mock_server) -> None:
    run("WANDB_MODE=offline python train.py", shell)
    run(block("sh", "wandb compact"), shell)
    run(block("sh", "WANDB_QUOTA_BYTES"), shell)
    assert sorted(path.suffix for path in Path("wandb").glob("offline-run-*/run-*.wandb*")) == [".zst"] * 2
    run("wandb sync ./wandb", shell)
    assert n_rows(live_mock_server) == [60, 60]


@pytest.mark.docs
def test_the_cron_line_syncs_also_when_two_overlap(shell, live_mock_server) -> None:
    *times, command = block("cron", "wandb sync").strip().split(None, 5)
    assert times == ["*/10", "*", "*", "*", "*"]
    project = Path(shell["HOME"]) / "project"
    project.mkdir()
    (project / "train.py").write_text(TRAIN)
    run("WANDB_MODE=offline python train.py", {**shell, "WANDB_DIR": str(project)})
    first, second = (
        subprocess.Popen(["sh", "-c", command], env=shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    )
    outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert 0 in (first.returncode, second.returncode), outputs
    assert n_rows(live_mock_server) == [60]
    done = subprocess.run(["sh", "-c", command], env=shell, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stdout and not done.stderr


@pytest.mark.docs
def test_the_unit_is_one_that_systemd_takes_and_its_command_watches(shell, live_mock_server) -> None:
    unit = block("ini", "[Service]")
    Path("wandb-sync.service").write_text(unit)
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", "./wandb-sync.service"], capture_output=True, text=True
        )
        ours = [line for line in done.stderr.splitlines() if "wandb-sync" in line]
        assert not ours, done.stderr
    options = dict(line.partition("=")[::2] for line in unit.splitlines() if "=" in line and line[0] != "#")
    command = options["ExecStart"].replace("%h", shell["HOME"]).split()
    project = Path(shell["HOME"]) / "project"
    project.mkdir()
    (project / "train.py").write_text(TRAIN)
    watch = subprocess.Popen(command, env=shell, stderr=subprocess.PIPE, text=True)
    run("WANDB_MODE=offline python train.py", {**shell, "WANDB_DIR": str(project)})
    end_s = time.monotonic() + 60
    while not any(r["state"] == "finished" for r in live_mock_server.runs()) and time.monotonic() < end_s:
        time.sleep(0.1)
    assert n_rows(live_mock_server) == [60]
    watch.terminate()
    assert watch.communicate(timeout=60)[1] == ""
    assert watch.returncode == int(options["SuccessExitStatus"])


@pytest.mark.docs
def test_the_epilogue_uploads_what_a_killed_step_has_left(shell, live_mock_server) -> None:
    Path("epilogue.sh").write_text(block("bash", "SLURM_SUBMIT_DIR"))
    step = subprocess.Popen(
        ["python", "train.py"],
        env={**shell, "WANDB_MODE": "offline", "PAUSE_S": "0.05"},
        stdout=subprocess.PIPE,
    )
    assert step.stdout is not None and step.stdout.readline()
    step.kill()
    step.communicate(timeout=60)
    done = subprocess.run(["bash", "epilogue.sh"], env=shell, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = live_mock_server.runs()
    assert found["state"] == "failed" and found["counts"]["history"] >= 1


@pytest.mark.docs
def test_the_slurm_job_ends_in_order_at_sigterm_and_the_next_job_uploads_it(shell, live_mock_server) -> None:
    train, sync = (block("sbatch", part) for part in ("--job-name=train", "--job-name=sync"))
    Path("job.sh").write_text(train)
    job = subprocess.Popen(["bash", "job.sh"], env={**shell, "PAUSE_S": "0.05"}, stdout=subprocess.PIPE)
    assert job.stdout is not None and job.stdout.readline()
    time.sleep(0.3)
    job.send_signal(signal.SIGTERM)
    job.wait(60)
    job.stdout.close()
    view = LogView(next(Path("wandb").glob("offline-run-*/*.wandb")))
    assert view.kinds()[-1] == "exit" and view.of("run")[0].display_name == "train-42"
    run(sync, shell)
    assert n_rows(live_mock_server) == [len(view.rows())]


@pytest.mark.docs
def test_the_job_that_is_requeued_and_killed_goes_on_with_its_run(shell, live_mock_server) -> None:
    """With a stand-in for the scheduler that really kills the job and starts it again."""
    Path("job.sh").write_text(block("sbatch", "--requeue"))
    scontrol = Path(shell["PATH"].partition(":")[0]) / "scontrol"
    scontrol.write_text('#!/bin/sh\necho "$*" >> requeued\n')
    scontrol.chmod(0o755)

    def start(restarts: int) -> "subprocess.Popen[bytes]":
        environ = {**shell, "PAUSE_S": "0.03", "SLURM_RESTART_COUNT": str(restarts)}
        job = subprocess.Popen(
            ["bash", "job.sh"], env=environ, stdout=subprocess.PIPE, start_new_session=True
        )
        assert job.stdout is not None and job.stdout.readline()
        return job

    for restarts, signum in enumerate((signal.SIGUSR1, signal.SIGKILL)):
        job = start(restarts)
        time.sleep(0.3)
        if signum == signal.SIGKILL:
            os.killpg(job.pid, signum)  # the node is gone
        else:
            job.send_signal(signum)  # the time is nearly over
        job.communicate(timeout=60)
        assert signum == signal.SIGKILL or Path("requeued").read_text() == "requeue 42\n"
    last = start(2)
    last.communicate(timeout=60)
    views = [LogView(path) for path in sorted(Path("wandb").glob("offline-run-*"))]
    assert len(views) == 3 and len({view.of("run")[0].run_id for view in views}) == 1
    assert [view.kinds().count("preempting") for view in views] == [1, 0, 0]
    assert views[0].of("exit")[0].exit_code == 143 and not views[1].of("exit")
    run(block("sbatch", "--job-name=sync"), shell)
    (found,) = live_mock_server.runs()
    end = live_mock_server.run(found["entity"], found["project"], found["name"])
    assert [json.loads(line)["_step"] for line in end["history"]] == list(range(60))
    assert end["state"] == "finished"


@pytest.mark.docs
def test_the_demonstration_does_what_it_says_on_a_fresh_clone(tmp_path: Path) -> None:
    clone = _fresh_clone(tmp_path)
    done = subprocess.run(
        block("sh", "tools/demo.py"), shell=True, cwd=clone, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is missing, nothing is double" in done.stdout and "page: http://127.0.0.1" in done.stdout


@pytest.mark.docs
def test_the_installation_gives_the_commands(tmp_path: Path) -> None:
    clone = _fresh_clone(tmp_path)
    subprocess.run(
        block("sh", "pip install"), shell=True, cwd=clone, check=True, capture_output=True, timeout=900
    )
    for program in ("wandb", "wb", "wandb-sync"):
        subprocess.run(
            [clone / "env" / "bin" / program, "--help"], check=True, capture_output=True, timeout=60
        )


def _fresh_clone(tmp_path: Path) -> Path:
    clone = tmp_path / "clone"
    if (ROOT / ".git").exists():
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    else:
        shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".tox", ".venv"))
    return clone
