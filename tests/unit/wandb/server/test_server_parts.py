"""The server's small parts: names, access, database, curves."""

from __future__ import annotations

import json
import math
import random
import stat
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from sqlalchemy import inspect, update

from wandb.errors import Error, UsageError
from wandb.server.access import Access, is_own_host, key_of_basic_auth
from wandb.server.app import ServerConfig, open_backend
from wandb.server.curves import Columns
from wandb.server.database import meta, open_database, sqlite_url, tables
from wandb.server.names import checked_file_path, checked_name, run_id_of, storage_id
from wandb.server.serve import hold_folder, running_server


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "..\\x",
        "\\\\host\\x",
        "C:\\x",
        "C:x",
        "a//b",
        "a/",
        "./a",
        "a\x00b",
    ]
    + ["a\nb", "\x1b[31m", "a" * 5000, "\ud800"],
)
def test_a_hostile_file_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        checked_file_path(path)


@pytest.mark.parametrize(
    "path", ["a", "media/images/a b_0_ff.png", "..a/b..", "ä/日本", "a\\b", "con", "%2e%2e/x"]
)
def test_a_plain_relative_path_is_taken_as_it_is(path: str) -> None:
    assert checked_file_path(path) == path


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "..", "a\nb", "x" * 129])
def test_a_name_that_would_break_an_address_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        checked_name("run id", name)


def test_an_entity_cannot_take_one_of_our_own_addresses() -> None:
    with pytest.raises(UsageError, match="graphql"):
        checked_name("entity", "graphql")


def test_a_storage_id_leads_back_to_its_row_and_nothing_else_does() -> None:
    assert run_id_of(storage_id("Run", 17)) == 17
    for text in ("", "17", "!!", storage_id("Project", 17), "UnVuOnYxOg=="):
        assert run_id_of(text) == -1


@pytest.mark.parametrize(
    "host, own",
    [
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("192.168.1.7", True),
        ("localhost:1", True),
        ("gpu-box:8080", True),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_only_our_own_names_and_plain_addresses_are_hosts(host: str, own: bool) -> None:
    assert is_own_host(host, {"gpu-box"}) is own


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Bearer abc", "Basic w7w="])
def test_a_malformed_authorization_gives_no_key(header: str) -> None:
    assert not key_of_basic_auth(header)


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    with hold_folder(tmp_path / "s"):
        backend = open_backend(ServerConfig(tmp_path / "s", durable=False))
        yield backend.access
        backend.engine.dispose()


def test_keys_and_sessions_are_stored_as_hashes_and_links_work_once(tmp_path: Path, access: Access) -> None:
    key, session, link = access.new_api_key(), access.new_session(), access.new_login_link()
    assert access.is_api_key(key) and not access.is_session(key) and not access.is_api_key(session)
    assert access.is_session(session)
    assert access.use_login_link(link) and not access.use_login_link(link)
    access.end_session(session)
    assert not access.is_session(session)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "s").iterdir() if path.is_file())
    assert key.encode() not in stored and len(key) == 40


def test_an_upload_address_is_good_for_its_own_file_only(access: Access) -> None:
    _, _, run_id, expires, signature, path = access.upload_path(3, "a.txt").split("/")
    assert access.may_upload(3, int(expires), signature, path)
    assert not access.may_upload(4, int(expires), signature, path)
    assert not access.may_upload(3, int(expires) + 1, signature, path)
    assert not access.may_upload(3, int(expires), signature, "b.txt")
    assert not access.may_upload(3, int(expires), "ä", path)


def test_the_folder_is_for_its_owner_only_and_for_one_server(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir(mode=0o755)
    assert running_server(folder) is None
    with hold_folder(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        backend = open_backend(ServerConfig(folder))
        with backend.store.receive_file() as incoming:
            incoming.write(b"secret")
            made = [path for path in folder.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
        backend.engine.dispose()
        assert (folder / "server.db").exists() and made == []
        with pytest.raises(UsageError, match="Another server"), hold_folder(folder):
            pass
    with hold_folder(folder):
        pass


def test_a_folder_of_everybody_is_not_made_ours(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(UsageError, match="shared"), hold_folder(tmp_path):
        pass
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "x.db")
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(update(meta).where(meta.c.key == "schema_version").values(value="99"))
    engine.dispose()
    with pytest.raises(Error, match="version 99"):
        open_database(url)


def test_a_database_from_before_artifacts_gets_their_tables(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "x.db")
    engine = open_database(url)
    new = [table for table in tables.sorted_tables if table.name.startswith("artifact")]
    tables.drop_all(engine, tables=new)
    with engine.begin() as connection:
        connection.execute(update(meta).where(meta.c.key == "schema_version").values(value="1"))
    engine.dispose()
    engine = open_database(url)
    assert {table.name for table in new} <= set(inspect(engine).get_table_names())
    engine.dispose()


@pytest.mark.parametrize("url", ["nonsense", "nosuchdb://x", "sqlite:////nonexistent/folder/x.db"])
def test_a_database_that_cannot_be_opened_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        open_database(url)


def test_downsampling_keeps_ends_and_spikes() -> None:
    columns = Columns()
    values = [random.random() for _ in range(50_000)]
    values[31_234], values[7] = 99.0, -99.0
    columns.add(0, [json.dumps({"_step": i, "v": v}) for i, v in enumerate(values)])
    curve = columns.curve("v", "_step", 500)
    assert len(curve.x) <= 500 and curve.n_values == 50_000
    assert (curve.x[0], curve.x[-1]) == (0, 49_999)
    points = dict(zip(curve.x, curve.y))
    assert points[31_234] == 99.0 and points[7] == -99.0
    assert curve.x == sorted(curve.x)
    near = columns.curve("v", "_step", 500, 31_200, 31_300)
    assert near.x == [float(i) for i in range(31_199, 31_302)]


def test_numbers_that_are_not_finite_are_gaps_and_what_is_no_number_is_left_out() -> None:
    columns = Columns()
    rows = [
        {"_step": 0, "a": 1},
        {"_step": 1, "a": math.nan},
        {"_step": 2, "a": True},
        {"_step": 3, "a": "x"},
    ]
    rows += [{"_step": 4, "a": 10**400}, {"_step": 5, "a": 2.5}, {"_step": 6}, {"_step": 7, "n": {"b": 4}}]
    rows += [{"_step": 8, "n": {"_type": "image-file", "size": 3}}]
    columns.add(0, [json.dumps(row) for row in rows])
    columns.add(len(rows), ["not json", "[1]", '{"_step": 11, "a": 3}'])
    curve = columns.curve("a", "_step", 100)
    assert (curve.x, curve.y, curve.n_gaps) == ([0, 1, 4, 5, 11], [1, None, None, 2.5, 3], 2)
    assert curve.last == 3
    assert columns.curve("n.b", "_step", 100).x == [7]
    assert set(columns.columns) == {"_step", "a", "n.b"}
    assert columns.curve("a", "nothing", 100).x == []


@pytest.mark.parametrize("end, said", [(math.nan, "NaN"), (-math.inf, "-Infinity"), (10**400, "Infinity")])
def test_a_curve_that_ends_in_what_is_no_number_says_so(end: float, said: str) -> None:
    columns = Columns()
    columns.add(0, [json.dumps({"_step": 0, "a": 1.5}), json.dumps({"_step": 1, "a": end})])
    curve = columns.curve("a", "_step", 100)
    assert (curve.y, curve.last) == ([1.5, None], said)
    json.dumps(curve._asdict(), allow_nan=False)


def test_downsampling_keeps_gaps() -> None:
    columns = Columns()
    values = [random.random() for _ in range(50_000)]
    values[20_000:30_000] = [math.nan] * 10_000
    values[41_234], values[777] = 99.0, math.inf
    columns.add(0, [json.dumps({"_step": i, "v": v}) for i, v in enumerate(values)])
    curve = columns.curve("v", "_step", 500)
    assert len(curve.x) <= 500 and curve.n_gaps == 10_001
    points = dict(zip(curve.x, curve.y))
    assert points[41_234] == 99.0 and points[777] is None
    inside = [y for x, y in points.items() if 20_000 <= x < 30_000]
    assert inside and set(inside) == {None}


def test_a_gap_in_x_has_no_place() -> None:
    columns = Columns()
    columns.add(0, [json.dumps({"t": t, "a": a}) for t, a in ((0, 1), (math.nan, 2), (2, 3))])
    assert columns.curve("a", "t", 100).x == columns.curve("t", "t", 100).x == [0, 2]


def test_a_row_of_any_depth_is_harmless() -> None:
    columns = Columns()
    row: Dict[str, Any] = {"b": 1}
    for _ in range(900):
        row = {"a": row}
    # Python's JSON reads that or gives up; neither may end in an error.
    text = '{"_step": 0, "a": ' + '{"a": ' * 3000 + "1" + "}" * 3001
    columns.add(0, [text, '{"_step": 1, "a": {"a": 2}}'])
    columns._add_rows([2], [row], "", 0)
    assert columns.curve("a.a", "_step", 10).y == [2]
