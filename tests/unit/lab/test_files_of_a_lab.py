"""What `dcp lab down` takes away of the files."""

import os
from pathlib import Path

import pytest

from dcp.lab import down


def lab_in(directory: Path) -> Path:
    folder = directory / "hosts"
    (folder / "h1" / "tmpmounts").mkdir(parents=True)
    (folder / "h1" / "log").write_text("a line")
    (directory / "somebody-elses").mkdir()
    return folder


def test_only_its_own_files_go(tmp_path: Path) -> None:
    lab_in(tmp_path)
    down._remove_files(tmp_path, made=False)
    assert [one.name for one in tmp_path.iterdir()] == ["somebody-elses"]


def test_what_an_ending_program_removes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, remove = lab_in(tmp_path), os.rmdir

    def gone_already(name: str, *, dir_fd: int | None = None) -> None:
        remove(name, dir_fd=dir_fd)
        if name == "tmpmounts":
            raise FileNotFoundError(name)

    monkeypatch.setattr(os, "rmdir", gone_already)
    down._remove_files(tmp_path, made=False)
    assert not folder.exists()


def test_any_other_error_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab_in(tmp_path)

    def busy(name: str, *, dir_fd: int | None = None) -> None:
        raise OSError(16, "busy", name)

    monkeypatch.setattr(os, "rmdir", busy)
    with pytest.raises(OSError, match="busy"):
        down._remove_files(tmp_path, made=False)
