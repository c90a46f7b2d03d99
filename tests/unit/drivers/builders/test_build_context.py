"""What the builder gets of a folder, and where folders come from."""

import io
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from dcp.drivers.builders.archive import archive
from dcp.drivers.builders.ignore import Ignore, ignore_of, read_ignore
from dcp.drivers.builders.sources import open_source
from dcp.kernel.errors import InvalidInput, Unavailable


@pytest.mark.parametrize(
    ("patterns", "left_out", "sent"),
    [
        ("*.log", ["a.log"], ["a.txt", "b/a.log"]),
        ("**/*.log", ["a.log", "b/c/a.log"], ["a.txt"]),
        ("node_modules", ["node_modules", "node_modules/x/y"], ["src/node_modules"]),
        ("/build/", ["build/x"], ["x/build"]),
        ("temp?", ["temp1", "tempa/x"], ["temp", "temp10"]),
        ("a[0-9]", ["a1"], ["ab"]),
        ("*\n!keep*", ["x"], ["keep.txt"]),
        ("docs\n!docs/README.md\ndocs/README.md", ["docs/README.md", "docs/x"], []),
        ("# nothing\n\n  ", [], ["# nothing", "x"]),
        ("a.b+c", ["a.b+c"], ["axb+c", "a.bbc"]),
        ("\\*x", ["*x"], ["ax"]),
    ],
)
def test_patterns(patterns: str, left_out: list[str], sent: list[str]) -> None:
    ignore = read_ignore(patterns)
    assert [path for path in left_out if not ignore.fits(path)] == []
    assert [path for path in sent if ignore.fits(path)] == []


def test_a_pattern_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[abc"):
        read_ignore("x\n[abc\n")


def entries(folder: Path, ignore: Ignore, dockerfile: str = "Dockerfile") -> dict[str, tarfile.TarInfo]:
    body = b"".join(archive(folder, ignore, dockerfile))
    with tarfile.open(fileobj=io.BytesIO(body)) as found:
        for member in found:
            if member.isreg():
                file = found.extractfile(member)
                assert file is not None
                assert file.read() == (folder / member.name).read_bytes()
        return {member.name: member for member in found.getmembers()}


def test_an_archive_holds_what_is_not_left_out(tmp_path: Path) -> None:
    for name in ("Dockerfile", "a/b/kept", "a/b/gone", "skip/x", "skip/back", "long/" + "n" * 150, "ünicode"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(os.urandom(700))
    (tmp_path / "link").symlink_to("a/b/kept")
    (tmp_path / "a/run").write_text("#!/bin/sh\n")
    (tmp_path / "a/run").chmod(0o755)
    (tmp_path / ".dockerignore").write_text("**/gone\nskip\n!skip/back\nDockerfile\n")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "sock"))
        found = entries(tmp_path, ignore_of(tmp_path, "Dockerfile"))
    expected = {"Dockerfile", ".dockerignore", "a", "a/b", "a/b/kept", "a/run", "skip/back", "link", "ünicode", "long"}
    assert set(found) == expected | {"long/" + "n" * 150}
    assert found["link"].linkname == "a/b/kept"
    assert found["a/run"].mode == 0o755
    assert found["a/run"].uid == 0


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).write_text(name)
    first = b"".join(archive(tmp_path, Ignore(), "Dockerfile"))
    assert first == b"".join(archive(tmp_path, Ignore(), "Dockerfile"))


def test_the_file_of_a_dockerfile_goes_first(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a")
    (tmp_path / "other.dockerignore").write_text("b")
    assert ignore_of(tmp_path, "other").fits("b")
    assert not ignore_of(tmp_path, "other").fits("a")
    assert ignore_of(tmp_path, "Dockerfile").fits("a")


# Sources.


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "web").mkdir(parents=True)
    git(work, "init", "-q")
    (work / "web/Dockerfile").write_text("FROM one\n")
    git(work, "add", "."), git(work, "commit", "-qm", "one")
    git(work, "tag", "v1")
    (work / "web/Dockerfile").write_text("FROM two\n")
    git(work, "commit", "-qam", "two")
    git(work, "branch", "side")
    git(tmp_path, "clone", "-q", "--bare", str(work), "project.git")
    return tmp_path / "project.git"


@pytest.mark.parametrize(
    ("place", "words"), [(":web", "two"), ("#v1:web", "one"), ("#side:web", "two"), ("#main:web", "two")]
)
def test_a_git_address_is_cloned_and_goes_away(bare: Path, place: str, words: str) -> None:
    text = str(bare) + (place if place.startswith("#") else f"#{place}")
    with open_source(text) as source:
        assert (source.folder / "Dockerfile").read_text() == f"FROM {words}\n"
        assert source.name.startswith(f"{bare}#")
    assert not source.folder.exists()


@pytest.mark.parametrize(
    ("place", "word"),
    [("#nothing", "has no nothing"), ("#:../..", "no folder"), ("#:absent", "no folder"), ("#--x", "no git")],
)
def test_what_a_repository_does_not_have_is_said(bare: Path, place: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word), open_source(str(bare) + place):
        pass


def test_what_is_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no folder"), open_source(str(tmp_path / "absent")):
        pass
    with pytest.raises(Unavailable, match="git"), open_source(str(tmp_path / "absent.git")):
        pass
    with open_source(str(tmp_path)) as source:
        assert source.folder == tmp_path
