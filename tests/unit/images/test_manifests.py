"""Manifests are read in both families; anything else is refused with words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.images.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of, read_manifest

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def descriptor(digest: str, size: int = 10, **more: Any) -> dict[str, Any]:
    return {"mediaType": "application/x", "digest": digest, "size": size, **more}


def body_of(**document: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **document}).encode()


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_has_a_configuration_and_layers(media_type: str) -> None:
    layers = [descriptor(B, 100), descriptor(C, 1000), descriptor(B, 100)]
    body = body_of(mediaType=media_type, config=descriptor(A), layers=layers)
    manifest = read_manifest(body)
    assert manifest.digest == digest_of(body)
    assert [layer.digest for layer in manifest.layers] == [B, C, B]
    assert [blob.digest for blob in manifest.blobs] == [A, B, C], "each is moved once"
    assert manifest.content_bytes == len(body) + 10 + 100 + 1000


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_has_parts(media_type: str) -> None:
    platform = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    manifest = read_manifest(body_of(mediaType=media_type, manifests=[descriptor(A, platform=platform)]))
    assert [(part.digest, part.platform) for part in manifest.parts] == [(A, "linux/arm64/v8")]
    assert manifest.blobs == ()


def test_the_registry_says_the_type_where_the_manifest_does_not() -> None:
    body = body_of(config=descriptor(A), layers=[])
    assert read_manifest(body, "application/vnd.oci.image.manifest.v1+json; charset=utf-8").media_type == OCI_MANIFEST
    assert read_manifest(body).media_type == OCI_MANIFEST


def test_a_layer_that_no_registry_holds_is_left_out() -> None:
    layers = [descriptor(B, urls=["https://example.com/layer"]), descriptor(C)]
    manifest = read_manifest(body_of(mediaType=DOCKER_MANIFEST, config=descriptor(A), layers=layers))
    assert [layer.digest for layer in manifest.layers] == [C]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"\xff", "JSON"),
        (b"[]", "object"),
        (body_of(mediaType="text/plain"), "not supported"),
        (json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), "not supported"),
        (body_of(mediaType=OCI_MANIFEST, config=descriptor(A)), "layers"),
        (body_of(mediaType=OCI_MANIFEST, config=descriptor("sha256:1"), layers=[]), "digest"),
        (body_of(mediaType=OCI_MANIFEST, config=descriptor(A, size=-1), layers=[]), "size"),
        (body_of(mediaType=OCI_MANIFEST, layers=[]), "descriptor"),
        (body_of(mediaType=OCI_INDEX), "manifests"),
    ],
)
def test_what_cannot_be_copied_is_refused(body: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        read_manifest(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_manifest(body)
