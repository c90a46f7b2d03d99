"""`dcp capacity test` on real processes behind a real proxy: what is found is what the service really carries."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from served import Serve, free_ports, start_load, until

pytestmark = pytest.mark.slow

SERVICE = Path(__file__).parents[2] / "examples" / "hot-event" / "service.py"
CARRIES_REQUESTS_PER_S = 50.0
"""Two at a time, 40 ms each: not one more, and with 500 ms of patience hardly less."""
LOAD_REQUESTS_PER_S = 75
APPLICATION = f"""
name: page
services:
  user:
    command: ["{sys.executable}", "-S", "-E", "{SERVICE}"]
    environment: {{NAME: user, CONCURRENCY: "2", SERVICE_MS: "40"}}
    ports: ["@PORT@:80"]
    deploy: {{replicas: 3, resources: {{limits: {{cpus: "0.2", memory: 64M}}}}}}
    x-dcp: {{health: {{http: /healthz, timeout: 5s}}, slow_threshold: 500ms}}
"""


def test_a_service_is_measured_on_its_live_traffic_and_no_request_is_lost(tmp_path: Path) -> None:
    low = free_ports(40)
    config = tmp_path / "dcp.yaml"
    config.write_text(
        f"balancer: {{internal_ports: {low}-{low + 9}}}\nruntime: {{ports: {low + 10}-{low + 38}}}\n"
        "sources: [{name: local, kind: private, hosts: 1, cpus: 2, memory: 512M}]\n"
    )
    (tmp_path / "page.yaml").write_text(APPLICATION.replace("@PORT@", str(low + 39)))
    serve = Serve(tmp_path / "state", config)
    try:
        serve.listening()
        applied = serve.run("apply", str(tmp_path / "page.yaml"))
        assert applied.returncode == 0, applied.stderr
        load = start_load(low + 39, tmp_path / "events.jsonl", LOAD_REQUESTS_PER_S)
        try:
            until(lambda: _seconds(tmp_path / "events.jsonl") >= 2)
            found = serve.run("capacity", "test", "user", "--instances", "2", "--window", "3s", "--json", limit_s=240)
        finally:
            load.terminate()
            load.wait(30)
        assert found.returncode == 0, found.stdout + found.stderr + serve.run("events").stdout
        answer = json.loads(found.stdout)
        assert (answer["outcome"], answer["rounds"]) == ("measured", 2)
        (one,) = answer["measured"]["classes"]
        assert one["instances"] == 2
        assert CARRIES_REQUESTS_PER_S / 1.4 <= one["requests_per_s"] <= CARRIES_REQUESTS_PER_S * 1.1
        assert one["units_per_s"] >= 2 * one["requests_per_s"], "40 ms weigh 2 and more"
        end = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
        assert (end["kind"], end["failed"]) == ("end", 0)
        shown = serve.run("capacity").stdout
        assert "page/user" in shown and "capacity-1" in shown
    finally:
        asyncio.run(serve.clean_up())


def _seconds(events: Path) -> int:
    return events.read_text().count('"second"') if events.exists() else 0
