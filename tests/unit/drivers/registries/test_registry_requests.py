"""What the driver asks of a registry and makes of its answers: tokens, passwords, redirects, pages, refusals."""

import base64
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from dcp.drivers.registries.distribution import Credentials, DistributionRegistry, RegistryAddress
from dcp.drivers.registries.distribution.challenges import Challenge, read_challenge
from dcp.drivers.registries.distribution.upload_state import at_offset
from dcp.images.manifests import OCI_MANIFEST, digest_of
from dcp.images.ports import Upload
from dcp.kernel.errors import DcpError, Denied, DriverError, NotFound, Rejected, Throttled, Unreachable

DIGEST = digest_of(b"x")
NOBODY = Credentials()
URL = "http://registry.example.com:5000"
BEARER = 'Bearer realm="http://tokens.example.com/token",service="r",scope="repository:shop/web:pull"'


async def streamed(content: bytes) -> AsyncIterator[bytes]:
    yield content


class StoppedClock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Answers:
    """A registry of recorded answers."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.asked: list[httpx.Request] = []
        self.clock = StoppedClock()
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answer(request)

    def registry(self, credentials: Credentials | Callable[[str], Credentials] = NOBODY) -> DistributionRegistry:
        address = RegistryAddress(URL, credentials)
        return DistributionRegistry(address, self.clock, transport=httpx.MockTransport(self))

    def tokens_asked(self) -> list[httpx.Request]:
        return [request for request in self.asked if request.url.path == "/token"]


def with_tokens(life_s: int = 300, **more: object) -> Answers:
    """A registry that wants a token for each scope."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            scopes = ",".join(request.url.params.get_list("scope"))
            return httpx.Response(200, json={"token": f"for {scopes}", "expires_in": life_s, **more})
        if not request.headers.get("authorization", "").startswith("Bearer for"):
            return httpx.Response(401, headers={"WWW-Authenticate": BEARER})
        return httpx.Response(200, headers={"Docker-Content-Digest": DIGEST})

    return Answers(answer)


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (BEARER, Challenge("bearer", "http://tokens.example.com/token", "r", "repository:shop/web:pull")),
        ('Basic realm="a \\"quoted\\" realm"', Challenge("basic", 'a "quoted" realm')),
        ('bearer realm="http://t", error="invalid_token"', Challenge("bearer", "http://t", error="invalid_token")),
        ("Negotiate", None),
        ("", None),
    ],
)
def test_challenges(header: str, challenge: Challenge | None) -> None:
    assert read_challenge(header) == challenge


async def test_a_token_is_fetched_once_for_a_scope_and_again_before_it_ends() -> None:
    answers = with_tokens(life_s=60)
    registry = answers.registry(Credentials("ann", "secret"))
    for _ in range(3):
        assert await registry.resolve("shop/web", "1") == DIGEST
    (asked,) = answers.tokens_asked()
    assert asked.url.params.get_list("scope") == ["repository:shop/web:pull"]
    assert asked.url.params["service"] == "r"
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"ann:secret").decode()
    await registry.resolve("shop/other", "1")
    assert len(answers.tokens_asked()) == 2
    answers.clock.at += 51.0
    await registry.resolve("shop/web", "1")
    assert len(answers.tokens_asked()) == 3
    assert len(answers.asked) == 3 + 5 + 1, "only the first request was refused"
    await registry.aclose()


async def test_nobody_asks_for_a_token_without_a_name_and_a_function_is_asked_each_time() -> None:
    answers = with_tokens()
    registry = answers.registry()
    await registry.resolve("shop/web", "1")
    assert "authorization" not in answers.tokens_asked()[0].headers
    await registry.aclose()
    answers, given = with_tokens(), iter(["one", "two"])
    registry = answers.registry(lambda realm: Credentials("dcp", next(given)))
    for repository in ("shop/web", "shop/other"):
        await registry.resolve(repository, "1")
    passwords = [base64.b64decode(one.headers["authorization"].split()[1]).decode() for one in answers.tokens_asked()]
    assert passwords == ["dcp:one", "dcp:two"]
    await registry.aclose()


async def test_a_mount_asks_for_both_repositories() -> None:
    answers = with_tokens()
    registry = answers.registry()
    with pytest.raises(DriverError, match="where an upload goes on"):
        await registry.begin_upload("shop/web", DIGEST, mount_from="base/os")
    scopes = answers.tokens_asked()[0].url.params.get_list("scope")
    assert scopes == ["repository:base/os:pull", "repository:shop/web:pull,push"]
    await registry.aclose()


async def test_a_token_that_is_refused_is_fetched_anew_and_then_denied() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "useless"})
        return httpx.Response(401, headers={"WWW-Authenticate": BEARER})

    answers = Answers(answer)
    registry = answers.registry()
    for _ in range(2):
        with pytest.raises(Denied):
            await registry.resolve("shop/web", "1")
    assert len(answers.asked) <= 7
    await registry.aclose()


@pytest.mark.parametrize(
    ("answer", "kind", "word"),
    [
        (httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'}), Denied, "401"),
        (httpx.Response(403, json={"errors": [{"code": "DENIED", "message": "no"}]}), Denied, "DENIED no"),
        (httpx.Response(404), NotFound, "has no shop/web"),
        (httpx.Response(429, headers={"Retry-After": "7"}), Throttled, "429"),
        (httpx.Response(500, text="oops"), DriverError, "oops"),
        (httpx.Response(418, json=["odd"]), Rejected, "418"),
        (httpx.Response(200, content=b"{}"), Rejected, "not supported"),
    ],
)
async def test_refusals_become_our_errors(answer: httpx.Response, kind: type[DcpError], word: str) -> None:
    registry = Answers(lambda _: answer).registry()
    with pytest.raises(kind, match=word) as caught:
        await registry.get_manifest("shop/web", "1")
    if isinstance(caught.value, Throttled):
        assert caught.value.delay_s == 7.0
    await registry.aclose()


async def test_a_registry_that_is_away_is_unreachable() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    registry = Answers(refuse).registry()
    with pytest.raises(Unreachable, match="refused"):
        await registry.resolve("shop/web", "1")
    await registry.aclose()


async def test_another_digest_than_asked_for_is_refused() -> None:
    registry = Answers(lambda _: httpx.Response(200, content=b'{"other": 1}')).registry()
    with pytest.raises(Rejected, match="other content"):
        await registry.get_manifest("shop/web", DIGEST)
    await registry.aclose()


async def test_what_is_elsewhere_is_not_told_who_we_are() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.example.com":
            return httpx.Response(200, content=streamed(b"x"))
        if "authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        if request.method == "POST":
            return httpx.Response(202, headers={"Location": "http://storage.example.com/up?a=1"})
        return httpx.Response(307, headers={"Location": "http://storage.example.com/blob"})

    answers = Answers(answer)
    registry = answers.registry(Credentials("ann", "secret"))
    assert b"".join([piece async for piece in registry.read_blob("shop/web", DIGEST)]) == b"x"
    upload = await registry.begin_upload("shop/web", DIGEST)
    with pytest.raises(DriverError):
        await registry.append_upload(upload, b"x")
    elsewhere = [request for request in answers.asked if request.url.host == "storage.example.com"]
    assert len(elsewhere) == 2
    assert not any("authorization" in request.headers for request in elsewhere)
    await registry.aclose()


async def test_a_registry_that_ignores_ranges_is_read_from_the_right_place() -> None:
    registry = Answers(lambda _: httpx.Response(200, content=streamed(b"0123456789"))).registry()
    assert b"".join([piece async for piece in registry.read_blob("shop/web", DIGEST, 4)]) == b"456789"
    await registry.aclose()


async def test_lists_go_over_pages_and_null_is_an_empty_list() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("tags/list"):
            return httpx.Response(200, json={"name": "shop/web", "tags": None})
        if request.url.params.get("last"):
            return httpx.Response(200, json={"repositories": ["c"]})
        link = '</v2/_catalog?last=b&n=500>; rel="next"'
        return httpx.Response(200, json={"repositories": ["a", "b"]}, headers={"Link": link})

    registry = Answers(answer).registry()
    assert [name async for name in registry.repositories()] == ["a", "b", "c"]
    assert await registry.tags("shop/web") == ()
    await registry.aclose()


async def test_deleting_where_it_is_off_says_so() -> None:
    registry = Answers(lambda _: httpx.Response(405)).registry()
    with pytest.raises(Rejected, match="deleting is off"):
        await registry.delete_manifest("shop/web", DIGEST)
    await registry.aclose()


async def test_a_registry_without_a_digest_header_is_asked_for_the_manifest() -> None:
    body = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"digest": DIGEST, "size": 1}, "layers": []}
    )
    registry = Answers(lambda _: httpx.Response(200, content=body.encode())).registry()
    assert await registry.resolve("shop/web", "1") == digest_of(body.encode())
    await registry.aclose()


def test_only_who_knows_the_secret_moves_an_upload() -> None:
    state = "sDcWQigqf25fK_wxfKxtHkiTkSwMatd572I09jtpUs17Ik5hbWUiOiJhL2IiLCJVVUlEIjoiMTJkYzlmZTAtMWM0MS00ZjQ5LTljOGMtZWQwNWM1Y2NlMDcyIiwiT2Zmc2V0IjoxMDAwLCJTdGFydGVkQXQiOiIyMDI2LTExLTIzVDAwOjE4OjAyWiJ9"  # noqa: E501
    location = f"http://127.0.0.1:45871/v2/a/b/blobs/uploads/12dc9fe0?_state={state}"
    moved = at_offset(location, "abc", 2000)
    assert moved is not None and moved != location
    assert at_offset(moved, "abc", 1000) is not None
    assert at_offset(location, "another secret", 2000) is None
    for odd in ("http://x/y", "http://x/y?_state=", "http://x/y?_state=%%%", "http://x/y?_state=YWJj"):
        assert at_offset(odd, "abc", 1) is None


def test_an_upload_that_is_kept_says_no_secret() -> None:
    assert "secret" not in repr(RegistryAddress(URL, Credentials("ann", "secret"), upload_secret="secret"))
    assert Upload("shop/web", DIGEST).offset_bytes == 0
