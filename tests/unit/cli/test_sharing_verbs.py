"""`dcp leases` and `dcp why` while one cluster uses the hosts of another one, which claims them back."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_world import Dcp, make_context, served

from dcp.engine.context import Context
from dcp.hosts.clusters import Cluster, SourceAccess

COMPOSE = """
name: {name}
x-dcp: {{cluster: {name}}}
services:
  web:
    command: [serve]
    deploy: {{replicas: {count}, resources: {{limits: {{cpus: "1", memory: 64M}}}}}}
"""


def two_clusters(folder: Path) -> Context:
    context = make_context(folder)
    clusters = (Cluster("news", lends=True, claim_notice_s=600.0),)
    context.settings = replace(context.settings, clusters=clusters, access=(SourceAccess("local", ("news",)),))
    return context


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dcp]:
    """`shop` uses the three hosts of `news`, which then needs one."""
    with served(tmp_path_factory.mktemp("lent"), two_clusters) as command:
        for name, count, wait in (("shop", 3, True), ("news", 1, False)):
            path = command.folder / f"{name}.yaml"
            path.write_text(COMPOSE.format(name=name, count=count))
            result = command("apply", str(path), *(() if wait else ("--no-wait",)))
            assert result.exit_code == 0, result.output
        yield command


def eventually(look: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 10
    while not look():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_leases_say_who_borrows_what_from_whom_and_who_gets_it_next(lent: Dcp):
    def claimed() -> list[dict]:
        return [one for one in json.loads(lent("leases", "--json").stdout)["leases"] if one["claimed_by"] is not None]

    eventually(lambda: bool(claimed()))
    (back,) = claimed()
    assert (back["cluster"], back["lender"], back["claimed_by"], back["state"]) == ("shop", "news", "news", "cordoned")
    assert 500 < back["until"] - back["since"] < 660
    everything = json.loads(lent("leases", "--json").stdout)
    counts = {"owned": 3, "lent": 3, "claimed": 1, "borrowed": 0}
    assert everything["clusters"][0] == {"cluster": "news", "lends": True, **counts}
    assert len(json.loads(lent("leases", "--cluster", "news", "--json").stdout)["leases"]) == 3
    told = lent("leases").stdout
    assert ", then news" in told
    assert "BORROWED" in told
    text = lent("why", back["id"]).stdout
    assert "cluster shop has it, lent by news" in text
    assert "cluster news claims it back" in text
    assert "claimed ready → cordoned: cluster news needs its host for news/web" in text
    assert f"wait for hosts that cluster news claims back: {back['id']} (from shop)" in lent("why", "news/web").stdout


def test_a_plan_says_what_it_claims(lent: Dcp):
    eventually(lambda: "claims" in lent("why", "news").stdout)
    assert "< host local-" in lent("plan", "plan-2").stdout
