"""Where instances are told to find the balancer."""

import pytest

from dcp.engine.service import http_url
from dcp.engine.settings import EngineSettings


@pytest.mark.parametrize(
    ("settings", "site", "address"),
    [
        (EngineSettings(), "", "127.0.0.1"),
        (EngineSettings(listen_address="0.0.0.0"), "a", "127.0.0.1"),
        (EngineSettings(listen_address="10.0.0.5"), "a", "10.0.0.5"),
        (EngineSettings(listen_address="0.0.0.0", advertise_address="10.0.0.5"), "a", "10.0.0.5"),
        (EngineSettings(advertise_address="10.0.0.5", site_addresses=(("a", "10.1.0.5"),)), "a", "10.1.0.5"),
        (EngineSettings(advertise_address="10.0.0.5", site_addresses=(("a", "10.1.0.5"),)), "b", "10.0.0.5"),
    ],
)
def test_an_instance_finds_the_balancer_of_its_site(settings, site, address):
    assert settings.service_address(site) == address


def test_urls():
    assert http_url("10.0.0.5", 80) == "http://10.0.0.5:80"
    assert http_url("::1", 80) == "http://[::1]:80"
