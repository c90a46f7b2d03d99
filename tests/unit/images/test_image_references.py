"""Names of images are read as container engines read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.images.model import ImageRef, is_digest, is_repository, is_tag

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("", "web", "", "")),
        ("web:1", ("", "web", "1", "")),
        ("shop/web:1.2-rc_1", ("", "shop/web", "1.2-rc_1", "")),
        ("registry.example.com/shop/web", ("registry.example.com", "shop/web", "", "")),
        ("registry.example.com:5000/web:1", ("registry.example.com:5000", "web", "1", "")),
        ("localhost/web", ("localhost", "web", "", "")),
        ("registry:5000/a/b/c:x", ("registry:5000", "a/b/c", "x", "")),
        ("[::1]:5000/web:1", ("[::1]:5000", "web", "1", "")),
        (f"shop/web@{DIGEST}", ("", "shop/web", "", DIGEST)),
        (f"registry:5000/web:1@{DIGEST}", ("registry:5000", "web", "1", DIGEST)),
        ("shop/a__b--c.d", ("", "shop/a__b--c.d", "", "")),
    ],
)
def test_a_name_is_taken_apart_and_written_again(text: str, parts: tuple[str, str, str, str]) -> None:
    ref = ImageRef.parse(text)
    assert (ref.registry, ref.repository, ref.tag, ref.digest) == parts
    assert str(ref) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "repository"),
        ("Web", "repository"),
        ("shop//web", "repository"),
        ("shop/web:", "tag"),
        ("shop/web:a b", "tag"),
        ("shop/web:" + "x" * 129, "tag"),
        ("shop/web@sha256:12", "digest"),
        ("shop/web@", "digest"),
        ("shop/-web", "repository"),
        ("a" * 256, "repository"),
        ("regi_stry.example.com/web", "registry"),
        ("registry:/web", "registry"),
        (" web", "repository"),
        ("http://registry/web", "registry"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        ImageRef.parse(text)
    assert repr(text) in str(caught.value)


def test_without_a_tag_latest_is_asked_for() -> None:
    assert ImageRef.parse("web").reference == "latest"
    assert ImageRef.parse("web:1").reference == "1"
    assert ImageRef.parse(f"web:1@{DIGEST}").reference == DIGEST


def test_pinning_keeps_the_tag_for_people() -> None:
    pinned = ImageRef.parse("registry:5000/shop/web").pin(DIGEST)
    assert str(pinned) == f"registry:5000/shop/web:latest@{DIGEST}"
    assert pinned.pinned
    assert not ImageRef.parse("web:1").pinned
    with pytest.raises(ValueError, match="digest"):
        ImageRef.parse("web").pin("latest")


def test_a_project_is_the_first_component() -> None:
    assert ImageRef.parse("registry:5000/shop/team/web").project == "shop"
    assert ImageRef.parse("web").project == ""


NAMES = st.from_regex(r"[a-z0-9]{1,4}([._-][a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,4}){0,2}", fullmatch=True)
TAGS = st.one_of(st.just(""), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True))
REGISTRIES = st.sampled_from(["", "localhost", "r.example.com", "r:5000", "10.0.0.1:5000"])


@given(NAMES, TAGS, st.sampled_from(["", DIGEST]), REGISTRIES)
def test_what_is_written_is_read_back(repository: str, tag: str, digest: str, registry: str) -> None:
    ref = ImageRef(repository, tag, digest, registry)
    head, slash, _ = repository.partition("/")
    if not registry and slash and "." in head:
        return  # that name means a registry
    assert ImageRef.parse(str(ref)) == ref


@given(st.text(max_size=40))
def test_any_text_is_an_image_or_a_value_error(text: str) -> None:
    try:
        ref = ImageRef.parse(text)
    except ValueError:
        return
    assert is_repository(ref.repository)
    assert not ref.tag or is_tag(ref.tag)
    assert not ref.digest or is_digest(ref.digest)
    assert str(ref) == text
