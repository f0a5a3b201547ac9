"""Who may know whom, held at run time: what a fresh interpreter has loaded says more than any import
statement."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, Set

import pytest
from conftest import run_python

ROOT = Path(__file__).resolve().parents[2]
THIRD_PARTY = (
    "google",
    "zstandard",
    "requests",
    "click",
    "watchdog",
    "tenacity",
    "starlette",
    "sqlalchemy",
    "graphql",
)

OFFLINE_RUN = """
import sys
import wandb
with wandb.init(mode="offline", config={"a": 1}, settings={"silent": True}) as run:
    run.define_metric("loss", summary="min")
    for step in range(5):
        run.log({"loss": step, "nested": {"x": 1}}, step=step)
    print("hello")
    run.summary["best"] = 1
print("\\n".join(sorted(sys.modules)))
"""


def _loaded(code: str) -> Set[str]:
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n"))


def test_a_whole_offline_run_loads_no_third_party_module_and_nothing_that_connects() -> None:
    loaded = _loaded(OFFLINE_RUN)
    assert "wandb.sdk.wandb_run" in loaded
    forbidden = [name for name in loaded if name.partition(".")[0] in (*THIRD_PARTY, "wandb_sync")]
    assert not forbidden
    assert (
        not {"socket", "ssl", "http.client", "subprocess", "multiprocessing", "asyncio", "urllib.request"}
        & loaded
    )


@pytest.mark.parametrize("statement", ["import wandb", "from wandb import init", "__import__('wandb')"])
def test_a_script_has_the_recording_half_once_it_has_imported_the_package(statement: str) -> None:
    run = "with wandb.init(mode='offline', settings={'silent': True}) as run: run.log({'a': 1})"
    loaded = _loaded(
        f"import sys; {statement}; import wandb; before = set(sys.modules)\n{run}\n"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    beside = {name for name in loaded if name.startswith("wandb")}  # they are loaded in threads of their own
    assert {name.rpartition(".")[0] for name in beside} <= {"wandb.internal"}


def test_importing_the_package_starts_nothing_and_needs_nothing() -> None:
    loaded = _loaded("import sys, wandb, threading; print(threading.active_count(), *sys.modules, sep='\\n')")
    assert "1" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in (*THIRD_PARTY, "wandb_sync")]
    assert not {"socket", "ssl", "subprocess", "asyncio"} & loaded


@pytest.mark.parametrize(
    "statement",
    [
        "import wandb.version",
        "from wandb.transaction_log import format",
        "import importlib as i; i.import_module('wandb.env')",
    ],
)
def test_importing_a_part_of_the_package_does_not_load_the_recording_half(statement: str) -> None:
    loaded = _loaded(f"{statement}; import sys; print(*sys.modules, sep='\\n')")
    assert "wandb" in loaded
    assert not [name for name in loaded if name.startswith("wandb.sdk")]


def test_the_syncer_never_loads_the_sdk() -> None:
    loaded = _loaded("import sys, wandb_sync.service, wandb_sync.cli; print('\\n'.join(sys.modules))")
    for half in ("sdk", "interface", "backend", "internal"):
        assert not [name for name in loaded if name.startswith(f"wandb.{half}")]


def test_the_log_needs_the_standard_library_only() -> None:
    code = (
        "import sys, wandb.transaction_log.reader, wandb.transaction_log.writer, wandb.transaction_log.verify"
    )
    loaded = _loaded(code + "; print('\\n'.join(sys.modules))")
    assert not [name for name in loaded if name.partition(".")[0] in THIRD_PARTY]


def _imports() -> Dict[str, Set[str]]:
    """Return module -> modules of ours that it imports, at module level or inside a function."""
    files = {}
    for package in ("wandb", "wandb_sync"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            files[name[: -len(".__init__")] if name.endswith(".__init__") else name] = path
    found = {}
    for name, path in files.items():
        imported = set()
        tree = ast.parse(path.read_text())
        typing_only = [
            node
            for branch in ast.walk(tree)
            if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
            for node in ast.walk(branch)
        ]
        for node in ast.walk(tree):
            if node in typing_only:
                continue
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        found[name] = {target for target in imported if target in files and target != name}
    return found


def _half(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "wandb" else parts[0]


@pytest.mark.parametrize("half", ["wandb.sdk", "wandb.interface", "wandb.backend", "wandb.internal"])
def test_the_syncer_imports_nothing_of_the_recording_half(half: str) -> None:
    assert not [
        n for n, targets in _imports().items() if _half(n) == "wandb_sync" and half in map(_half, targets)
    ]


def test_the_recording_half_imports_neither_syncer_nor_server() -> None:
    for name, targets in _imports().items():
        if _half(name) in (
            "wandb.sdk",
            "wandb.interface",
            "wandb.backend",
            "wandb.internal",
            "wandb.transaction_log",
        ):
            asks_a_server = name in (
                "wandb.sdk.artifacts.server",
                "wandb.sdk.wandb_login",
                "wandb.sdk.wandb_restore",
                "wandb.sdk.wandb_sweep",
            )
            allowed = {"wandb.apis"} if asks_a_server else set()
            wrong = {_half(target) for target in targets} & {
                "wandb_sync",
                "wandb.server",
                "wandb.cli",
                "wandb.apis",
            }
            assert not wrong - allowed, name


def test_there_is_no_cycle_not_even_inside_a_function() -> None:
    imports = _imports()
    done: Set[str] = set()

    def visit(name: str, path: tuple) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for target in imports.get(name, ()):
            if target != "wandb":  # the package itself loads lazily; wandb/__init__ imports nothing
                visit(target, (*path, name))
        done.add(name)

    for name in imports:
        visit(name, ())


def test_each_dependency_has_one_home() -> None:
    homes = {
        "requests": {"wandb_sync/transport/http.py"},
        "tenacity": {"wandb_sync/transport/retry.py"},
        "watchdog": {"wandb_sync/watch.py"},
        "zstandard": {"wandb/transaction_log/compressed.py", "wandb_sync/pack/stream.py"},
        "sqlalchemy": {"wandb/server"},
        "starlette": {"wandb/server"},
        "uvicorn": {"wandb/server"},
        "graphql": {"wandb/server"},
        "click": {"wandb/cli", "wandb_sync/cli.py", "wandb_sync/report.py"},
    }
    for package in ("wandb", "wandb_sync"):
        for path in (ROOT / package).rglob("*.py"):
            relative = str(path.relative_to(ROOT))
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                for name in names:
                    allowed = homes.get(name.partition(".")[0])
                    assert allowed is None or any(relative.startswith(home) for home in allowed), (
                        relative,
                        name,
                    )
