"""Verbs that look: tables for people, one JSON value for programs, and nothing else on stdout."""

import json

import pytest
from cli_world import Dcp

VERBS = {
    "status": "applications",
    "services": "services",
    "instances": "instances",
    "hosts": "hosts",
    "cost": "cost_usd",
    "events": "events",
    "plan": "targets",
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_prints_json_and_nothing_else(shop: Dcp, verb: str):
    result = shop(verb, "--json")
    assert result.exit_code == 0, result.output
    assert VERBS[verb] in json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["status"], ["shop (revision 1): 2 services, 3 of 3 instances serving", "gated", "not enforced"]),
        (["services"], ["shop/feed", "2/2", "18080", "LAST DECISION"]),
        (["instances"], ["serving", "shop/user"]),
        (["instances", "--service", "user", "--all"], ["shop/user"]),
        (["hosts"], ["local-1", "ready", "3.600"]),
        (["cost"], ["local", "all"]),
        (["events", "--limit", "1000"], ["application/shop applied", "placed"]),
        (["plan"], ["plan-", "nothing to do"]),
        (["plan", "plan-1"], ["+ host local-1", "+ instance", "held until 1 user serve"]),
        (["why", "feed"], ["shop/feed has target 2", "what happened:"]),
        (["why", "service/shop/feed"], ["shop/feed has target 2"]),
    ],
)
def test_what_people_read(shop: Dcp, words: list[str], shown: list[str]):
    result = shop(*words)
    assert result.exit_code == 0, result.output
    for text in shown:
        assert text in result.stdout
    assert "\x1b" not in result.stdout
    assert not any(line.endswith(" ") for line in result.stdout.splitlines())


def test_logs_of_an_instance(shop: Dcp):
    instance = json.loads(shop("instances", "--json").stdout)["instances"][0]["id"]
    assert shop("logs", instance).exit_code == 0
    assert json.loads(shop("logs", instance, "--tail", "1", "--json").stdout)["instance"] == instance


def test_why_an_instance_serves(shop: Dcp):
    instance = json.loads(shop("instances", "--service", "feed", "--json").stdout)["instances"][0]["id"]
    assert "placed because" in shop("why", instance).stdout


@pytest.mark.parametrize("words", [["why", "nobody"], ["logs", "nobody"], ["plan", "nobody"], ["remove", "nobody"]])
def test_what_is_not_there_is_a_wrong_input(shop: Dcp, words: list[str]):
    result = shop(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nobody" in result.stderr and "hint:" in result.stderr


def test_nothing_there_yet(dcp: Dcp):
    assert "none yet" in dcp("status").stdout
    assert "dcp apply FILE" in dcp("services").stdout
    assert dcp("instances").stdout == "no instances\n"
    assert dcp("hosts").stdout == "no hosts in use\n"
    result = dcp("plan")
    assert result.exit_code == 2 and "there is no application" in result.stderr


def test_a_host_is_cordoned_drained_and_used_again(shop: Dcp):
    assert "takes nothing new" in shop("hosts", "cordon", "local-1").stdout
    assert json.loads(shop("hosts", "drain", "local-1", "--within", "1h", "--json").stdout)["state"] == "cordoned"
    assert "cordoned" in shop("hosts").stdout
    assert shop("hosts", "uncordon", "local-1").stdout == "local-1 is ready: is used again\n"
    assert shop("hosts", "drain", "local-1", "--within", "soon").exit_code == 2
    assert shop("hosts", "cordon", "local-99").exit_code == 2
