"""What clients of discovery get from a running engine: blocking queries, steps, tokens."""

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from api_world import SPEC, TOKEN, anonymous, serves, until

from dcp.api.app import create_app
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.orchestration.discovery.model import Limits

STEP_S = 0.3
LINGER_S = 0.25
READER = "only-for-reading"


@pytest.fixture
def context(context: Context) -> Context:
    context.settings = replace(context.settings, discovery=Limits(cut_share=0.2, step_s=STEP_S, linger_s=LINGER_S))
    return context


@pytest.fixture
async def running(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(context, TOKEN, READER)
    controller = asyncio.create_task(Controller(context, "here").run())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://dcp") as api:
        api.headers["Authorization"] = f"Bearer {TOKEN}"
        answer = await api.post("/api/v1/applications", json={"spec": SPEC})
        assert answer.status_code == 200, answer.text
        await until(lambda: serves(api))
        await until(lambda: counts(api, 2))
        yield api
    controller.cancel()
    await asyncio.gather(controller, return_exceptions=True)


async def entries(api: httpx.AsyncClient, **query: str) -> list[dict]:
    return (await api.get("/v1/health/service/shop.feed", params=query)).json()


async def counts(api: httpx.AsyncClient, wanted: int) -> bool:
    return len(await entries(api)) == wanted


async def scale(api: httpx.AsyncClient, replicas: int) -> None:
    feed, user = SPEC["services"]
    small = {"cpu_millis": 50, "memory_bytes": 8 << 20}
    spec = {"name": "shop", "services": [{**feed, "replicas": replicas, "resources": small}, {**user}]}
    assert (await api.post("/api/v1/applications", json={"spec": spec})).status_code == 200


async def test_every_view_shows_the_same_entries(running: httpx.AsyncClient):
    by_health = {(e["Service"]["Address"], e["Service"]["Port"]) for e in await entries(running, passing="1")}
    catalogue = (await running.get("/v1/catalog/service/shop.feed")).json()
    assert {(e["ServiceAddress"], e["ServicePort"]) for e in catalogue} == by_health
    keys = (await running.get("/v1/kv/upstreams/shop.feed/", params={"recurse": ""})).json()
    assert {key["Key"].rpartition("/")[2] for key in keys} == {f"{host}:{port}" for host, port in by_health}
    assert json.loads(base64.b64decode(keys[0]["Value"]))["weight"] == 1
    raw = await running.get(f"/v1/kv/{keys[0]['Key']}", params={"raw": ""})
    assert raw.json() == json.loads(base64.b64decode(keys[0]["Value"]))
    targets = (await running.get("/discovery/prometheus")).json()
    assert {t for group in targets if group["labels"]["__meta_dcp_service"] == "feed" for t in group["targets"]} == {
        f"{host}:{port}" for host, port in by_health
    }
    assert set((await running.get("/v1/catalog/services")).json()) == {"shop.feed", "shop.user"}
    assert (await running.get("/v1/agent/self")).json()["Config"]["Datacenter"] == "dcp"
    assert (await running.get("/v1/kv/upstreams/nobody/", params={"recurse": ""})).status_code == 404


async def test_a_blocked_query_answers_soon_after_the_change_and_not_before(running: httpx.AsyncClient):
    index = int((await running.get("/v1/health/service/shop.feed")).headers["X-Consul-Index"])
    query = {"index": str(index), "wait": "10s"}
    waiting = asyncio.create_task(running.get("/v1/health/service/shop.feed", params=query))
    elsewhere = asyncio.create_task(running.get("/v1/health/service/shop.user", params={**query, "wait": "1s"}))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await scale(running, 4)
    answer = await asyncio.wait_for(waiting, 10)
    assert int(answer.headers["X-Consul-Index"]) > index
    assert len(answer.json()) > 2
    await elsewhere


async def test_a_query_without_a_change_answers_when_its_time_is_over(running: httpx.AsyncClient):
    index = (await running.get("/v1/health/service/shop.user")).headers["X-Consul-Index"]
    began = time.monotonic()
    answer = await running.get("/v1/health/service/shop.user", params={"index": index, "wait": "300ms"})
    assert 0.3 <= time.monotonic() - began < 5
    assert answer.headers["X-Consul-Index"] == index


async def test_an_index_from_the_future_is_answered_at_once(running: httpx.AsyncClient):
    answer = await asyncio.wait_for(running.get("/v1/catalog/services", params={"index": "9999", "wait": "60s"}), 5)
    assert int(answer.headers["X-Consul-Index"]) < 9999


async def test_shrinking_goes_in_steps_and_nobody_is_stopped_while_clients_see_it(
    running: httpx.AsyncClient, context: Context
):
    await scale(running, 10)
    await until(lambda: counts(running, 10))
    runtime = context.runtimes.of("any")
    await scale(running, 2)
    seen = [10]
    while seen[-1] > 2:
        published = await entries(running)
        alive = runtime.running()
        assert {e["Service"]["ID"] for e in await entries(running)} <= alive | {e["Service"]["ID"] for e in published}
        assert {e["Service"]["ID"] for e in published} <= alive
        if len(published) != seen[-1]:
            seen.append(len(published))
        await asyncio.sleep(0.02)
    assert all(before - after <= max(1, 0.2 * before) for before, after in itertools.pairwise(seen))
    assert len(seen) >= 7


async def test_an_instance_answers_on_for_a_while_after_its_entry_is_gone(running: httpx.AsyncClient, context: Context):
    runtime = context.runtimes.of("any")
    before = {e["Service"]["ID"] for e in await entries(running)}
    await scale(running, 1)
    await until(lambda: counts(running, 1))
    began = time.monotonic()
    (left,) = before - {e["Service"]["ID"] for e in await entries(running)}
    while left in runtime.running():
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.01)
    assert time.monotonic() - began >= LINGER_S - 0.05


async def test_zombies_are_removed_and_counted(running: httpx.AsyncClient, context: Context):
    runtime = context.runtimes.of("any")
    (victim, *_) = [e["Service"]["ID"] for e in await entries(running)]
    runtime.crash(victim)
    await until(lambda: gone(running, victim))
    metrics = (await running.get("/metrics")).text
    assert "dcp_discovery_zombies_total 1.0" in metrics
    events = (await running.get("/api/v1/events", params={"subject": "service/shop/feed"})).json()["events"]
    assert [e for e in events if e["reason"] == "zombie-removed"]


async def gone(api: httpx.AsyncClient, instance: str) -> bool:
    return instance not in {e["Service"]["ID"] for e in await entries(api)}


async def test_a_person_may_let_all_go_at_once(running: httpx.AsyncClient):
    await scale(running, 10)
    await until(lambda: counts(running, 10))
    assert (await running.post("/api/v1/discovery/shop/nobody/allow")).status_code == 404
    assert (await running.post("/api/v1/discovery/shop/feed/allow")).json()["allow_all"] is True
    await scale(running, 2)
    seen = {10}
    while 2 not in seen:
        seen.add(len(await entries(running)))
        await asyncio.sleep(0.01)
    assert min(seen - {2}) > 2
    listed = (await running.get("/api/v1/discovery")).json()
    (feed,) = [one for one in listed["services"] if one["name"] == "shop.feed"]
    assert feed["allow_all"] is False


async def test_a_removed_application_leaves_nothing_published(running: httpx.AsyncClient):
    assert (await running.delete("/api/v1/applications/shop")).status_code == 202

    async def empty() -> bool:
        return (await running.get("/api/v1/discovery")).json()["services"] == []

    await until(empty)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"X-Consul-Token": READER}, {}),
        ({"Authorization": f"Bearer {READER}"}, {}),
        ({}, {"token": READER}),
        ({"X-Consul-Token": TOKEN}, {}),
    ],
)
async def test_the_token_for_reading_opens_discovery_only(context: Context, headers: dict, query: dict):
    transport = httpx.ASGITransport(create_app(context, TOKEN, READER))
    async with httpx.AsyncClient(transport=transport, base_url="http://dcp", headers=headers) as client:
        assert (await client.get("/v1/catalog/services", params=query)).status_code == 200
        assert (await client.get("/discovery/prometheus", params=query)).status_code == 200
        assert (await client.get("/api/v1/status", params=query)).status_code == 401
        for method, path in (
            ("PUT", "/v1/kv/upstreams/x"),
            ("PUT", "/v1/agent/service/register"),
            ("DELETE", "/v1/kv/"),
        ):
            refused = await client.request(method, path, params=query)
            assert (refused.status_code, refused.json()["error"]["message"]) == (403, "discovery is for reading only")


@pytest.mark.parametrize("query", [{}, {"token": "wrong"}, {"token": ""}])
async def test_discovery_refuses_without_a_token(context: Context, query: dict):
    async with anonymous(context) as client:
        for path in ("/v1/catalog/services", "/v1/kv/upstreams/", "/discovery/prometheus", "/v1/agent/self"):
            assert (await client.get(path, params=query)).status_code == 401


async def test_a_query_that_is_no_text_is_refused_and_is_no_fault(context: Context):
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request"}

    path = "/v1/catalog/services"
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"token=\xff\xfe", "headers": []}
    await create_app(context, TOKEN)(scope, receive, send)
    assert sent[0]["status"] == 401


async def test_where_discovery_is_off_clients_are_told(api: httpx.AsyncClient, context: Context):
    assert (await api.get("/v1/catalog/services")).status_code == 200
    context.settings = replace(context.settings, discovery=None)
    async with anonymous(context) as client:
        answer = await client.get("/v1/catalog/services", headers={"X-Consul-Token": TOKEN})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"index": "1", "wait": "soon"}, "wait"),
        ({"index": "-1"}, "index"),
        ({"dc": "elsewhere"}, "dc"),
        ({"filter": "Service.Port == 80"}, "filter"),
        ({"node-meta": "rack:7"}, "node-meta"),
    ],
)
async def test_what_would_change_the_answer_and_is_not_known_is_refused(
    running: httpx.AsyncClient, query: dict, path: str
):
    answer = await running.get("/v1/health/service/shop.feed", params=query)
    assert answer.status_code == 422
    assert [problem["path"] for problem in answer.json()["error"]["problems"]] == [path]


async def test_entries_are_chosen_by_tag(running: httpx.AsyncClient):
    assert len(await entries(running, tag="dcp", dc="dcp")) == 2
    assert await entries(running, tag="site=nowhere") == []


async def test_the_index_of_keys_never_goes_back_when_a_service_goes(running: httpx.AsyncClient):
    async def indices() -> list[int]:
        paths = ("/v1/kv/upstreams/", "/v1/kv/upstreams/shop.feed/", "/v1/health/service/shop.feed")
        answers = [await running.get(path, params={"recurse": ""}) for path in paths]
        return [int(answer.headers["X-Consul-Index"]) for answer in answers]

    before = await indices()
    assert (await running.delete("/api/v1/applications/shop")).status_code == 202
    for _ in range(40):
        after = await indices()
        assert all(old <= new for old, new in zip(before, after, strict=True))
        before = after
        await asyncio.sleep(0.05)
    assert (await running.get("/v1/kv/upstreams/", params={"recurse": ""})).status_code == 404
