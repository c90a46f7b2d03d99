"""Tokens for clients of registries and notifications of registries: what the two doors ask for and answer."""

import base64
import datetime
import json
import time

import httpx
import jwt
import pytest
from api_world import anonymous, make_token_server
from cryptography import x509

from dcp.engine.context import Context
from dcp.engine.registry import people
from dcp.engine.registry.notifications import bearer_of
from dcp.images.access.model import AccountKind, Member, Role
from dcp.store import events, pushes

PASSWORD = "correct horse battery"
DIGEST = "sha256:" + "0" * 64
TOLD_AT = time.time() - 3600
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
async def client(context: Context):
    passwords = context.token_server.passwords
    await people.add_account(context, passwords, "ann", PASSWORD)
    await people.put_project(context, "shop", public=False)
    await people.put_project(context, "open", public=True)
    await people.put_member(context, Member("shop", "ann", Role.DEVELOPER))
    async with anonymous(context) as found:
        yield found


def basic(name: str = "ann", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def claims_of(context: Context, answer: httpx.Response) -> dict:
    """Check the token as a registry does: the key of its `kid` among the certificates."""
    assert answer.status_code == 200, answer.text
    text = answer.json()["access_token"]
    keys = {key.kid: key.certificate for key in await context.token_server.keyring.trusted()}
    certificate = x509.load_pem_x509_certificate(keys[jwt.get_unverified_header(text)["kid"]].encode())
    return jwt.decode(text, certificate.public_key(), ["ES256"], audience="dcp-registry", issuer="dcp")


async def reasons(context: Context) -> list[tuple[str, str]]:
    logged = await context.database.read(lambda c: events.newest(c, 100))
    return [(one.event.subject, one.event.reason) for one in logged]


async def test_a_token_says_who_for_whom_how_long_and_what(context: Context, client: httpx.AsyncClient):
    asked = {"service": "dcp-registry", "scope": "repository:shop/feed:pull,push,delete", "account": "ann"}
    answer = await client.get("/registry/token", params=asked, headers=basic())
    claims = await claims_of(context, answer)
    assert claims["sub"] == "ann"
    assert claims["access"] == [{"type": "repository", "name": "shop/feed", "actions": ["pull", "push"]}]
    assert claims["exp"] - claims["iat"] == 300 and claims["nbf"] == claims["iat"] and claims["jti"]
    body = answer.json()
    assert body["token"] == body["access_token"] and body["expires_in"] == 300
    assert body["issued_at"].endswith("Z") and "refresh_token" not in body
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("account/ann", "role-too-low") in await reasons(context)


async def test_several_scopes_in_several_parameters(context: Context, client: httpx.AsyncClient):
    query = "scope=repository:shop/feed:push&scope=repository:open/x:pull%20repository:other/x:pull"
    claims = await claims_of(context, await client.get(f"/registry/token?{query}", headers=basic()))
    assert [(one["name"], one["actions"]) for one in claims["access"]] == [
        ("shop/feed", ["push"]),
        ("open/x", ["pull"]),
    ]


async def test_nobody_gets_what_is_public_and_no_more(context: Context, client: httpx.AsyncClient):
    query = "scope=repository:open/x:pull,push&scope=repository:shop/feed:pull"
    claims = await claims_of(context, await client.get(f"/registry/token?{query}"))
    assert claims["sub"] == ""
    assert claims["access"] == [{"type": "repository", "name": "open/x", "actions": ["pull"]}]
    assert ("account/anonymous", "anonymous") in await reasons(context)


@pytest.mark.parametrize(
    "given",
    [
        ("ann", "wrong"),
        ("ann", ""),
        ("bob", PASSWORD),
        ("", ""),
        ("a\0b", "x"),
        ("á", "x"),
        ("dcp.host.h1", "1.x"),
        ("dcp.person.x", "x"),
        ("ann", "x" * 2000),
    ],
)
async def test_a_wrong_name_or_password_is_401_in_the_words_of_registries(context, client, given):
    answer = await client.get("/registry/token", headers=basic(*given))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    (error,) = answer.json()["errors"]
    assert error["code"] == "UNAUTHORIZED" and error["message"] == "wrong name or password"
    subject = "account/ann" if given[0] == "ann" else "registry"
    assert (subject, "wrong-password") in await reasons(context)


@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("scope=nonsense", None),
        ("service=other", None),
        ("&".join(["scope=repository:a:pull"] * 101), None),
        ("", "Basic ???"),
        ("", "Basic YW5u"),
        ("", "Bearer x"),
    ],
)
async def test_what_is_no_request_is_400(client: httpx.AsyncClient, query: str, header: str | None):
    answer = await client.get(f"/registry/token?{query}", headers={"Authorization": header} if header else {})
    assert answer.status_code == 400 and answer.json()["errors"][0]["code"] == "UNSUPPORTED"


async def test_wrong_passwords_of_an_account_from_an_address_are_slowed(context: Context, client: httpx.AsyncClient):
    for _ in range(10):
        assert (await client.get("/registry/token", headers=basic("ann", "wrong"))).status_code == 401
    answer = await client.get("/registry/token", headers=basic())
    assert answer.status_code == 429 and answer.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert (await client.get("/registry/token", headers=basic("bob", "wrong"))).status_code == 401, "others are not"
    assert [one for one in await reasons(context) if one[1] == "wrong-password"] == [
        ("account/ann", "wrong-password"),
        ("registry", "wrong-password"),
    ], "equal ones are told once a minute"


async def test_by_form_with_a_password_and_then_with_the_refresh_token(context: Context, client: httpx.AsyncClient):
    form = {"grant_type": "password", "username": "ann", "password": PASSWORD, "service": "dcp-registry"}
    form |= {"client_id": "test", "access_type": "offline", "scope": "repository:shop/feed:pull"}
    answer = await client.post("/registry/token", data=form)
    assert (await claims_of(context, answer))["sub"] == "ann"
    body = answer.json()
    assert body["scope"] == "repository:shop/feed:pull" and body["token_type"] == "Bearer" and "token" not in body
    again = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"], "scope": "repository:shop/x:push"}
    claims = await claims_of(context, await client.post("/registry/token", data=again))
    assert claims["access"] == [{"type": "repository", "name": "shop/x", "actions": ["push"]}]


async def refresh_token_of(client: httpx.AsyncClient) -> str:
    answer = await client.get("/registry/token?offline_token=true&client_id=docker", headers=basic())
    return answer.json()["refresh_token"]


async def test_a_refresh_token_ends_with_the_password_and_with_the_account(context: Context, client: httpx.AsyncClient):
    form = {"grant_type": "refresh_token", "refresh_token": await refresh_token_of(client)}
    await people.set_password(context, context.token_server.passwords, "ann", PASSWORD + "!")
    answer = await client.post("/registry/token", data=form)
    assert answer.status_code == 401 and answer.json()["errors"][0]["message"] == "the log-in has ended"
    assert (await client.get("/registry/token", headers=basic())).status_code == 401, "the old password is worthless"
    assert (await client.get("/registry/token", headers=basic(password=PASSWORD + "!"))).status_code == 200
    await people.remove_account(context, "ann")
    assert (await client.post("/registry/token", data=form)).status_code == 401


async def test_a_refresh_token_that_was_changed_is_worthless(client: httpx.AsyncClient):
    body, _, seal = (await refresh_token_of(client)).partition(".")
    name, service, until = json.loads(base64.urlsafe_b64decode(body + "=="))
    later = base64.urlsafe_b64encode(json.dumps([name, service, until + 1]).encode()).decode().rstrip("=")
    odd = base64.urlsafe_b64encode(b'[1,2,"x"]').decode()
    for text in (f"{later}.{seal}", body, f"{body}.", f"{body}.x", ".", "é.x", f"{odd}.{seal}", "e30.x", "W10.x"):
        answer = await client.post("/registry/token", data={"grant_type": "refresh_token", "refresh_token": text})
        assert answer.status_code == 401, text


@pytest.mark.parametrize(
    "form", [{}, {"grant_type": "authorization_code"}, {"grant_type": "refresh_token"}, {"grant_type": "password"}]
)
async def test_forms_that_ask_for_nothing_known(client: httpx.AsyncClient, form: dict[str, str]):
    assert (await client.post("/registry/token", data=form)).status_code == 400
    assert (await client.post("/registry/token", content=b"x" * 70_000)).status_code == 413


async def test_the_secret_of_a_robot_works_until_it_is_renewed(context: Context, client: httpx.AsyncClient):
    passwords = context.token_server.passwords
    robot = await people.add_robot(context, passwords, "robot.copy", AccountKind.REPLICATION)
    asked = "/registry/token?scope=repository:any/where:pull,push&scope=registry:catalog:*"
    claims = await claims_of(context, await client.get(asked, headers=basic("robot.copy", robot.secret)))
    assert [one["actions"] for one in claims["access"]] == [["pull", "push"], ["*"]]
    await people.renew_robot(context, passwords, "robot.copy")
    assert (await client.get(asked, headers=basic("robot.copy", robot.secret))).status_code == 401


async def test_dcp_makes_credentials_for_its_own_hosts_and_mirrors(context: Context, client: httpx.AsyncClient):
    identities = context.token_server.identities
    for kind, bound in ((AccountKind.HOST, "h1"), (AccountKind.MIRROR, "a"), (AccountKind.REPLICATION, "")):
        own = identities.own(kind, bound)
        claims = await claims_of(context, await client.get("/registry/token", headers=basic(own.name, own.password)))
        assert claims["sub"] == own.name == f"dcp.{kind}" + (f".{bound}" if bound else "")
        assert (await client.get("/registry/token", headers=basic("dcp.host.h2", own.password))).status_code == 401
        old = f"{int(own.password.partition('.')[0]) - 4000}.{own.password.partition('.')[2]}"
        assert (await client.get("/registry/token", headers=basic(own.name, old))).status_code == 401
        assert own.password not in repr(own)


def notification(number: int, action: str = "push", **target: object) -> dict:
    found = {"mediaType": MANIFEST, "digest": DIGEST, "size": 7, "repository": "shop/feed", "tag": "1", **target}
    when = datetime.datetime.fromtimestamp(TOLD_AT, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f789Z")
    return {"id": f"n-{number}", "timestamp": when, "action": action, "target": found, "actor": {"name": "ann"}}


async def test_what_a_registry_tells_is_kept_once_and_is_an_event(context: Context, client: httpx.AsyncClient):
    told = [
        notification(1),
        notification(2, "pull"),
        notification(3, "delete", tag="", mediaType=""),
        notification(4, mediaType="application/octet-stream"),
        notification(5, "mount"),
        notification(6, repository="Bad"),
        notification(7, digest="x"),
        notification(8, tag="bad tag"),
    ]
    headers = {"Authorization": f"Bearer {bearer_of(context.token_server.vault, 'a')}"}
    for _ in range(2):
        answer = await client.post("/registry/events", json={"events": told}, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"taken": 3})
    rows = [one.push for one in await context.database.read(lambda c: pushes.after(c, 0, 10))]
    assert [(row.action, row.site, row.repository, row.actor, row.size_bytes) for row in rows] == [
        (action, "a", "shop/feed", "ann", 7) for action in ("push", "pull", "delete")
    ]
    assert rows[0].at == pytest.approx(TOLD_AT, abs=1e-4)
    found = [one for one in await reasons(context) if one[0] == "image/shop/feed"]
    assert found == [("image/shop/feed", "pushed"), ("image/shop/feed", "deleted")]


async def test_only_a_registry_that_we_configured_is_heard(context: Context, client: httpx.AsyncClient):
    right = bearer_of(context.token_server.vault, "a.b")
    for header in (
        "",
        "Bearer",
        "Bearer x",
        f"Basic {right}",
        f"Bearer c{right[1:]}",
        f"Bearer {right}x",
        "Bearer \xe9.x",
    ):
        answer = await client.post(
            "/registry/events", json={"events": [notification(1)]}, headers={"Authorization": header.encode("latin-1")}
        )
        assert answer.status_code == 401, header
    assert await context.database.read(lambda c: pushes.after(c, 0, 10)) == ()
    good = {"Authorization": f"Bearer {right}"}
    assert (await client.post("/registry/events", json={"events": []}, headers=good)).json() == {"taken": 0}
    for content in (b"", b"{", b"[]", b'{"events": 1}', b'{"events": [1]}', b'{"events": [{"id": ""}]}'):
        assert (await client.post("/registry/events", content=content, headers=good)).status_code == 400, content
    many = {"events": [notification(number) for number in range(1001)]}
    assert (await client.post("/registry/events", json=many, headers=good)).status_code == 400
    assert await context.database.read(lambda c: pushes.after(c, 0, 10)) == ()
    odd = {"events": [{"id": "1"}, {"id": "2", "target": 1, "actor": [], "action": ["push"]}]}
    assert (await client.post("/registry/events", json=odd, headers=good)).json() == {"taken": 0}


async def test_what_the_token_server_cannot_do_is_503_in_the_words_of_registries(
    context: Context, client: httpx.AsyncClient, tmp_path
):
    assert (await client.get("/registry/token")).status_code == 200
    (tmp_path / "registry.secret").unlink()
    context.token_server = make_token_server(context.clock, context.database, tmp_path)
    answer = await client.get("/registry/token", headers=basic())
    assert answer.status_code == 503 and answer.json()["errors"][0]["code"] == "UNAVAILABLE"
    assert "registry.secret" in answer.json()["errors"][0]["message"]
    await context.token_server.keyring.follow(0.0)
    assert (await client.get("/registry/token", headers=basic())).status_code == 200, "with a key of the new secret"
    context.token_server = None
    assert (await client.get("/registry/token")).status_code == 503
