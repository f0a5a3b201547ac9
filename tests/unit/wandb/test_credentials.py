"""API keys: found where they were put, kept without damage to what others keep, never shown."""

from __future__ import annotations

import netrc
import stat
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wandb import credentials
from wandb.errors import UsageError

KEY = "0123456789abcdef" * 2 + "01234567"
OTHER_KEY = "f" * 40
SERVER = "https://api.wandb.ai"
LOCAL = "http://127.0.0.1:8080"


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return {"NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path / "config")}


def test_environment_beats_settings_file_beats_netrc(tmp_path: Path, environ: Dict[str, str]) -> None:
    assert credentials.find_key(SERVER, environ, str(tmp_path)) is None
    credentials.write_netrc(environ["NETRC"], SERVER, KEY)
    assert credentials.find_key(SERVER, environ, str(tmp_path)) == (KEY, environ["NETRC"])
    config = tmp_path / "config" / "settings"
    config.parent.mkdir()
    config.write_text(f"[default]\napi_key = {OTHER_KEY}\n")
    assert credentials.find_key(SERVER, environ, str(tmp_path)) == (OTHER_KEY, str(config))
    environ["WANDB_API_KEY"] = "e" * 40
    found = credentials.find_key(SERVER, environ, str(tmp_path))
    assert found is not None and found[0] == "e" * 40 and "WANDB_API_KEY" in found[1]


def test_each_server_has_its_own_key(environ: Dict[str, str]) -> None:
    path = environ["NETRC"]
    credentials.write_netrc(path, SERVER, KEY)
    credentials.write_netrc(path, LOCAL, OTHER_KEY)
    assert credentials.read_netrc(path, SERVER + "/") == KEY
    assert credentials.read_netrc(path, LOCAL) == OTHER_KEY
    assert credentials.read_netrc(path, "http://127.0.0.1:8081") is None
    assert netrc.netrc(path).hosts["api.wandb.ai"][::2] == ("user", KEY)


def test_a_new_key_replaces_the_old_one(environ: Dict[str, str]) -> None:
    path = environ["NETRC"]
    credentials.write_netrc(path, SERVER, KEY)
    credentials.write_netrc(path, SERVER, OTHER_KEY)
    text = Path(path).read_text()
    assert KEY not in text and text.count("machine") == 1
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_forgetting_a_key_leaves_the_others(environ: Dict[str, str]) -> None:
    path = environ["NETRC"]
    credentials.write_netrc(path, SERVER, KEY)
    credentials.write_netrc(path, LOCAL, OTHER_KEY)
    assert credentials.remove_netrc(path, SERVER)
    assert not credentials.remove_netrc(path, SERVER)
    assert credentials.read_netrc(path, SERVER) is None
    assert credentials.read_netrc(path, LOCAL) == OTHER_KEY


def test_the_default_entry_is_never_a_key_and_stays_last(environ: Dict[str, str]) -> None:
    path = Path(environ["NETRC"])
    path.write_text(f"machine a login b password c\ndefault login anonymous password {OTHER_KEY}\n")
    assert credentials.read_netrc(str(path), SERVER) is None
    credentials.write_netrc(str(path), SERVER, KEY)
    assert path.read_text().index("api.wandb.ai") < path.read_text().index("default")
    assert credentials.read_netrc(str(path), SERVER) == KEY


def test_comments_quotes_and_one_line_entries_survive(environ: Dict[str, str]) -> None:
    path = Path(environ["NETRC"])
    text = (
        "# work\nmachine a login machine password default machine b login x password y\n"
        f'machine api.wandb.ai login user password {OTHER_KEY}\nmachine c\n\tlogin "qr"\n\tpassword s\n'
    )
    path.write_text(text)
    credentials.write_netrc(str(path), SERVER, KEY)
    after = path.read_text()
    assert after.startswith("# work\nmachine a login machine password default machine b login x password y\n")
    assert after.endswith('\nmachine c\n\tlogin "qr"\n\tpassword s\n')
    assert OTHER_KEY not in after and KEY in after


def test_a_file_that_cannot_be_parsed_is_not_touched_and_not_quoted(environ: Dict[str, str]) -> None:
    path = Path(environ["NETRC"])
    path.write_text(f"machine a login b passwort {OTHER_KEY}\n")
    with pytest.raises(UsageError) as caught:
        credentials.write_netrc(str(path), SERVER, KEY)
    assert OTHER_KEY not in str(caught.value) and KEY not in str(caught.value)
    assert path.read_text() == f"machine a login b passwort {OTHER_KEY}\n"
    with pytest.raises(UsageError, match="line 1"):
        credentials.read_netrc(str(path), SERVER)


WORDS = st.sampled_from(["machine", "default", "login", "a.example", "h:1", "p#w", "é", "0", "x_y", "macdef"])
ENTRIES = st.lists(
    st.tuples(st.sampled_from(["a", "b.example", "127.0.0.1:8080", "api.wandb.ai"]), WORDS, WORDS), max_size=4
)


@given(ENTRIES, st.sampled_from(["\n", " ", "\n\t", "\n  "]), st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_other_entry_reads_as_before(
    tmp_path: Path, entries: List[Tuple[str, str, str]], gap: str, remark: bool
) -> None:
    path = tmp_path / "netrc"
    text = "\n".join(f"machine {m}{gap}login {u}{gap}password {p}" for m, u, p in entries)
    path.write_text(text + ("\n# the end" if remark else ""), encoding="utf-8")
    try:
        before = dict(netrc.netrc(str(path)).hosts)
    except netrc.NetrcParseError:
        return
    credentials.write_netrc(str(path), SERVER, KEY)
    after = dict(netrc.netrc(str(path)).hosts)
    assert after.pop("api.wandb.ai")[2] == KEY
    before.pop("api.wandb.ai", None)
    assert after == before
    assert credentials.remove_netrc(str(path), SERVER)
    assert dict(netrc.netrc(str(path)).hosts) == before


@pytest.mark.parametrize("key", [KEY, "local-" + KEY, "A_-9" * 11, "a.b.c", "wandb_v1_" + KEY])
def test_a_key_of_the_right_form_passes(key: str) -> None:
    assert credentials.key_problem(key) is None


@pytest.mark.parametrize(
    "key", ["", "x" * 39, "local-" + "x" * 39, "x" * 39 + "!", "é" * 40, KEY + "\n", " " + KEY]
)
def test_a_key_of_a_wrong_form_is_refused_without_being_shown(key: str, environ: Dict[str, str]) -> None:
    problem = credentials.key_problem(key)
    assert problem and (not key.strip() or key.strip() not in problem)
    with pytest.raises(UsageError):
        credentials.write_netrc(environ["NETRC"], SERVER, key)
    assert not Path(environ["NETRC"]).exists()


def test_the_host_is_what_stands_between_the_scheme_and_the_path() -> None:
    assert credentials.host_of("https://user@wandb.example:8443/prefix?x") == "wandb.example:8443"
    with pytest.raises(UsageError):
        credentials.host_of("https://")
