"""`dcp rehearse` against a controller with live load: the surge is played from what is measured, nothing is changed."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from served import Serve, free_ports, start_load, until

pytestmark = pytest.mark.slow

SERVICE = Path(__file__).parents[2] / "examples" / "hot-event" / "service.py"
LOAD_REQUESTS_PER_S = 30
APPLICATION = f"""
name: page
services:
  feed:
    command: ["{sys.executable}", "-S", "-E", "{SERVICE}"]
    environment: {{NAME: feed, CONCURRENCY: "4", SERVICE_MS: "20"}}
    ports: ["@PORT@:80"]
    deploy: {{replicas: 1, resources: {{limits: {{cpus: "0.2", memory: 64M}}}}}}
    x-dcp:
      health: {{http: /healthz, timeout: 5s}}
      elastic: {{min: 1, max: 20}}
      capacity: {{units_per_s: 400, requests_per_s: 100}}
      slow_threshold: 500ms
"""


def test_a_surge_is_played_on_what_runs_now(tmp_path: Path) -> None:
    low = free_ports(40)
    config = tmp_path / "dcp.yaml"
    config.write_text(
        f"balancer: {{internal_ports: {low}-{low + 9}}}\nruntime: {{ports: {low + 10}-{low + 38}}}\ntime_scale: 60\n"
        "sources: [{name: local, kind: private, hosts: 1, cpus: 1, memory: 512M},\n"
        "  {name: cloud, kind: fake-cloud,\n"
        "   types: [{name: c1, cpus: 1, memory: 512M, price_usd_per_hour: 0.1, boot_s: 3}]}]\n"
    )
    (tmp_path / "page.yaml").write_text(APPLICATION.replace("@PORT@", str(low + 39)))
    serve = Serve(tmp_path / "state", config)
    try:
        serve.listening()
        applied = serve.run("apply", str(tmp_path / "page.yaml"))
        assert applied.returncode == 0, applied.stderr
        load = start_load(low + 39, tmp_path / "events.jsonl", LOAD_REQUESTS_PER_S)
        try:
            until(lambda: (serve.ask(lambda api: api.services())["services"][0]["requests_per_s"] or 0) > 20, 30)
            before = serve.ask(lambda api: api.plans())
            played = serve.run("rehearse", "feed=8x", "--for", "5m", "--json", limit_s=120)
            after = serve.ask(lambda api: api.plans())
        finally:
            load.terminate()
            load.wait(30)
        assert played.returncode == 0, played.stderr
        found = json.loads(played.stdout)
        assert 15 < found["requests_per_s"] < 45
        assert (found["before"], found["times"], found["lasts_s"]) == (1, 8.0, 300.0)
        assert found["recovery_s"] is not None and found["recovery_s"] < 60
        assert found["peak_instances"] >= 4
        assert found["peak_cloud_hosts"] >= 0
        assert before == after, "nothing is written"
    finally:
        asyncio.run(serve.clean_up())
