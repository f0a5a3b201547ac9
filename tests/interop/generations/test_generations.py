"""Logs written here and now by six generations of the real client, read by us.

Each generation gets an environment of its own, made with an interpreter of its time.  One that is missing
fails the test: a generation that is not tried is not known to work.  The environments are kept in
`.tox/generations` (or WANDB_NG_GENERATIONS) and used again.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import pytest

from wandb.proto import record_pb2
from wandb.transaction_log.reader import read_records
from wandb.transaction_log.verify import verify

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("write_log.py")
N_BIG = 20000  # numbers in one row: about 130 kB, so that records span several blocks


class Generation(NamedTuple):
    """A release of the real client, and what it needs to run."""

    python: str
    requirements: List[str]


GENERATIONS: Dict[str, Generation] = {
    "0.10": Generation("3.8", ["wandb==0.10.33", "protobuf<3.21"]),  # its generated code refuses protobuf 4
    "0.12": Generation("3.8", ["wandb==0.12.21", "protobuf<4"]),
    "0.15": Generation("3.8", ["wandb==0.15.12", "protobuf<5"]),
    "0.19": Generation("3.9", ["wandb==0.19.11"]),
    "0.25": Generation("3.9", ["wandb==0.25.1"]),
    "0.31": Generation("3.11", ["wandb==0.31.0"]),
}


def interpreter(version: str) -> str:
    """Find Python `version` among pyenv's, on the PATH, or through uv."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME is another one in tests
    root = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    for path in sorted(root.glob(f"versions/{version}.*/bin/python")):
        return str(path)
    on_path = shutil.which(f"python{version}")
    if on_path:
        return on_path
    uv = shutil.which("uv")
    if uv:
        found = subprocess.run(
            [uv, "python", "find", version], stdout=subprocess.PIPE, universal_newlines=True
        )
        if found.returncode == 0:
            return found.stdout.strip()
    raise AssertionError(f"no Python {version} found; install it with: pyenv install {version}")


def environment(name: str) -> Path:
    """Return the Python of a generation's own environment; make it if it is not there."""
    root = Path(os.environ.get("WANDB_NG_GENERATIONS") or ROOT / ".tox" / "generations")
    python = root / name / "bin" / "python"
    wanted = root / name / "installed.json"
    generation = GENERATIONS[name]
    if not wanted.exists() or json.loads(wanted.read_text()) != list(generation):
        shutil.rmtree(root / name, ignore_errors=True)
        subprocess.run([interpreter(generation.python), "-m", "venv", str(root / name)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *generation.requirements], check=True)
        wanted.write_text(json.dumps(list(generation)))
    return python


def write_log(name: str, run_id: str, directory: Path) -> Path:
    """Let a generation record a run offline, and learn little about this machine; return its log."""
    python = environment(name)
    home, cwd = directory / "home", directory / "cwd"
    home.mkdir(parents=True)
    cwd.mkdir()
    shutil.copy(str(SCRIPT), str(cwd))
    environ = {
        "PATH": os.defpath,
        "HOME": str(home),
        "USER": "somebody",
        "LOGNAME": "somebody",
        "LANG": "C.UTF-8",
        "WANDB_HOST": "somewhere",
        "WANDB_USERNAME": "somebody",
        "WANDB_BASE_URL": "http://127.0.0.1:9",  # should one not stay offline, it gets nowhere
        "WANDB_DISABLE_GIT": "true",
        "WANDB_DISABLE_CODE": "true",
        "WANDB__DISABLE_STATS": "true",
        "WANDB__DISABLE_META": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }
    command = [str(python), SCRIPT.name, run_id, str(N_BIG)]
    outcome = subprocess.run(
        command, cwd=str(cwd), env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
    )
    assert outcome.returncode == 0, outcome.stdout.decode()
    (log,) = cwd.glob(f"wandb/offline-run-*/run-{run_id}.wandb")
    return log


@pytest.mark.parametrize("name", sorted(GENERATIONS))
def test_a_log_of_every_generation_is_read_without_loss(name: str, tmp_path: Path) -> None:
    log = write_log(name, "gen" + name.replace(".", ""), tmp_path / name)

    assert verify(log).verdict == "sound"
    messages = [record_pb2.Record.FromString(record.payload) for record in read_records(log)]
    kinds: List[Optional[str]] = [message.WhichOneof("record_type") for message in messages]
    assert None not in kinds
    assert kinds.count("run") == 1
    assert kinds.count("history") == 31
    rows = [
        {".".join(item.nested_key) or item.key: item.value_json for item in message.history.item}
        for message in messages
        if message.WhichOneof("record_type") == "history"
    ]
    assert [json.loads(row["text"]) for row in rows[:-1]] == [f"row {step}" for step in range(30)]
    assert json.loads(rows[-1]["big"]) == list(range(N_BIG))
