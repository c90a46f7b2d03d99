"""A mirror gives nobody what the registry would not."""

import base64
import json
import time
from pathlib import Path

import pytest
from mirror_world import REPOSITORY, Upstream, auth, image_of, layer, mirror_at

from dcp.images.manifests import digest_of
from dcp.mirror.rights import token_end

MIB = 1 << 20


async def test_who_may_not_read_gets_the_registrys_own_challenge(tmp_path: Path) -> None:
    image = image_of(layer(MIB))
    async with Upstream(image).serve() as upstream, mirror_at(tmp_path / "m", upstream.url) as running:
        upstream.denied = {"", "guest"}
        await running.pull(image, token="friend")
        for token in ("", "guest"):
            for path in (f"manifests/{image.digest}", "manifests/v1", f"blobs/{digest_of(image.blobs[1])}"):
                url = f"{running.url}/v2/{REPOSITORY}/{path}"
                async with running.session.get(url, headers=auth(token)) as response:
                    assert response.status == 401
                    assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")


async def test_knowing_a_digest_opens_no_other_repository(tmp_path: Path) -> None:
    image = image_of(layer(MIB))
    async with Upstream(image).serve() as upstream, mirror_at(tmp_path / "m", upstream.url) as running:
        await running.pull(image, token="friend")
        upstream.denied = {"other"}
        url = f"{running.url}/v2/other/place/blobs/{digest_of(image.blobs[1])}"
        async with running.session.get(url, headers=auth("other")) as response:
            assert response.status == 401


async def test_the_registry_is_asked_once_for_each_reader(tmp_path: Path) -> None:
    image = image_of(layer(MIB), layer(MIB, 1), layer(MIB, 2))
    async with Upstream(image).serve() as upstream, mirror_at(tmp_path / "m", upstream.url) as running:
        await running.pull(image, token="first")
        before = upstream.asked.total()
        for _ in range(3):
            await running.pull(image, token="second")
        assert upstream.asked.total() == before + 1


async def test_a_word_holds_through_an_outage_for_those_who_had_it(tmp_path: Path) -> None:
    image = image_of(layer(MIB))
    async with (
        Upstream(image).serve() as upstream,
        mirror_at(tmp_path / "m", upstream.url, rights_s=0.0, tag_s=0.0) as running,
    ):
        await running.pull(image, token="friend")
        assert (await running.manifest("v1", token="friend")).status == 200
        upstream.down = True
        await running.pull(image, token="friend")
        assert (await running.manifest("v1", token="friend")).status == 200
        assert (await running.manifest(image.digest, token="stranger")).status == 503
        upstream.down, upstream.denied = False, {"friend"}
        assert (await running.manifest(image.digest, token="friend")).status == 401


def _token(claims: dict[str, object]) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"Bearer e30.{middle}.c2ln"


async def test_no_word_outlives_its_token(tmp_path: Path) -> None:
    image = image_of(layer(MIB))
    token = _token({"exp": time.time() - 1}).removeprefix("Bearer ")
    async with Upstream(image).serve() as upstream, mirror_at(tmp_path / "m", upstream.url) as running:
        await running.pull(image, token=token)
        upstream.down = True
        assert (await running.manifest(image.digest, token=token)).status == 503


@pytest.mark.parametrize("text", ["", "Basic abc", "Bearer x", "Bearer a.b.c", "Bearer a.e30.c", "Bearer a.W10.c"])
def test_a_token_that_names_no_end_has_none(text: str) -> None:
    assert token_end(text) == float("inf")


def test_the_end_that_a_token_names() -> None:
    assert token_end(_token({"exp": 1234})) == 1234.0
