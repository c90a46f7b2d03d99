"""`dcp graph`: the table, the drawing, JSON."""

import json
from xml.etree import ElementTree

from cli_world import Dcp

from dcp.cli.graph import drawing


def call(caller: str, callee: str, declared: float | None, learned: float | None, verdict: str) -> dict[str, object]:
    return {"caller": caller, "callee": callee, "declared": declared, "learned": learned, "verdict": verdict}


def test_edges_are_listed_also_before_anything_was_measured(shop: Dcp):
    result = shop("graph")
    assert result.exit_code == 0, result.output
    assert "feed" in result.stdout and "unsure" in result.stdout
    (one,) = json.loads(shop("graph", "shop", "--json").stdout)["calls"]
    assert (one["caller"], one["callee"], one["declared"], one["learned"]) == ("feed", "user", None, None)


def test_it_is_drawn_with_callers_left_of_what_they_call(shop: Dcp, tmp_path):
    assert shop("graph", "--svg", str(tmp_path / "graph.svg")).exit_code == 0
    assert ElementTree.parse(tmp_path / "graph.svg").getroot().tag.endswith("svg")
    assert shop("graph", "--svg", str(tmp_path / "graph.png")).exit_code == 2
    calls = [
        call("web", "cart", 0.5, 0.52, "agrees"),
        call("cart", "db", None, 1.5, "learned"),
        call("web", "db", 3.0, None, "unsure"),
        call("web", "a&b", 1.0, 2.0, "drifted"),
    ]
    root = ElementTree.fromstring(drawing(calls))
    at = {one.text: float(one.get("x")) for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert at["web"] < at["cart"] < at["db"]
    assert at["web"] < at["a&b"]
    assert "0.50 / 0.52" in at and "1.50" in at


def test_an_application_that_nobody_knows_is_refused(shop: Dcp):
    assert shop("graph", "nobody").exit_code == 2
