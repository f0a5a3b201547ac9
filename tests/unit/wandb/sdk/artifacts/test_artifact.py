"""What can be put into an artifact, under which names, and what its digests are."""

from __future__ import annotations

import hashlib
import os
import socket
from base64 import b64encode
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import wandb
from wandb.errors import ArtifactFinalizedError, ArtifactNotLoggedError, UnreadableFileError, ValidationError


def md5(content: bytes) -> str:
    return b64encode(hashlib.md5(content).digest()).decode()


@pytest.fixture
def artifact() -> wandb.Artifact:
    return wandb.Artifact("digits", "dataset")


def test_the_digest_follows_from_names_and_contents(artifact: wandb.Artifact) -> None:
    Path("b.txt").write_bytes(b"two")
    artifact.add_file("b.txt")
    with artifact.new_file("a/one.txt") as file:
        file.write("one")
    head = b"wandb-artifact-manifest-v1\n"
    lines = f"a/one.txt:{md5(b'one')}\nb.txt:{md5(b'two')}\n".encode()
    assert artifact.digest == hashlib.md5(head + lines).hexdigest()
    assert artifact.size == 6


def test_what_counts_is_the_content_when_the_file_is_added(artifact: wandb.Artifact) -> None:
    Path("weights").write_bytes(b"epoch 1")
    entry = artifact.add_file("weights")
    Path("weights").write_bytes(b"epoch 2 is longer")
    assert entry.digest == md5(b"epoch 1")
    assert entry.local_path is not None and Path(entry.local_path).read_bytes() == b"epoch 1"


def test_an_immutable_file_is_not_copied(artifact: wandb.Artifact) -> None:
    Path("weights").write_bytes(b"epoch 1")
    assert artifact.add_file("weights", policy="immutable").local_path == os.path.abspath("weights")


def test_a_directory_is_added_with_all_that_is_below_it(artifact: wandb.Artifact) -> None:
    Path("data/deep/deeper").mkdir(parents=True)
    Path("data/empty").mkdir()
    Path("data/deep/deeper/x").write_bytes(b"x")
    Path("data/.hidden").write_bytes(b"h")
    artifact.add_dir("data")
    artifact.add_dir("data", name="again")
    assert sorted(artifact.manifest.entries) == [
        ".hidden",
        "again/.hidden",
        "again/deep/deeper/x",
        "deep/deeper/x",
    ]


@pytest.mark.long
def test_ten_thousand_files(artifact: wandb.Artifact) -> None:
    Path("data").mkdir()
    for number in range(10_000):
        Path(f"data/{number}").write_bytes(b"%d" % number)
    artifact.add_dir("data")
    assert len(artifact.manifest) == 10_000
    assert artifact.manifest.entries["4711"].digest == md5(b"4711")


def test_links_that_lead_in_a_circle_end(artifact: wandb.Artifact) -> None:
    Path("data/deep").mkdir(parents=True)
    Path("data/x").write_bytes(b"x")
    Path("data/deep/up").symlink_to("..")
    artifact.add_dir("data")
    assert sorted(artifact.manifest.entries) == ["x"]


def test_a_link_to_a_directory_is_followed(artifact: wandb.Artifact) -> None:
    Path("data").mkdir()
    Path("elsewhere").mkdir()
    Path("elsewhere/x").write_bytes(b"x")
    Path("data/there").symlink_to(os.path.abspath("elsewhere"))
    Path("data/too").symlink_to(os.path.abspath("elsewhere"))
    artifact.add_dir("data")
    assert sorted(artifact.manifest.entries) == ["there/x", "too/x"]


def test_pipes_and_sockets_are_left_out(artifact: wandb.Artifact, capsys: Any) -> None:
    Path("data").mkdir()
    Path("data/x").write_bytes(b"x")
    os.mkfifo("data/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("data/socket")
        artifact.add_dir("data")
    assert sorted(artifact.manifest.entries) == ["x"]
    assert "2 that are neither files nor directories" in capsys.readouterr().err


def test_a_link_that_leads_nowhere_is_named(artifact: wandb.Artifact) -> None:
    Path("data").mkdir()
    Path("data/broken").symlink_to("nowhere")
    with pytest.raises(UnreadableFileError, match="data/broken"):
        artifact.add_dir("data")


@pytest.fixture
def no_root() -> Iterator[None]:
    """Root may read everything: be somebody else meanwhile."""
    user = os.geteuid()
    os.chmod(".", 0o777)
    os.seteuid(user or 65534)
    yield
    os.seteuid(user)


def test_a_file_that_may_not_be_read_is_named(artifact: wandb.Artifact, no_root: None) -> None:
    Path("secret").write_bytes(b"x")
    os.chmod("secret", 0)
    with pytest.raises(UnreadableFileError, match="secret"):
        artifact.add_file("secret")
    with pytest.raises(OSError):
        artifact.add_file("secret", policy="immutable")


@pytest.mark.parametrize(
    "call",
    [
        lambda a: a.add_file("data"),
        lambda a: a.add_file("nowhere"),
        lambda a: a.add_dir("x"),
        lambda a: a.add_file("x", name="../x"),
        lambda a: a.add_file("x", name="/etc/passwd"),
        lambda a: a.add_file("x", name="a/../../x"),
        lambda a: a.add_file("x", name="C:\\x"),
        lambda a: a.add_file("x", name="a\\..\\x"),
        lambda a: a.add_file("x", name="."),
        lambda a: a.add_file("x", name="\udcff"),
        lambda a: a.add_file("x", policy="mostly"),
        lambda a: a.add_reference("x"),
        lambda a: a.add_reference("what://x"),
        lambda a: a.add_reference("file:///no/such/file"),
        lambda a: a.add_reference(7),
    ],
)
def test_what_is_no_file_or_no_name_is_refused(
    artifact: wandb.Artifact, call: Callable[[wandb.Artifact], Any]
) -> None:
    Path("data").mkdir()
    Path("x").write_bytes(b"x")
    with pytest.raises(ValueError):
        call(artifact)
    assert not artifact.manifest.entries


def test_a_name_may_have_control_characters_and_any_script(artifact: wandb.Artifact) -> None:
    Path("x").write_bytes(b"x")
    for name in ("a\nb", "\x1b[31mred", "Größe/数据.txt", "a b"):
        artifact.add_file("x", name=name)
    assert len(artifact.manifest) == 4


def test_a_name_is_taken_once(artifact: wandb.Artifact) -> None:
    Path("x").write_bytes(b"x")
    Path("y").write_bytes(b"y")
    artifact.add_file("x", name="same")
    artifact.add_file("x", name="same")
    with pytest.raises(ValueError, match="Cannot add the same path twice"):
        artifact.add_file("y", name="same")
    artifact.add_file("y", name="same", overwrite=True)
    assert artifact.manifest.entries["same"].digest == md5(b"y")


def test_a_new_file_is_new_unless_the_mode_says_otherwise(artifact: wandb.Artifact) -> None:
    with artifact.new_file("log.txt") as file:
        file.write("a")
    with pytest.raises(ValueError, match="already exists"), artifact.new_file("log.txt"):
        pass
    with artifact.new_file("log.txt", mode="a") as file:
        file.write("b")
    assert artifact.manifest.entries["log.txt"].digest == md5(b"ab")
    with artifact.new_file("log.txt", mode="w") as file:
        file.write("c")
    assert artifact.manifest.entries["log.txt"].digest == md5(b"c")


def test_entries_and_directories_are_removed(artifact: wandb.Artifact) -> None:
    for name in ("a/1", "a/2", "ab", "b"):
        with artifact.new_file(name) as file:
            file.write(name)
    artifact.remove("a")
    artifact.remove(artifact.manifest.entries["b"])
    assert sorted(artifact.manifest.entries) == ["ab"]
    with pytest.raises(FileNotFoundError):
        artifact.remove("a")


def test_references_to_files(artifact: wandb.Artifact) -> None:
    Path("data/deep").mkdir(parents=True)
    Path("data/deep/x").write_bytes(b"x")
    top = f"file://{os.path.abspath('data')}"
    (entry,) = artifact.add_reference(top, name="there")
    assert (entry.path, entry.ref, entry.digest, entry.size) == (
        "there/deep/x",
        f"{top}/deep/x",
        md5(b"x"),
        1,
    )
    (entry,) = artifact.add_reference(f"{top}/deep/x", checksum=False)
    assert (entry.path, entry.digest) == ("x", md5(f"{top}/deep/x".encode()))
    with pytest.raises(ValueError, match="Exceeded 1 objects"):
        Path("data/y").write_bytes(b"y")
        artifact.add_reference(top, max_objects=1)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a:b", "é", "a\n", "x" * 129])
def test_names_of_artifacts(name: str) -> None:
    with pytest.raises(ValueError):
        wandb.Artifact(name, "dataset")


@pytest.mark.parametrize(
    "name, kind", [("a", "job"), ("a", "wandb-history"), ("run-a", "run_table"), ("source-a", "code")]
)
def test_types_that_the_service_has_for_itself(name: str, kind: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        wandb.Artifact(name, kind)


def test_metadata_is_plain() -> None:
    artifact = wandb.Artifact("a", "b", metadata={"nan": float("nan"), "t": (1, 2), 3: "x"})
    assert artifact.metadata == {"nan": None, "t": [1, 2], "3": "x"}
    for wrong in ({"x": float("inf")}, {str(n): n for n in range(101)}, [1], {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            wandb.Artifact("a", "b", metadata=wrong)  # type: ignore[arg-type]


def test_a_finalized_artifact_does_not_change(artifact: wandb.Artifact) -> None:
    Path("x").write_bytes(b"x")
    artifact.finalize()
    for call in (
        lambda: artifact.add_file("x"),
        lambda: artifact.add_dir("."),
        lambda: artifact.add_reference("file:///etc/hostname"),
        lambda: artifact.remove("x"),
        lambda: artifact.new_file("x").__enter__(),
    ):
        with pytest.raises(ArtifactFinalizedError, match="finalized artifact"):
            call()
        with pytest.raises(AttributeError):
            call()


def test_what_only_a_server_knows_says_so(artifact: wandb.Artifact) -> None:
    with pytest.raises(ArtifactNotLoggedError, match="prior to logging"):
        artifact.file_count
    with pytest.raises(ArtifactNotLoggedError):
        artifact.ttl


def test_how_long_it_lives(artifact: wandb.Artifact) -> None:
    from datetime import timedelta

    artifact.ttl = timedelta(days=2)
    assert artifact.ttl == timedelta(days=2)
    artifact.ttl = None
    assert artifact.ttl is None
    for wrong in (timedelta(0), 7):
        with pytest.raises((ValidationError, ValueError)):
            artifact.ttl = wrong  # type: ignore[assignment]
