"""The registry's part of dcp.yaml: sites fit together or are refused with their path."""

import pytest

from dcp.images.model import Site, SiteRole
from dcp.kernel.errors import InvalidInput
from dcp.settings.read import parse_settings

TWO = """
registry:
  name: registry.example.com:5000
  rate_limit_mbit: 80
  sites:
    - {name: east, url: "https://east.example.com/"}
    - {name: cloud, url: "http://10.0.0.1:5000", role: follower, follows: east, kind: harbor}
"""


def test_sites_are_read() -> None:
    registry = parse_settings(TWO, "dcp.yaml").registry
    assert registry.name == "registry.example.com:5000"
    assert registry.limits.rate_bytes_per_s == 10_000_000
    assert [one.site for one in registry.sites] == [
        Site("east", SiteRole.MASTER, "https://east.example.com"),
        Site("cloud", SiteRole.FOLLOWER, "http://10.0.0.1:5000", "east"),
    ]
    assert [one.kind for one in registry.sites] == ["distribution", "harbor"]


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("name: registry.example.com:5000", "name: ''", "one name"),
        ("name: registry.example.com:5000", "name: registry", "not the name of a registry"),
        ("name: east", "name: cloud", "two sites"),
        ("follows: east", "follows: west", "must name another site"),
        ("follows: east", "follows: cloud", "must name another site"),
        ("role: follower, ", "", "follows nobody"),
        ('"http://10.0.0.1:5000"', "ftp://x", "url"),
        ('"http://10.0.0.1:5000"', '"http://user:secret@x"', "url"),
        ("kind: harbor", "username: dcp", "together"),
        ("rate_limit_mbit: 80", "rate_limit_mbit: 0", "rate_limit_mbit"),
        ("rate_limit_mbit: 80", "protected_tags: ['a b']", "not a tag"),
        ("rate_limit_mbit: 80", "speed: 1", "speed"),
    ],
)
def test_a_wrong_registry_says_where(old: str, new: str, word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_settings(TWO.replace(old, new), "dcp.yaml")
    text = str(caught.value)
    assert "registry" in text
    assert word in text


def test_followers_alone_take_no_pushes() -> None:
    text = TWO.replace('    - {name: east, url: "https://east.example.com/"}\n', "").replace("east", "cloud2")
    text += '    - {name: cloud2, url: "http://x:1", role: follower, follows: cloud}\n'
    with pytest.raises(InvalidInput, match="must be a master"):
        parse_settings(text, "dcp.yaml")
