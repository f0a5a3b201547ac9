"""Transports: what the port promises, held by each of them."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from simulated_server import API_KEY, Answer, Cut, SimulatedServer

from wandb.errors import (
    AuthenticationError,
    CommError,
    Interrupted,
    RejectedError,
    TransientError,
    UsageError,
)
from wandb_sync import protocol
from wandb_sync.transport.base import FileBody, Request, Response, Transport, checked, retry_after_s
from wandb_sync.transport.dry_run import DryRun
from wandb_sync.transport.http import BUNDLE_VARIABLES, HttpTransport
from wandb_sync.transport.retry import CONFLICT_TRIES, Retry
from wandb_sync.transport.shared import Shared, place_for
from wandb_sync.transport.stoppable import Stoppable
from wandb_sync.transport.throttle import N_SHARED, Pace, Throttle
from wandb_sync.units import Timetable


@pytest.fixture(params=["simulated", "http", "stacked"])
def both(request: pytest.FixtureRequest) -> Iterator[Tuple[SimulatedServer, Transport]]:
    """The server, and a transport that leads to it."""
    server = SimulatedServer()
    if request.param == "simulated":
        yield server, server
        return
    with server.listen() as base_url:
        http = HttpTransport(base_url, API_KEY)
        yield server, http if request.param == "http" else Retry(Throttle(http), deadline_s=0.0)
        http.close()


def test_an_answer_comes_back(both: Tuple[SimulatedServer, Transport]) -> None:
    _, transport = both
    response = transport.send(protocol.viewer())
    assert response.status == 200 and response.json()["data"]["viewer"]["entity"] == "someone"


@pytest.mark.parametrize(
    "status, error, is_transient",
    [
        (400, RejectedError, False),
        (403, RejectedError, False),
        (404, RejectedError, False),
        (409, RejectedError, False),
        (413, RejectedError, False),
        (501, RejectedError, False),
        (401, AuthenticationError, False),
        (408, TransientError, True),
        (429, TransientError, True),
        (500, TransientError, True),
        (502, TransientError, True),
        (503, TransientError, True),
    ],
)
def test_each_status_has_its_error(
    both: Tuple[SimulatedServer, Transport], status: int, error: type, is_transient: bool
) -> None:
    server, transport = both
    server.fail = lambda operation, n: Answer(status)
    with pytest.raises(error) as caught:
        transport.send(protocol.file_stream("e", "p", "r", b"{}"))
    assert caught.value.status == status
    assert isinstance(caught.value, TransientError) is is_transient
    assert "as the test wished" in str(caught.value)


def test_a_conflict_may_pass_for_a_run_that_is_being_made(both: Tuple[SimulatedServer, Transport]) -> None:
    server, transport = both
    server.fail = lambda operation, n: Answer(409)
    with pytest.raises(TransientError):
        transport.send(protocol.upsert_bucket(name="r"))


@pytest.mark.parametrize("cut", list(Cut))
def test_a_broken_connection_is_transient(both: Tuple[SimulatedServer, Transport], cut: Cut) -> None:
    server, transport = both
    server.fail = lambda operation, n: cut
    with pytest.raises(TransientError):
        transport.send(protocol.upsert_bucket(name="r"))
    assert len(server.runs) == (1 if cut is Cut.AFTER else 0)


def test_files_are_read_when_they_are_sent(both: Tuple[SimulatedServer, Transport], tmp_path: Path) -> None:
    server, transport = both
    transport.send(protocol.upsert_bucket(name="r", project="p"))
    response = transport.send(protocol.create_run_files("someone", "p", "r", ["a", "empty"]))
    places = protocol.read_uploads(response, ["a", "empty"])
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "empty").write_bytes(b"")
    for place, n_bytes in zip(places, (100_000, 0)):
        transport.send(protocol.upload(place, FileBody(str(tmp_path / place.path), n_bytes)))
    assert {path: len(data) for path, data in server.run("r").files.items()} == {"a": 100_000, "empty": 0}


def test_a_graphql_error_is_final() -> None:
    response = Response(200, json.dumps({"errors": [{"message": "no such project"}]}).encode())
    with pytest.raises(RejectedError, match="no such project"):
        protocol.read_bucket(response)


def test_an_answer_that_is_no_json_may_pass() -> None:
    with pytest.raises(TransientError):
        protocol.read_bucket(Response(200, b"<html>a proxy says hello</html>"))


@pytest.mark.parametrize("page", [b"<html>Log in to the hotel's network</html>", b"", b"[]", b'"ok"'])
@pytest.mark.parametrize(
    "asked",
    [protocol.file_stream("e", "p", "r", b"{}"), protocol.viewer(), protocol.upsert_bucket(name="r")],
    ids=lambda asked: str(asked.operation),
)
def test_a_200_that_is_no_json_object_acknowledges_nothing(
    both: Tuple[SimulatedServer, Transport], asked: Request, page: bytes
) -> None:
    server, transport = both
    server.fail = lambda operation, n: Answer(200, body=page)
    with pytest.raises(TransientError):
        transport.send(asked)


def test_a_page_in_place_of_one_answer_is_tried_again() -> None:
    server = SimulatedServer()
    transport = Retry(server, sleep=lambda seconds: None)
    transport.send(protocol.upsert_bucket(name="r", project="p"))
    server.fail = lambda operation, n: Answer(200, body=b"<html>") if n in (1, 3) else None
    for asked in (protocol.viewer(), protocol.file_stream("someone", "p", "r", b"{}")):
        assert transport.send(asked).json() is not None
    assert server.requests[1:] == ["Viewer", "Viewer", "file_stream", "file_stream"]


def test_features_that_a_server_does_not_know_are_off() -> None:
    assert protocol.read_features(Response(200, b'{"errors": [{"message": "no such field"}]}')) == {}
    assert protocol.read_features(Response(200, b'{"data": {"serverInfo": null}}')) == {}


def test_upload_urls_are_matched_by_name_and_none_may_be_missing() -> None:
    files = [{"name": "b", "uploadUrl": "/b"}, {"name": "a", "uploadUrl": "/a"}]
    data = {"createRunFiles": {"uploadHeaders": ["X-A: 1:2"], "files": files}}
    response = Response(200, json.dumps({"data": data}).encode())
    assert [(u.path, u.url, u.headers) for u in protocol.read_uploads(response, ["a", "b"])] == [
        ("a", "/a", {"X-A": "1:2"}),
        ("b", "/b", {"X-A": "1:2"}),
    ]
    with pytest.raises(RejectedError):
        protocol.read_uploads(response, ["a", "c"])


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("5", 5.0),
        ("0.5", 0.5),
        ("", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("-3", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: Optional[float]) -> None:
    assert retry_after_s({"retry-after": text}, now_s=60.0) == seconds


# ---- HTTP


class _Recorder:
    """An HTTP server that answers 200 and remembers what it was asked."""

    def __init__(self, status: int = 200, headers: Dict[str, str] = {}) -> None:
        recorder = self
        self.requests: List[Tuple[str, Dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                lower = {name.lower(): value for name, value in self.headers.items()}
                recorder.requests.append((self.path, lower))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                with contextlib.suppress(OSError):  # the client may have hung up
                    self.wfile.write(b"{}")

            do_GET = do_POST = do_PUT = do_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.door = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.door.server_address[1]}"
        threading.Thread(target=self.door.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "_Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self.door.shutdown()
        self.door.server_close()


def test_the_key_goes_to_the_server_and_nowhere_else(local_netrc: Path) -> None:
    with _Recorder() as server, _Recorder() as storage:
        host = storage.url.split("//")[1].split(":")[0]
        local_netrc.write_text(f"machine {host} login user password {API_KEY}\n")
        transport = HttpTransport(server.url + "/prefix", API_KEY)
        transport.send(Request("x", "POST", "/graphql", b"{}"))
        transport.send(Request("upload", "PUT", storage.url + "/bucket/a?signature=secret", b"data"))
        transport.send(Request("upload", "PUT", server.url + "/prefix/upload/a", b"data"))
        transport.send(Request("upload", "PUT", "/upload/b", b"data"))
        transport.close()
    (path, headers), (_, own_upload), (relative, relative_upload) = server.requests
    assert path == "/prefix/graphql" and headers["authorization"].startswith("Basic ")
    assert "authorization" not in own_upload and "authorization" not in relative_upload
    assert relative == "/upload/b"
    assert "authorization" not in storage.requests[0][1]


def test_a_redirect_is_not_followed() -> None:
    with _Recorder() as other, _Recorder(302, {"Location": "http://127.0.0.1:1/"}) as server:
        with pytest.raises(RejectedError, match="redirects"):
            HttpTransport(server.url, API_KEY).send(Request("x", "POST", "/graphql", b"{}"))
    assert other.requests == []


def test_neither_key_nor_signature_shows_in_reprs_and_errors() -> None:
    transport = HttpTransport("http://127.0.0.1:1", API_KEY)
    texts = [repr(transport)]
    for url in ("/graphql", "http://127.0.0.1:1/bucket/a?signature=secret"):
        with pytest.raises(TransientError) as caught:
            transport.send(Request("x", "PUT", url, b""))
        texts += [str(caught.value), repr(caught.value), repr(caught.value.__context__)]
    assert not [text for text in texts if API_KEY in text or "secret" in text or "YXBpO" in text]


def test_connections_are_used_again() -> None:
    with SimulatedServer().listen() as base_url:
        transport = HttpTransport(base_url, API_KEY)
        for _ in range(5):
            transport.send(protocol.viewer())
        pools = transport._adapter.poolmanager.pools
        (pool,) = [pools[key] for key in pools.keys()]
        assert (pool.num_connections, pool.num_requests) == (1, 5)
        transport.close()


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with _Recorder() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        HttpTransport("http://wandb.invalid", API_KEY).send(Request("x", "POST", "/graphql", b"{}"))
    assert proxy.requests[0][0] == "http://wandb.invalid/graphql"


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://x", "http://", "http://host:port", "http://host:70000", "http://[::1"]
)
def test_what_is_no_server_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="no server's URL"):
        HttpTransport(url)


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@host", "hunter2@host", "http://user:hunter2@host:port", "ftp://hunter2@h"]
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="password") as caught:
        HttpTransport(url)
    assert "hunter2" not in str(caught.value)


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of 127.0.0.1 that it signs itself."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path) + ".cert"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no openssl to make a certificate with")
    path.write_text(path.read_text() + Path(str(path) + ".cert").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with _Recorder() as recorder:
        recorder.door.socket = context.wrap_socket(recorder.door.socket, server_side=True)
        yield recorder.url.replace("http:", "https:")


@pytest.mark.parametrize("variable", BUNDLE_VARIABLES)
def test_the_environment_says_whom_to_trust(
    tls_server: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in BUNDLE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RejectedError, match="certificate is not trusted"):
        HttpTransport(tls_server).send(REQUEST)
    monkeypatch.setenv(variable, str(certificate))
    assert HttpTransport(tls_server).send(REQUEST).status == 200


def test_a_ca_file_that_is_not_there_or_none_is_told_at_once(
    tls_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(RejectedError, match="ca.pem does not exist"):
        HttpTransport(tls_server).send(REQUEST)
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(RejectedError, match="not trusted"):
        HttpTransport(tls_server).send(REQUEST)


def test_a_handshake_that_breaks_off_may_pass() -> None:
    door = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        connection, _ = door.accept()
        connection.recv(1 << 16)
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(TransientError):
        HttpTransport(f"https://127.0.0.1:{door.getsockname()[1]}").send(REQUEST)
    thread.join()
    door.close()


def test_an_answer_that_is_no_tls_may_pass() -> None:
    with _Recorder() as plain, pytest.raises(TransientError):
        HttpTransport(plain.url.replace("http:", "https:")).send(REQUEST)


# ---- retry


class _Flaky:
    """Fails as told, then answers."""

    def __init__(self, *errors: CommError) -> None:
        self.errors = list(errors)
        self.n_sent = 0

    def send(self, request: Request) -> Response:
        self.n_sent += 1
        if self.errors:
            raise self.errors.pop(0)
        return Response(200)

    def close(self) -> None:
        pass


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: List[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s


REQUEST = Request("x", "POST", "/x")


def retry(flaky: _Flaky, clock: _Clock, **options: Any) -> Retry:
    return Retry(
        flaky, sleep=clock.sleep, monotonic=clock.monotonic, uniform=lambda low, high: high, **options
    )


def test_what_may_pass_is_tried_again_with_longer_and_longer_waits() -> None:
    flaky, clock = _Flaky(*[TransientError("no") for _ in range(8)]), _Clock()
    assert retry(flaky, clock).send(REQUEST).status == 200
    assert clock.waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_what_will_not_pass_is_not_tried_again() -> None:
    flaky, clock = _Flaky(RejectedError("no", status=404)), _Clock()
    with pytest.raises(RejectedError):
        retry(flaky, clock).send(REQUEST)
    assert flaky.n_sent == 1 and clock.waits == []


def test_the_server_may_say_how_long_to_wait() -> None:
    flaky, clock = _Flaky(TransientError("busy", retry_after_s=17.0)), _Clock()
    retry(flaky, clock).send(REQUEST)
    assert clock.waits == [17]


def test_a_server_that_says_at_once_is_not_taken_at_its_word() -> None:
    flaky, clock = _Flaky(*[TransientError("busy", retry_after_s=0.0) for _ in range(4)]), _Clock()
    retry(flaky, clock).send(REQUEST)
    assert clock.waits == [2, 4, 8, 16]


def test_a_conflict_that_lasts_is_final_after_a_few_tries() -> None:
    server, clock = SimulatedServer(), _Clock()
    server.fail = lambda operation, n: Answer(409)
    with pytest.raises(RejectedError, match="deleted.*--id") as caught:
        Retry(server, sleep=clock.sleep, monotonic=clock.monotonic).send(protocol.upsert_bucket(name="r"))
    assert caught.value.status == 409 and len(server.requests) == CONFLICT_TRIES


def test_a_conflict_that_passes_does_no_harm() -> None:
    server, clock = SimulatedServer(), _Clock()
    server.fail = lambda operation, n: Answer(409) if n < CONFLICT_TRIES - 1 else None
    Retry(server, sleep=clock.sleep, monotonic=clock.monotonic).send(protocol.upsert_bucket(name="r"))
    assert len(server.runs) == 1


def test_after_the_deadline_the_last_error_goes_up() -> None:
    flaky, clock = _Flaky(*[TransientError(str(n)) for n in range(100)]), _Clock()
    with pytest.raises(TransientError):
        retry(flaky, clock, deadline_s=100).send(REQUEST)
    assert sum(clock.waits) <= 100


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    flaky, clock = _Flaky(TransientError("busy", retry_after_s=3600.0)), _Clock()
    with pytest.raises(TransientError):
        retry(flaky, clock, deadline_s=600).send(REQUEST)
    assert clock.waits == []


def test_whoever_waits_long_says_for_what() -> None:
    told: List[Tuple[str, float]] = []
    flaky, clock = _Flaky(*[TransientError("no answer") for _ in range(3)]), _Clock()
    retry(flaky, clock, tell=lambda request, error, wait_s: told.append((error.message, wait_s))).send(
        REQUEST
    )
    assert told == [("no answer", 4.0), ("no answer", 8.0)]


def test_a_stop_ends_the_waiting() -> None:
    stop = threading.Event()
    stop.set()
    flaky = _Flaky(TransientError("no"))
    with pytest.raises(TransientError):
        Retry(flaky, stop=stop).send(REQUEST)
    assert flaky.n_sent == 1


def test_waits_differ_from_one_client_to_the_next() -> None:
    def waits() -> List[float]:
        clock = _Clock()
        flaky = _Flaky(*[TransientError("no") for _ in range(5)])
        Retry(flaky, sleep=clock.sleep, monotonic=clock.monotonic).send(REQUEST)
        return clock.waits

    assert waits() != waits()


# ---- stop


def test_after_a_stop_nothing_is_sent(tmp_path: Path) -> None:
    flaky, stop = _Flaky(), threading.Event()
    Stoppable(flaky, stop).send(REQUEST)
    stop.set()
    with pytest.raises(Interrupted):
        Stoppable(flaky, stop).send(REQUEST)
    assert flaky.n_sent == 1


def test_a_failure_after_a_stop_is_the_stop() -> None:
    stop = threading.Event()

    class Stopped(_Flaky):
        def send(self, request: Request) -> Response:
            stop.set()
            raise TransientError("no answer")

    with pytest.raises(Interrupted, match="no answer"):
        Stoppable(Retry(Stopped(), stop=stop), stop).send(REQUEST)


def test_a_stop_breaks_off_the_upload_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    stop = threading.Event()
    with _Recorder() as server:
        transport = HttpTransport(server.url, stop=stop)
        request = Request("upload", "PUT", "/x", FileBody(str(tmp_path / "large"), 1_000_000))
        assert transport.send(request).status == 200
        stop.set()
        with pytest.raises(TransientError, match="broken off"):
            transport.send(request)
        transport.close()


# ---- throttle


def test_requests_are_held_to_their_rate() -> None:
    clock = _Clock()
    throttle = Throttle(_Flaky(), requests_per_s=2.0, burst=3, sleep=clock.sleep, monotonic=clock.monotonic)
    for _ in range(7):
        throttle.send(REQUEST)
    assert sum(clock.waits) == pytest.approx(2.0)


def test_all_requests_wait_when_the_server_refuses_one() -> None:
    clock = _Clock()
    flaky = _Flaky(TransientError("slow down", retry_after_s=7.0, status=429))
    throttle = Throttle(flaky, sleep=clock.sleep, monotonic=clock.monotonic)
    with pytest.raises(TransientError):
        throttle.send(REQUEST)
    throttle.send(REQUEST)
    assert clock.waits == [7]


def test_a_long_wait_for_the_budget_is_told() -> None:
    clock, told = _Clock(), []
    flaky = _Flaky(
        *[TransientError("slow down", retry_after_s=after_s, status=429) for after_s in (4.0, 7.0)]
    )
    throttle = Throttle(
        flaky,
        sleep=clock.sleep,
        monotonic=clock.monotonic,
        tell=lambda request, error, wait_s: told.append((error.message, wait_s)),
    )
    for _ in range(2):
        with pytest.raises(TransientError):
            throttle.send(REQUEST)
    throttle.send(REQUEST)
    assert told == [("x: is held back by the limit of requests", 7.0)]


def test_an_empty_budget_of_the_server_is_respected() -> None:
    clock = _Clock()

    class Limited(_Flaky):
        def send(self, request: Request) -> Response:
            return Response(200, headers={"ratelimit-remaining": "0", "ratelimit-reset": "3"})

    throttle = Throttle(Limited(), sleep=clock.sleep, monotonic=clock.monotonic)
    throttle.send(REQUEST)
    throttle.send(REQUEST)
    assert clock.waits == [3]


# ---- dry run


def test_a_dry_run_answers_as_a_server_that_takes_everything() -> None:
    dry = DryRun()
    bucket = protocol.read_bucket(dry.send(protocol.upsert_bucket(name="r", project="p", entity="e")))
    assert (bucket.entity, bucket.project, bucket.name) == ("e", "p", "r")
    response = dry.send(protocol.create_run_files("e", "p", "r", ["a"]))
    assert [upload.path for upload in protocol.read_uploads(response, ["a"])] == ["a"]
    assert dry.send(protocol.file_stream("e", "p", "r", b"12345")).status == 200
    assert dry.n_requests == 3 and dry.n_bytes > 5


def test_a_good_answer_passes_and_nothing_else_does() -> None:
    assert checked(REQUEST, Response(204), 0.0).status == 204
    with pytest.raises(RejectedError):
        checked(REQUEST, Response(304), 0.0)


# ---- budgets that processes share


@pytest.fixture
def budget(tmp_path: Path) -> Path:
    return tmp_path / "a.budget"


def test_two_throttles_of_one_budget_send_no_more_than_one(budget: Path) -> None:
    clock = _Clock()
    both = [
        Throttle(
            _Flaky(),
            requests_per_s=2.0,
            burst=1,
            shared=Shared(budget, N_SHARED),
            sleep=clock.sleep,
            monotonic=clock.monotonic,
        )
        for _ in range(2)
    ]
    for n in range(9):
        both[n % 2].send(REQUEST)
    assert sum(clock.waits) == pytest.approx(4.0)


def test_what_the_server_says_to_one_process_holds_for_all(budget: Path) -> None:
    clock = _Clock()
    flaky = _Flaky(TransientError("slow down", retry_after_s=7.0, status=429))
    first, second = (
        Throttle(one, shared=Shared(budget, N_SHARED), sleep=clock.sleep, monotonic=clock.monotonic)
        for one in (flaky, _Flaky())
    )
    with pytest.raises(TransientError):
        first.send(REQUEST)
    second.send(REQUEST)
    assert clock.waits == [7]


def test_a_budget_of_a_time_before_the_last_start_of_the_host_holds_nobody(budget: Path) -> None:
    clock = _Clock()
    shared = Shared(budget, N_SHARED)
    with shared.held() as numbers:
        numbers[:] = [1e9] * N_SHARED
    throttle = Throttle(
        _Flaky(), requests_per_s=1.0, shared=shared, sleep=clock.sleep, monotonic=clock.monotonic
    )
    throttle.send(REQUEST)
    assert sum(clock.waits) == 0


def test_a_budget_that_nobody_can_lock_or_read_harms_nothing(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "such" / "place", None):
        with Shared(path, 1).held() as numbers:
            assert numbers == [0.0]
    (tmp_path / "short").write_bytes(b"abc")
    with Shared(tmp_path / "short", 2).held() as numbers:
        numbers[0] += 5
    with Shared(tmp_path / "short", 2).held() as numbers:
        assert numbers == [5.0, 0.0]


def test_the_place_of_a_budget_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    place = place_for("http://a")
    assert place is not None and place != place_for("http://b") and place == place_for("http://a")
    assert place.parent.stat().st_mode & 0o077 == 0
    place.parent.chmod(0o777)
    assert place_for("http://a") is None


def test_bytes_are_held_to_their_rate_by_all_processes_together(budget: Path) -> None:
    clock = _Clock()
    both = [
        Pace(
            lambda at: 1000.0,
            shared=Shared(budget, N_SHARED),
            sleep=clock.sleep,
            monotonic=clock.monotonic,
        )
        for _ in range(2)
    ]
    left, n = 10_000, 0
    while left:
        left -= both[n % 2].piece(left)
        n += 1
    assert sum(clock.waits) == pytest.approx(10, abs=0.6) and n > 10


def test_a_rate_changes_with_the_time_of_the_day() -> None:
    clock = _Clock()
    hours = iter((8, 8, 23, 23))
    pace = Pace(
        Timetable("08:00,1k 22:00,off").bytes_per_s,
        sleep=clock.sleep,
        monotonic=clock.monotonic,
        local_time=lambda: datetime.datetime(2026, 1, 5, next(hours)),
    )
    assert [pace.piece(100_000) for _ in range(4)] == [512, 512, 100_000, 100_000]


def test_a_body_is_whole_however_slowly_it_goes() -> None:
    server = SimulatedServer()
    pieces: List[int] = []

    def pace(wanted: int) -> int:
        pieces.append(min(wanted, 7))
        return pieces[-1]

    with server.listen() as base_url:
        http = HttpTransport(base_url, API_KEY, pace=pace)
        http.send(protocol.server_features())
        http.close()
    assert sum(pieces) == server.n_bytes_received and len(pieces) > 3
    assert server.requests == ["ServerFeaturesQuery"]


def test_after_a_server_was_given_up_each_request_is_tried_once_until_it_answers() -> None:
    clock = _Clock()
    down = [TransientError("down", status=503) for _ in range(100)]
    flaky = _Flaky(*down)
    retry = Retry(flaky, deadline_s=30.0, sleep=clock.sleep, monotonic=clock.monotonic)
    for _ in range(3):
        with pytest.raises(TransientError):
            retry.send(REQUEST)
    n_first = len(down) - len(flaky.errors) - 2
    assert n_first > 2
    flaky.errors.clear()
    retry.send(REQUEST)
    flaky.errors.append(TransientError("again", status=503))
    retry.send(REQUEST)  # tried again: the server is there


def test_posts_are_as_large_as_the_server_and_the_link_take() -> None:
    from wandb_sync.batching import BATCH_BYTES, SMALLEST_BATCH_BYTES, BatchSize

    size = BatchSize()
    size.took(10 << 20, 100.0)
    assert size.n_bytes == 1 << 20
    size.took(1 << 20, 1.0)
    assert size.n_bytes == 2 << 20
    for _ in range(9):
        size.took(size.n_bytes, 0.1)
    assert size.n_bytes == BATCH_BYTES
    size.too_large()
    size.took(size.n_bytes, 0.1)
    assert size.n_bytes == BATCH_BYTES // 4
    size.took(size.n_bytes, 1e6)
    assert size.n_bytes == SMALLEST_BATCH_BYTES and not size.can_shrink
