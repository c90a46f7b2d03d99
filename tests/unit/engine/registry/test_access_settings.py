"""Whom dcp shows a password of its own accounts."""

import pytest

from dcp.engine.registry.settings import AccessSettings


@pytest.mark.parametrize(
    ("url", "realm", "ours"),
    [
        ("https://dcp.example.com", "https://dcp.example.com/registry/token", True),
        ("https://dcp.example.com/", "https://dcp.example.com/registry/token", True),
        ("https://dcp.example.com", "https://evil.example.com/registry/token", False),
        ("https://dcp.example.com", "http://dcp.example.com/registry/token", False),
        ("https://dcp.example.com", "", False),
        ("", "http://127.0.0.1:8700/registry/token", True),
        ("", "https://auth.example.com/token", False),
        ("", "", False),
    ],
)
def test_a_realm_is_ours_by_its_whole_address_where_that_is_known(url: str, realm: str, ours: bool):
    assert AccessSettings(url=url).is_realm(realm) == ours
