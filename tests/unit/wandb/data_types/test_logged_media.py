"""What becomes of media in a row: files, records, and the JSON in the row; and what goes wrong with them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from conftest import run_python
from log_view import LogView

import wandb
from wandb.data_types import Media
from wandb.data_types.media import Content
from wandb.errors import LogWriteError, MediaFileError, ValidationError
from wandb.sdk import guard

BUNDLED = {"settings": {"console": "off", "silent": True, "bundle_files": True}}


class Note(Media):
    """Media that need no library."""

    _folder = "notes"
    _kind = "note-file"

    def __init__(self, text: str) -> None:
        self.text = text

    def _content(self) -> Content:
        return Content(self.text.encode(), ".txt")


def row_of(run: Any) -> Dict[str, Any]:
    return LogView(run.sync_dir).rows()[-1]


def file_of(run: Any, path: str) -> bytes:
    return kept(Path(run.sync_dir), path)


def kept(directory: Path, path: str) -> bytes:
    """A file of the run in a run directory, or in the bundle there."""
    for bundle in directory.glob("*.files.tar"):
        with tarfile.open(bundle) as tar:
            file = tar.extractfile(path)
            assert file is not None
            return file.read()
    return (directory / "files" / path).read_bytes()


def test_a_row_names_the_file_and_what_is_in_it(wandb_init_run: Any) -> None:
    wandb_init_run.log({"x": 1})
    wandb_init_run.log({"page": wandb.Html("<p>", inject=False), "x": 2})
    digest = hashlib.sha256(b"<p>").hexdigest()
    path = f"media/html/page_1_{digest[:20]}.html"
    assert row_of(wandb_init_run) == {
        "page": {"_type": "html-file", "path": path, "sha256": digest, "size": 3},
        "x": 2,
        "_step": 1,
    }
    assert file_of(wandb_init_run, path) == b"<p>"


def test_the_file_is_recorded_before_the_row(wandb_init_run: Any) -> None:
    wandb_init_run.log({"page": Note("a")})
    kinds = LogView(wandb_init_run.sync_dir).kinds()
    assert kinds.index("files") < kinds.index("history")


def test_a_name_has_the_step_of_its_row(wandb_init_run: Any) -> None:
    wandb_init_run.log({"a": Note("a")}, step=7)
    wandb_init_run.log({"b": Note("b")}, step=7)
    wandb_init_run.log({"c": Note("c")}, step=9)
    wandb_init_run.finish()
    seven, nine = LogView(wandb_init_run.sync_dir).rows()
    assert [seven[key]["path"][:16] for key in "ab"] == ["media/notes/a_7_", "media/notes/b_7_"]
    assert nine["c"]["path"].startswith("media/notes/c_9_")


def test_equal_content_of_one_key_and_step_is_one_file(wandb_init_run: Any) -> None:
    wandb_init_run.log({"pages": [Note("same"), Note("same"), Note("other")]})
    paths = [one["path"] for one in row_of(wandb_init_run)["pages"]]
    assert len(paths) == 3 and len(set(paths)) == 2
    assert len(os.listdir(Path(wandb_init_run.dir) / "media" / "notes")) == 2


def test_media_may_stand_in_dicts(wandb_init_run: Any) -> None:
    wandb_init_run.log({"deep": {"er": {"page": Note("a")}, "n": 1}})
    assert row_of(wandb_init_run)["deep"]["er"]["page"]["_type"] == "note-file"
    assert row_of(wandb_init_run)["deep"]["n"] == 1


@pytest.mark.parametrize(
    "key, name",
    [
        ("../../outside", "_/_/outside"),
        ("a/../b", "a/_/b"),
        ("/etc/passwd", "_/etc/passwd"),
        ("a//b", "a/_/b"),
        (".", "_"),
        ("a\x00b\n\x1b[31m", "a_b__[31m"),
        ("back\\slash", "back_slash"),
        ("with space \u00e4", "with space \u00e4"),
    ],
)
def test_no_key_leads_out_of_the_media(wandb_init_run: Any, key: str, name: str) -> None:
    wandb_init_run.log({key: Note("a")})
    path = row_of(wandb_init_run)[key]["path"]
    assert path.startswith(f"media/notes/{name}_0_")
    assert file_of(wandb_init_run, path) == b"a"


def test_a_long_key_makes_a_name_that_file_systems_take(wandb_init_run: Any) -> None:
    key = "\u00e4" * 5000 + "/" + "b" * 5000
    wandb_init_run.log({key: Note("a"), "file": wandb.Html("a")})
    assert file_of(wandb_init_run, row_of(wandb_init_run)[key]["path"]) == b"a"


def test_a_key_that_is_a_file_and_a_directory_costs_that_value_only(
    wandb_init_run: Any, swallowed_errors: List[BaseException]
) -> None:
    wandb_init_run.log({"a": Note("a"), "a/b": Note("b"), "n": 1})
    assert row_of(wandb_init_run)["n"] == 1
    assert swallowed_errors == []


@pytest.mark.swallows
def test_trouble_with_the_disk_costs_the_file_and_not_the_row(
    wandb_init_run: Any, capsys: pytest.CaptureFixture[str], swallowed_errors: List[BaseException]
) -> None:
    (Path(wandb_init_run.dir) / "media").write_text("in the way")
    wandb_init_run.log({"page": Note("a"), "pages": [Note("a")], "loss": 0.5})
    wandb_init_run.log({"loss": 0.25})
    rows = LogView(wandb_init_run.sync_dir).rows()
    assert rows == [{"loss": 0.5, "_step": 0}, {"loss": 0.25, "_step": 1}]
    assert [type(error) for error in swallowed_errors] == [LogWriteError, LogWriteError]


@pytest.mark.wandb_args(init={"settings": {"console": "off", "silent": True, "on_error": "raise"}})
def test_trouble_with_the_disk_raises_where_that_is_asked_for(wandb_init_run: Any) -> None:
    (Path(wandb_init_run.dir) / "media").write_text("in the way")
    with pytest.raises(LogWriteError, match="page"):
        wandb_init_run.log({"page": Note("a"), "loss": 0.5})
    wandb_init_run.log({"loss": 0.25})
    assert LogView(wandb_init_run.sync_dir).rows() == [{"loss": 0.25, "_step": 0}]


def test_nothing_is_recorded_of_a_row_that_is_refused(wandb_init_run: Any) -> None:
    for row in (
        {"page": Note("a"), "bad": object()},
        {"page": [Note("a"), 1]},
        {"page": [Note("a"), {"x": Note("b")}]},
        {"page": Note("a"), 5: 1},
        {"deep": {"page": Note("a"), "bad": object()}},
    ):
        with pytest.raises(ValidationError, match="page|bad|5"):
            wandb_init_run.log(row)
    with pytest.raises(ValidationError):
        wandb_init_run.log({"page": Note("a")}, step="3")
    assert LogView(wandb_init_run.sync_dir).of("history") == []
    assert not (Path(wandb_init_run.dir) / "media").exists()


def test_a_dict_that_holds_itself_is_refused(wandb_init_run: Any) -> None:
    circular: Dict[str, Any] = {}
    circular["again"] = circular
    with pytest.raises(ValidationError, match="nested deeper"):
        wandb_init_run.log({"a": circular})


def test_a_file_that_vanishes_before_it_is_logged_is_the_users_error(
    wandb_init_run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "a.pdb"
    path.write_text("ATOM")
    molecule = wandb.Molecule(str(path))
    path.unlink()
    with pytest.raises(MediaFileError, match="a.pdb"):
        wandb_init_run.log({"molecule": molecule})
    assert LogView(wandb_init_run.sync_dir).of("history") == []


@pytest.mark.parametrize("bundled", [False, pytest.param(True, marks=pytest.mark.wandb_args(init=BUNDLED))])
def test_what_is_hashed_is_what_is_kept_though_the_file_changes_meanwhile(
    wandb_init_run: Any, tmp_path: Path, bundled: bool
) -> None:
    path = tmp_path / "a.obj"
    path.write_bytes(os.urandom(1 << 20) * 8)
    is_over = threading.Event()

    def change() -> None:
        while not is_over.is_set():
            with open(path, "r+b") as file:
                file.seek(int.from_bytes(os.urandom(2), "big") * 100)
                file.write(os.urandom(4096))

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(5):
            wandb_init_run.log({"thing": wandb.Object3D(str(path))})
    finally:
        is_over.set()
        changing.join()
    assert os.path.exists(f"{wandb_init_run.dir}/media") != bundled
    for row in LogView(wandb_init_run.sync_dir).rows():
        content = file_of(wandb_init_run, row["thing"]["path"])
        assert hashlib.sha256(content).hexdigest() == row["thing"]["sha256"]
        assert len(content) == row["thing"]["size"]


@pytest.mark.parametrize("make", [wandb.Molecule, wandb.Object3D, wandb.Audio, wandb.Image])
def test_a_path_that_is_no_file_is_refused_at_once(make: Any, tmp_path: Path) -> None:
    for path in (str(tmp_path / "missing.pdb"), str(tmp_path), "with\0nul.png", ""):
        with pytest.raises(FileNotFoundError):
            make(path)


def test_other_threads_log_while_media_are_encoded(wandb_init_run: Any) -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Slow(Note):
        def _prepare(self) -> None:
            begun.set()
            assert may_end.wait(20)

    slow = threading.Thread(target=wandb_init_run.log, args=({"slow": Slow("a")},))
    slow.start()
    assert begun.wait(20)
    wandb_init_run.log({"quick": 1})
    may_end.set()
    slow.join()
    assert [sorted(row) for row in LogView(wandb_init_run.sync_dir).rows()] == [
        ["_step", "quick"],
        ["_step", "slow"],
    ]


@pytest.mark.parametrize("bundled", [False, True])
def test_what_log_has_returned_for_survives_a_kill(bundled: bool, tmp_path: Path) -> None:
    code = (
        "import os, signal, wandb\n"
        f"run = wandb.init(mode='offline', settings={{'silent': True, 'bundle_files': {bundled}}})\n"
        "for i in range(20): run.log({'page': wandb.Html('<p>%d' % i, inject=False), 'i': i})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60)
    assert done.returncode == -signal.SIGKILL
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")
    view = LogView(directory)
    named = {item.path for record in view.of("files") for item in record.files}
    assert len(view.rows()) == 20
    assert len(list(directory.glob("*.files.tar"))) == bundled
    for row in view.rows():
        content = kept(directory, row["page"]["path"])
        assert content == b"<p>%d" % row["i"]
        assert row["page"]["path"] in named


def test_a_bundle_holds_the_same_under_the_same_names(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0")
    found = []
    for bundled in (False, True):
        with wandb.init(
            mode="offline", id="m", settings={**BUNDLED["settings"], "bundle_files": bundled}
        ) as run:
            run.log(
                {"pages": [Note("a"), Note("b")], "long/" + "k" * 300: Note(""), "big": Note("c" * 3_000_000)}
            )
            run.log({"thing": wandb.Object3D(str(tmp_path / "a.obj"))})
        view = LogView(run.sync_dir)
        names = [item.path for record in view.of("files") for item in record.files if "media/" in item.path]
        found.append((view.rows(), [(name, kept(Path(run.sync_dir), name)) for name in names]))
    assert len(found[0][1]) == 5 and found[0] == found[1]
    assert not any("media" in names for _, names, _ in os.walk(run.sync_dir))


def test_a_signal_while_a_bundle_is_written_costs_no_media(tmp_path: Path) -> None:
    code = (
        "import wandb\n"
        "run = wandb.init(mode='offline', settings={'silent': True, 'bundle_files': True})\n"
        "for i in range(10**9):\n"
        "    run.log({'page': wandb.Html(str(i) * 100_000, inject=False)})\n"
        "    print(flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.terminate()
        process.stdout.read()
        assert process.wait(60) == -signal.SIGTERM
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")
    view = LogView(directory)
    assert view.kinds()[-1] == "exit" and len(view.rows()) >= 20
    for row in view.rows():
        assert hashlib.sha256(kept(directory, row["page"]["path"])).hexdigest() == row["page"]["sha256"]
    (bundle,) = directory.glob("*.files.tar")
    assert subprocess.run(["tar", "-tf", str(bundle)], capture_output=True).returncode == 0


def test_a_forked_child_logs_media_into_its_own_log(tmp_path: Path) -> None:
    code = (
        "import os, wandb\n"
        "run = wandb.init(mode='offline', settings={'silent': True})\n"
        "run.log({'page': wandb.Html('parent', inject=False)})\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    run.log({'page': wandb.Html('child', inject=False)})\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "run.finish()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")
    found = {}
    for log in [*directory.glob("*.wandb"), *directory.glob("*.wandb.side-*")]:
        (row,) = LogView(log).rows()
        named = [item.path for record in LogView(log).of("files") for item in record.files]
        assert row["page"]["path"] in named
        found[log.name] = (directory / "files" / row["page"]["path"]).read_bytes()
    assert sorted(found.values()) == [b"child", b"parent"]


@pytest.mark.wandb_args(init={"mode": "disabled"})
def test_a_disabled_run_writes_nothing(wandb_init_run: Any) -> None:
    wandb_init_run.log({"page": Note("a"), "x": 1})
    assert wandb_init_run.summary["x"] == 1
    assert not os.path.exists("wandb")


def test_the_summary_takes_media_too(wandb_init_run: Any) -> None:
    wandb_init_run.summary["page"] = Note("a")
    path = LogView(wandb_init_run.sync_dir).summary()["page"]["path"]
    assert path.startswith("media/notes/page_summary_")
    assert wandb_init_run.summary["page"]["path"] == path


def test_a_chart_is_a_table_and_a_note_in_the_config(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["x", "y"], data=[[1, 2]])
    wandb_init_run.log({"chart": wandb.plot.line(table, "x", "y", title="t")})
    row = row_of(wandb_init_run)
    assert sorted(row) == ["_step", "chart_table"]
    note = LogView(wandb_init_run.sync_dir).config()["_wandb"]["visualize"]["chart"]
    assert note["panel_config"]["panelDefId"] == "wandb/line/v0"
    assert "_wandb" not in wandb_init_run.config.as_dict()


def test_a_segment_that_goes_on_says_again_how_charts_are_drawn() -> None:
    options: Dict[str, Any] = {
        "mode": "offline",
        "id": "abc",
        "resume": "allow",
        "settings": {"silent": True},
    }
    for _ in range(2):
        with wandb.init(**options) as run:
            if not run.resumed:
                table = wandb.Table(columns=["x", "y"], data=[[1, 2]])
                run.log({"chart": wandb.plot.line(table, "x", "y")})
    assert "chart" in LogView(run.sync_dir).config()["_wandb"]["visualize"]


@pytest.mark.parametrize(
    "code, extra",
    [
        ("wandb.Audio([0.0], sample_rate=8000)", "audio"),
        ("wandb.Molecule.from_smiles('CC')", "molecule"),
        ("wandb.data_types.Bokeh('x.json')", "figures"),
        ("wandb.Table(columns=['a']).get_dataframe()", "tables"),
        ("wandb.plot.roc_curve([0], [[1.0]])", "plot"),
        ("wandb.Image([[0]])", "media"),
        ("wandb.Histogram([1])", "media"),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(code: str, extra: str) -> None:
    blocked = ["soundfile", "rdkit", "bokeh", "pandas", "sklearn", "PIL"]
    blocked += ["numpy"] if "Histogram" in code else []
    done = run_python(
        f"import sys\nfor name in {blocked}: sys.modules[name] = None\nimport wandb\n"
        f"try: {code}\nexcept ImportError as error: print(type(error).__name__, error)"
    )
    assert done.stdout.startswith("MissingLibraryError"), done.stderr
    assert f'pip install "wandb-ng[{extra}]"' in done.stdout


def test_every_extra_that_an_error_names_exists() -> None:
    root = Path(guard.__file__).parents[2]
    setup = (root / "setup.py").read_text()
    named = set()
    for path in (root / "wandb").rglob("*.py"):
        text = path.read_text()
        named |= {part.split('"')[1] for part in text.split("library(")[1:] if part.count('"') > 3}
        for call in text.split("library(")[1:]:
            quoted = call.split('"')
            if len(quoted) > 3 and quoted[0] == "" and quoted[2] == ", ":
                assert f'"{quoted[3]}": [' in setup, call[:80]
    assert "soundfile" in named


def test_a_scalar_run_loads_no_data_types() -> None:
    done = run_python(
        "import sys, wandb\n"
        "with wandb.init(mode='offline', settings={'silent': True}) as run:\n"
        "    run.log({'a': 1, 'b': {'c': [1, 2]}, 'd': 'x'})\n"
        "print([name for name in sys.modules if name.startswith(('wandb.data_types', 'wandb.plot'))])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_json_of_media_is_what_json_reads(wandb_init_run: Any) -> None:
    wandb_init_run.log({"t": wandb.Table(columns=["a"], data=[[float("nan")], [float("inf")]])})
    tree = json.loads(file_of(wandb_init_run, row_of(wandb_init_run)["t"]["path"]))
    assert str(tree["data"]) == "[[nan], [inf]]"


@pytest.mark.swallows
@pytest.mark.wandb_args(
    init={"settings": {"console": "off", "silent": True, "quota_bytes": 4 << 20, "durability": "process"}}
)
def test_media_beyond_the_quota_are_left_out_of_their_rows(wandb_init_run: Any) -> None:
    for step in range(8):
        wandb_init_run.log({"page": Note(str(step) * (1 << 20)), "loss": step})
    rows = LogView(wandb_init_run.sync_dir).rows()
    assert [row["loss"] for row in rows] == list(range(8))
    assert 0 < sum("page" in row for row in rows) < 8
