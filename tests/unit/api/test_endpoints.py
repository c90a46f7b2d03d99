"""What endpoints answer, over an engine that runs on fakes."""

import httpx
import pytest
from api_world import SPEC, until

from dcp.api.app import OPENAPI

API = "/api/v1"


async def test_status_names_what_serves_here(running: httpx.AsyncClient):
    found = (await running.get(f"{API}/status")).json()
    assert found["applications"] == [{"name": "shop", "revision": 1, "removing": False, "frozen": ""}]
    assert [one["id"] for one in found["controllers"]] == ["c-1"]
    assert (found["policy"], found["time_scale"]) == ("gated", 1)
    assert set(found["runtime"]["abilities"]) == {"cpu_limit", "memory_limit", "why_not", "containers"}
    assert found["now"] > 0 and found["version"]


async def test_a_dry_run_shows_the_difference_and_changes_nothing(api: httpx.AsyncClient):
    answer = (await api.post(f"{API}/applications", json={"spec": SPEC, "dry_run": True})).json()
    assert (answer["application"], answer["revision"], answer["created"]) == ("shop", 0, True)
    assert [(c["path"], c["effect"]) for c in answer["changes"]] == [
        ("services.feed", "create"),
        ("services.user", "create"),
    ]
    assert answer["prices"] == [
        {"cluster": "", "source": "local", "before_usd_per_hour": 0.0, "after_usd_per_hour": pytest.approx(7.2)}
    ]
    assert (await api.get(f"{API}/applications")).json() == {"applications": []}
    assert (await api.get(f"{API}/hosts")).json() == {"hosts": []}


async def test_applying_twice_does_nothing_the_second_time(api: httpx.AsyncClient):
    first = (await api.post(f"{API}/applications", json={"spec": SPEC, "expected_revision": 0})).json()
    second = (await api.post(f"{API}/applications", json={"spec": SPEC})).json()
    assert (first["revision"], first["created"]) == (1, True)
    assert (second["revision"], second["created"], second["changes"]) == (1, False, [])


async def test_an_application_shows_neither_command_nor_environment(running: httpx.AsyncClient):
    answer = await running.get(f"{API}/applications/shop")
    feed = answer.json()["services"][0]
    assert (feed["name"], feed["replicas"], feed["calls"]) == ("feed", 2, {"user": 0.4})
    assert "hunter2" not in answer.text


async def test_services_instances_and_hosts_agree(running: httpx.AsyncClient):
    services = (await running.get(f"{API}/services")).json()["services"]
    assert [(s["name"], s["target"], s["serving"]) for s in services] == [("feed", 2, 2), ("user", 1, 1)]
    assert services[0]["listen_url"] == "http://127.0.0.1:18080"
    instances = (await running.get(f"{API}/instances")).json()["instances"]
    assert {i["state"] for i in instances} == {"serving"}
    assert {i["revision"] for i in instances} == {1}
    hosts = (await running.get(f"{API}/hosts")).json()["hosts"]
    assert sorted(i for h in hosts for i in h["instances"]) == sorted(i["id"] for i in instances)
    assert {(h["source"], h["kind"], h["type"], h["state"]) for h in hosts} == {("local", "private", "host", "ready")}
    only = (await running.get(f"{API}/instances", params={"application": "shop", "service": "user"})).json()
    assert [i["service"] for i in only["instances"]] == ["user"]
    assert (await running.get(f"{API}/instances?application=other")).json() == {"instances": []}


async def test_events_are_read_on_from_a_place(running: httpx.AsyncClient):
    every = (await running.get(f"{API}/events?after=0&limit=1000")).json()["events"]
    assert [e["seq"] for e in every] == sorted(e["seq"] for e in every)
    assert every[0]["reason"] == "applied"
    behind = (await running.get(f"{API}/events", params={"after": every[2]["seq"], "limit": 2})).json()["events"]
    assert behind == every[3:5]
    last = (await running.get(f"{API}/events?limit=1")).json()["events"]
    assert last[0]["seq"] >= every[-1]["seq"]
    subject = next(e["subject"] for e in every if e["subject"].startswith("instance/"))
    own = (await running.get(f"{API}/events", params={"subject": subject})).json()["events"]
    assert {e["subject"] for e in own} == {subject}


async def test_why_takes_every_way_of_naming_a_subject(running: httpx.AsyncClient):
    instance = (await running.get(f"{API}/instances?service=feed")).json()["instances"][0]["id"]
    for subject in ("shop", "feed", "shop/feed", instance, f"instance/{instance}", "service/shop/feed"):
        answer = (await running.get(f"{API}/why/{subject}")).json()
        assert answer["because"] and answer["now"], subject


async def test_plans_are_listed_and_shown_and_the_next_one_is_empty(running: httpx.AsyncClient):
    plans = (await running.get(f"{API}/plans")).json()["plans"]
    assert plans[0]["application"] == "shop"
    assert sum(plan["instances"] for plan in plans) == 3
    plan = (await running.get(f"{API}/plans/{plans[0]['id']}")).json()
    assert plan["instances"][0]["why"]
    following = (await running.get(f"{API}/applications/shop/plan")).json()
    assert (following["hosts"], following["instances"], following["removals"]) == ([], [], [])
    assert {target["service"] for target in following["targets"]} == {"feed", "user"}
    assert (await running.get(f"{API}/plans?application=other")).json() == {"plans": []}


async def test_logs_of_an_instance(running: httpx.AsyncClient):
    instance = (await running.get(f"{API}/instances")).json()["instances"][0]["id"]
    answer = (await running.get(f"{API}/instances/{instance}/logs?tail=5")).json()
    assert answer["instance"] == instance
    assert isinstance(answer["lines"], list)


async def test_cost_counts_every_source(running: httpx.AsyncClient):
    cost = (await running.get(f"{API}/cost")).json()
    assert (cost["by"], [row["key"] for row in cost["rows"]]) == (["source"], [["local"]])
    assert cost["cost_usd"] == cost["total"]["charged_usd"] == cost["rows"][0]["charged_usd"] > 0


async def test_cost_by_several_words_adds_up(running: httpx.AsyncClient):
    query = "by=month,service,billing&timezone=Asia/Kathmandu"
    cost = (await running.get(f"{API}/cost?{query}")).json()
    assert {row["key"][1] for row in cost["rows"]} == {"shop/feed", "shop/user", ""}
    assert sum(row["charged_usd"] for row in cost["rows"]) == pytest.approx(cost["total"]["charged_usd"])


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("by=host", "by"),
        ("by=day,month", "by"),
        ("timezone=Mars/Olympus", "timezone"),
        ("from=yesterday", "from"),
        ("to=2026-01-01T00:07", "to"),
        ("from=2026-02&to=2026-01", "to"),
        ("by=hour&from=1990", "from"),
        ("by=hour&from=1990-01", "by"),
    ],
)
async def test_a_question_about_costs_that_makes_no_sense(running: httpx.AsyncClient, query: str, path: str):
    answer = await running.get(f"{API}/cost?{query}")
    assert answer.status_code == 422
    assert path in {problem["path"] for problem in answer.json()["error"]["problems"]}


async def test_metrics_tell_the_same_as_the_endpoints(running: httpx.AsyncClient):
    text = (await running.get("/metrics")).text
    assert 'dcp_target_instances{application="shop",service="feed"} 2.0' in text
    assert 'dcp_instances{application="shop",service="feed",state="serving"} 2.0' in text
    assert 'dcp_instances{application="shop",service="feed",state="draining"} 0.0' in text
    assert 'dcp_hosts{kind="private",source="local",state="ready"}' in text
    assert 'dcp_leases_held{controller="c-1"}' in text
    assert 'dcp_faults{controller="c-1"} 0.0' in text
    assert 'dcp_cost_usd_total{billing="per-second",cluster="",source="local"}' in text
    assert 'dcp_price_usd_per_hour{billing="per-second",cluster="",source="local",state="running"} 7.2' in text
    named = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    helped = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP") and len(line.split()) > 3]
    assert named == helped


async def test_an_application_is_removed(running: httpx.AsyncClient):
    answer = await running.delete(f"{API}/applications/shop")
    assert (answer.status_code, answer.json()) == (202, {"application": "shop", "removing": True})

    async def gone() -> bool:
        return (await running.get(f"{API}/applications/shop")).status_code == 404

    await until(gone)
    assert (await running.get(f"{API}/instances")).json() == {"instances": []}
    ended = (await running.get(f"{API}/instances?all=true")).json()["instances"]
    assert {i["state"] for i in ended} == {"stopped"}


async def test_the_description_names_the_shape_of_every_error_and_answer(api: httpx.AsyncClient):
    description = (await api.get(OPENAPI)).json()
    assert description["openapi"].startswith("3.")
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (path, method)
            for status in ("401", "404", "409", "422", "500", "503"):
                (content,) = operation["responses"][status]["content"].values()
                assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}, (path, method, status)
    for shape in description["components"]["schemas"].values():
        assert shape["type"] in ("object", "string")


async def test_a_host_is_cordoned_used_again_and_drained(running: httpx.AsyncClient):
    host = (await running.get(f"{API}/hosts")).json()["hosts"][0]["id"]
    url = f"{API}/hosts/{host}"
    assert (await running.post(f"{url}/cordon")).json() == {
        "id": host,
        "state": "cordoned",
        "reason": "by-person",
        "leave_by": None,
    }
    assert (await running.get(f"{API}/hosts")).json()["hosts"][0]["state"] == "cordoned"
    assert (await running.post(f"{url}/uncordon")).json()["state"] == "ready"
    refused = await running.post(f"{url}/drain", json={"within_s": -1})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid-input")
    drained = (await running.post(f"{url}/drain", json={"within_s": 30})).json()
    assert drained["state"] == "cordoned" and drained["leave_by"] > 0
    assert (await running.post(f"{API}/hosts/nowhere/cordon")).status_code == 404
    assert (await running.get(f"{url}/log")).json()["tries"] == []
    assert (await running.get(f"{API}/hosts/nowhere/log")).status_code == 404
    events = (await running.get(f"{API}/events", params={"subject": f"host/{host}"})).json()["events"]
    assert [one["reason"] for one in events if one["after"] in ("cordoned",)][:2] == ["by-person", "by-person"]
