"""Verbs that look: tables for people, one JSON value for programs, and nothing else on stdout."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

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
        (["cost"], ["local", "all", "CHARGED USD"]),
        (["cost", "--by", "service,day"], ["shop/feed", "(idle)", "DAY"]),
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


@pytest.mark.parametrize(("name", "parts"), [("cost.svg", 1), ("cost.html", 2)])
def test_costs_are_drawn_as_well_formed_pictures(shop: Dcp, tmp_path: Path, name: str, parts: int):
    result = shop("cost", "--by", "service", "--plot", str(tmp_path / name))
    assert result.exit_code == 0, result.output
    text = (tmp_path / name).read_text()
    drawn = re.findall(r"<svg[^>]* class=.plot..*?</svg>|<svg class=.plot..*?</svg>", text, flags=re.DOTALL)
    assert len(drawn) == parts
    assert "shop/feed" in text
    assert "idle" in text
    if name.endswith(".svg"):
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_plot_that_cannot_be_drawn_is_refused_first(shop: Dcp):
    result = shop("cost", "--plot", "cost.png")
    assert (result.exit_code, "neither .svg nor .html" in result.stderr) == (2, True)
    result = shop("cost", "--by", "colour")
    assert (result.exit_code, "'colour' is nothing to tell costs apart by" in result.stderr) == (2, True)


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
    assert "cordoned" in shop("hosts").stdout
    assert shop("hosts", "uncordon", "local-1").stdout == "local-1 is ready: is used again\n"
    assert json.loads(shop("hosts", "drain", "local-1", "--within", "1h", "--json").stdout)["state"] == "cordoned"
    assert shop("hosts", "drain", "local-1", "--within", "soon").exit_code == 2
    assert shop("hosts", "cordon", "local-99").exit_code == 2


def test_leases_say_who_has_what(shop: Dcp):
    held = json.loads(shop("leases", "--json").stdout)["leases"]
    assert held
    assert {(one["cluster"], one["source"], one["kind"]) for one in held} == {("", "local", "private")}
    assert held[-1]["id"] in shop("leases").stdout
    assert shop("leases", "--cluster", "news").stdout.strip() == "no hosts are lent"
