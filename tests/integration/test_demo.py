"""The main job, end to end, as `make demo` runs it: real controller, proxy, processes and load."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]

LIMIT_S = 240


def test_a_surge_is_ridden_out_and_everything_is_given_back(tmp_path: Path) -> None:
    figures, report = tmp_path / "demo.json", tmp_path / "demo.html"
    words = ["demo", "--plain", "--json", str(figures), "--report", str(report)]
    run = subprocess.run(
        [sys.executable, "-m", "dcp", *words], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert run.returncode == 0, run.stderr[-4000:]
    found = json.loads(figures.read_text())
    assert found["surge_factor"] > 5
    assert found["offered_requests"] == found["answered_requests"] > 8000
    assert found["failed_requests"] == 0
    assert found["recovery_s"] is not None
    assert found["orphan_processes"] == 0
    for course in (*found["instances"].values(), *found["hosts"].values()):
        assert course["before"] == course["after"]
    assert found["instances"]["feed"]["peak"] >= 8
    assert found["instances"]["user"]["peak"] >= 3
    assert found["hosts"]["private"]["peak"] == 4, "the private pool is used up before the cloud is asked"
    assert found["hosts"]["cloud"]["peak"] >= 1
    assert found["cost_usd"] > 0
    assert found["time_scale"] == 60
    assert _first(found, "service/hot-event/feed", "below-fatal") == _first(
        found, "service/hot-event/user", "load-of-callers"
    ), "one plan for all services"
    assert "fake" in found["cloud"]
    assert "<svg" in report.read_text()


def _first(found: dict, subject: str, reason: str) -> float:  # type: ignore[type-arg]
    return next(d["at_s"] for d in found["decisions"] if (d["subject"], d["reason"]) == (subject, reason))
