"""What is kept beside the database: no file that a client was promised is lost, nothing of nobody stays."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List

import pytest

from sqlalchemy import event

from wandb.server.app import Backend, ServerConfig, open_backend
from wandb.server.curves import Curves
from wandb.server.store import NotFound, Post, RunKey


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    (tmp_path / "s").mkdir()
    backend = open_backend(ServerConfig(tmp_path / "s", durable=False))
    yield backend
    backend.engine.dispose()


def made_run(backend: Backend, name: str = "r") -> int:
    run_id: int = backend.store.upsert_run({"modelName": "p", "name": name})[0]["id"]
    return run_id


def put(backend: Backend, run_id: int, content: bytes) -> None:
    with backend.store.receive_file() as incoming:
        incoming.write(content)
        backend.store.put_file(run_id, "f", incoming)


def content(backend: Backend, run_id: int) -> bytes:
    row, file = backend.store.open_file(run_id, "f")
    with file:
        return file.read()


def kept(tmp_path: Path) -> List[bytes]:
    return sorted(path.read_bytes() for path in (tmp_path / "s" / "blobs").glob("??/*"))


def test_a_file_survives_a_replacement_that_was_not_committed(backend: Backend, tmp_path: Path) -> None:
    run_id = made_run(backend)
    put(backend, run_id, b"acknowledged")

    def power_cut(connection: object) -> None:
        raise KeyboardInterrupt

    event.listen(backend.engine, "commit", power_cut)
    with pytest.raises(KeyboardInterrupt):
        put(backend, run_id, b"on its way")
    event.remove(backend.engine, "commit", power_cut)
    assert content(backend, run_id) == b"acknowledged"
    backend.store.remove_unused_blobs()
    assert kept(tmp_path) == [b"acknowledged"]


def test_a_replaced_file_leaves_nothing_unless_another_run_has_the_same(
    backend: Backend, tmp_path: Path
) -> None:
    first, second = made_run(backend), made_run(backend, "s")
    put(backend, first, b"same")
    put(backend, second, b"same")
    put(backend, first, b"new")
    assert kept(tmp_path) == [b"new", b"same"]
    put(backend, second, b"new")
    assert kept(tmp_path) == [b"new"]
    backend.store.remove_unused_blobs()
    assert content(backend, first) == content(backend, second) == b"new"


def test_who_has_a_file_open_reads_it_to_its_end(backend: Backend) -> None:
    run_id = made_run(backend)
    put(backend, run_id, b"old")
    _, file = backend.store.open_file(run_id, "f")
    put(backend, run_id, b"new")
    backend.store.delete_run(run_id)
    with file:
        assert file.read() == b"old"


def test_a_file_whose_bytes_are_gone_is_not_found(backend: Backend, tmp_path: Path) -> None:
    run_id = made_run(backend)
    put(backend, run_id, b"x")
    next((tmp_path / "s" / "blobs").glob("??/*")).unlink()
    with pytest.raises(NotFound, match="gone"):
        backend.store.open_file(run_id, "f")


def test_the_files_of_another_database_are_left_alone(backend: Backend, tmp_path: Path) -> None:
    run_id = made_run(backend)
    put(backend, run_id, b"x")
    backend.store.remove_unused_blobs()
    other = open_backend(ServerConfig(tmp_path / "s", f"sqlite:///{tmp_path / 'other.db'}", durable=False))
    other.store.remove_unused_blobs()
    other.engine.dispose()
    assert content(backend, run_id) == b"x"


def test_the_columns_of_a_run_are_kept_once_and_go_with_it(backend: Backend) -> None:
    run_id, key = made_run(backend), RunKey("local", "p", "r")
    curves = Curves(backend.store)
    for value in (1, 2):  # the second time the row is written anew
        backend.store.apply_post(key, Post({"history": (0, ['{"_step": 0, "a": %d}' % value])}))
        columns = curves.columns(backend.store.run(key), "history")
        assert columns.curve("a", "_step", 10).y == [value] and len(curves._kept) == 1
    backend.store.delete_run(run_id)
    assert not curves._kept
