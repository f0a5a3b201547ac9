"""Git states, compared with what git itself says."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Optional

import pytest

from wandb.internal.git import GitState, git_state, without_credentials


def git(directory: Path, *args: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "protocol.file.allow=always"]
    done = subprocess.run(
        ["git", *identity, *args],
        cwd=directory,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture()
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "one")
    git(root, "remote", "add", "origin", "https://github.com/a/b.git")
    return root


def agrees_with_git(directory: Path) -> GitState:
    state = git_state(str(directory))
    assert state is not None
    assert state.root == git(directory, "rev-parse", "--show-toplevel")
    assert state.commit == git(directory, "rev-parse", "HEAD")
    assert (state.branch or "HEAD") == git(directory, "rev-parse", "--abbrev-ref", "HEAD")
    return state


def test_a_plain_repository_agrees_with_git(repo: Path) -> None:
    assert agrees_with_git(repo).remote_url == "https://github.com/a/b.git"


def test_a_directory_below_belongs_to_the_repository(repo: Path) -> None:
    below = repo / "a" / "b"
    below.mkdir(parents=True)
    agrees_with_git(below)


def test_packed_refs_and_branches_with_slashes_agree_with_git(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "feature/x")
    git(repo, "commit", "-q", "--allow-empty", "-m", "two")
    git(repo, "pack-refs", "--all")
    assert agrees_with_git(repo).branch == "feature/x"


def test_a_detached_head_has_a_commit_and_no_branch(repo: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    assert agrees_with_git(repo).branch is None


def test_a_worktree_agrees_with_git(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    git(tmp_path / "tree", "commit", "-q", "--allow-empty", "-m", "side")
    state = agrees_with_git(tmp_path / "tree")
    assert (state.branch, state.remote_url) == ("side", "https://github.com/a/b.git")


def test_a_submodule_is_a_repository_of_its_own(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(repo), "other")
    git(repo, "submodule", "add", "-q", str(tmp_path / "other"), "sub")
    assert agrees_with_git(repo / "sub").remote_url == str(tmp_path / "other")


def test_another_remote_can_be_asked_for(repo: Path) -> None:
    git(repo, "remote", "add", "my.fork", "git@github.com:c/d.git")
    state = git_state(str(repo), remote="my.fork")
    assert state is not None and state.remote_url == "git@github.com:c/d.git"


def test_a_repository_without_commits_or_remote_has_neither(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    state = git_state(str(tmp_path))
    assert state is not None and (state.root, state.branch) == (str(tmp_path), "main")
    assert state.commit is state.remote_url is None


def test_no_repository_is_none(tmp_path: Path) -> None:
    assert git_state(str(tmp_path)) is None
    assert git_state(str(tmp_path / "missing")) is None


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe\x00", b"ref: refs/heads/none", b"ref: HEAD", b"0" * 39]
)
def test_a_damaged_repository_raises_nothing(content: Optional[bytes], repo: Path) -> None:
    if content is None:
        (repo / ".git" / "HEAD").unlink()
        assert git_state(str(repo)) is None
        return
    (repo / ".git" / "HEAD").write_bytes(content)
    (repo / ".git" / "config").write_bytes(content)
    state = git_state(str(repo))
    assert state is not None and state.commit is None and state.remote_url is None


def test_config_values_with_quotes_and_comments_agree_with_git(repo: Path) -> None:
    with (repo / ".git" / "config").open("a") as file:
        file.write(
            '; c\n[Remote "q\\"x"] url = "https://h/a;b" # comment\n'
            '[remote "y"]\n\turl = https://h/\\\nc ; d\n'
        )
    for remote in ('q"x', "y"):
        state = git_state(str(repo), remote=remote)
        assert state is not None and state.remote_url == git(repo, "config", f"remote.{remote}.url")


@pytest.mark.parametrize(
    "url, kept",
    [
        ("https://user:token@github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://token@github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://u:p@ss@host:8443/a", "https://host:8443/a"),
        ("http://host/a@b/c", "http://host/a@b/c"),
        ("ssh://git@host:22/a", "ssh://git@host:22/a"),
        ("ssh://git:secret@host/a", "ssh://git@host/a"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
        ("file:///srv/a:b@c.git", "file:///srv/a:b@c.git"),
    ],
)
def test_credentials_are_taken_out_of_urls(url: str, kept: str) -> None:
    assert without_credentials(url) == kept
