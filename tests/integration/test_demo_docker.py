"""The main job on real engines, end to end, as `make demo-docker` runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dcp.lab.network import namespaces
from lab_fixture import require_lab

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]
LIMIT_S = 360


def test_a_surge_is_ridden_out_on_real_engines_and_everything_is_given_back(tmp_path: Path):
    require_lab()
    figures, report = tmp_path / "demo.json", tmp_path / "demo.html"
    words = [
        "demo",
        "--runtime",
        "docker",
        "--hold-s",
        "20",
        "--plain",
        "--json",
        str(figures),
        "--report",
        str(report),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "dcp", *words], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert run.returncode == 0, run.stderr[-4000:]
    found = json.loads(figures.read_text())
    assert found["offered_requests"] == found["answered_requests"] > 5000
    assert found["failed_requests"] == 0
    assert found["orphan_processes"] == 0
    for course in (*found["instances"].values(), *found["hosts"].values()):
        assert course["before"] == course["after"]
    assert found["instances"]["feed"]["peak"] >= 8
    assert found["hosts"]["private"]["peak"] == 2, "the private hosts are used up before the cloud is asked"
    assert found["hosts"]["cloud"]["peak"] >= 1
    assert "real Docker Engines" in found["hosts_are"] and "stand-in" in found["cloud"]
    assert "stand-in" in report.read_text() and "stand-in" in run.stdout
    assert namespaces("demo") == ()
