"""`dcp lab` at the terminal: what is refused before anything is made."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dcp.cli.main import app
from dcp.lab import programs
from dcp.lab.journal import save_spec
from dcp.lab.spec import LabSpec


def run(*words: str):
    return CliRunner().invoke(app, ["lab", *words], env={"COLUMNS": "200"})


def test_an_impossible_lab_is_a_wrong_input_and_makes_nothing(tmp_path: Path):
    ended = run("up", "--hosts", "0", "--dir", str(tmp_path / "lab"))
    assert ended.exit_code == 2
    assert "hosts" in ended.output and not (tmp_path / "lab").exists()
    assert run("up", "--memory", "much", "--dir", str(tmp_path / "lab")).exit_code == 2


def test_who_is_not_root_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(programs, "is_root", lambda: False)
    ended = run("up", "--dir", str(tmp_path / "lab"))
    assert ended.exit_code == 1
    assert "root" in ended.output and not (tmp_path / "lab").exists()


def test_missing_programs_are_an_error_that_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(programs, "is_root", lambda: True)
    monkeypatch.setattr(programs, "PROGRAMS", {"no-such-program": "no-such-package"})
    ended = run("up", "--dir", str(tmp_path / "lab"))
    assert ended.exit_code == 1
    assert "apt-get install --no-install-recommends no-such-package" in ended.output
    assert not (tmp_path / "lab").exists()
    assert "no-such-package" in run("packages").output


def test_status_of_no_lab_and_of_one_whose_engines_are_gone(tmp_path: Path):
    assert run("status", "--dir", str(tmp_path / "none")).exit_code == 2
    save_spec(tmp_path, LabSpec(name="t-gone", hosts=2, octet=129, registries=True))
    shown = json.loads(run("status", "--dir", str(tmp_path), "--json").output)
    assert [(host["name"], host["engine"]) for host in shown["hosts"]] == [("h1", "down"), ("h2", "down")]
    assert shown["registries"] == [{"site": "s1", "url": "https://10.129.1.2:5000"}]
    assert run("host", "kill", "h9", "--dir", str(tmp_path)).exit_code == 2
