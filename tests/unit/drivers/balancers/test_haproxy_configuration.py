"""What HAProxy is started with: HAProxy itself finds it valid, and every choice that keeps requests safe is there."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.haproxy_program import require_haproxy
from dcp.drivers.balancers.haproxy.configuration import BANDS, common, section, server_words
from dcp.drivers.balancers.haproxy.proxy import find_binary
from dcp.kernel.errors import Unavailable
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import DEFAULT_WEIGHT, Endpoint, Route

ONE = Endpoint("feed-1", "127.0.0.1", 20001)
ROUTE = Route(ServiceKey("00", "feed"), 18111)


def test_haproxy_finds_it_valid_without_a_warning(tmp_path: Path):
    require_haproxy()
    served = tmp_path / "served"
    served.mkdir()
    (tmp_path / "common.cfg").write_text(common(2, 300))
    (served / "00:feed.cfg").write_text(section(ROUTE, (ONE, replace(ONE, instance_id="feed-2", draining=True)), "s"))
    (served / "z:user.cfg").write_text(section(Route(ServiceKey("z", "user"), 18112, "::1"), (), "s"))
    words = [find_binary(None), "-c", "-C", tmp_path, "-f", "common.cfg", "-f", "served"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr and "[ALERT]" not in done.stderr


def test_a_draining_endpoint_is_a_server_of_no_weight():
    assert "weight 0 " in server_words(replace(ONE, draining=True))
    assert f"weight {DEFAULT_WEIGHT} " in server_words(ONE)
    assert "weight 256 " in server_words(replace(ONE, weight=256))


def test_an_address_of_version_6_is_not_taken_for_a_host_and_a_port():
    text = section(Route(ROUTE.service, 80, "::1"), (Endpoint("i", "fd00::2", 8080),), "s")
    assert "bind ipv6@::1:80 name [::1]:80" in text
    assert "server i:fd00::2:8080 ipv6@fd00::2:8080 " in text


def test_an_endpoint_that_is_named_twice_is_one_server():
    assert section(ROUTE, (ONE, ONE), "s").count("server feed-1:") == 1


def test_every_latency_falls_into_one_band():
    text = section(ROUTE, (), "s")
    tests = [line.split("-m int ")[1].rstrip(" }") for line in text.splitlines() if "sc_inc_gpc" in line]
    assert len(tests) == BANDS
    assert (tests[0], tests[1], tests[-1]) == ("le 10000", "10001:25000", "gt 10000000")


def test_a_program_that_is_too_old_or_none_is_said(tmp_path: Path):
    program = tmp_path / "haproxy"
    with pytest.raises(Unavailable, match=r"no program .*Debian package haproxy"):
        find_binary(str(program))
    program.write_text("#!/bin/sh\necho 'HAProxy version 2.4.22-1 2023/01/01'\n")
    program.chmod(0o700)
    with pytest.raises(Unavailable, match=r"is HAProxy 2\.4\.22-1, but 2\.6 or later"):
        find_binary(str(program))
    program.write_text("#!/bin/sh\necho 'HA-Proxy version 3.0.5 2024/09/19'\n")
    assert find_binary(str(program)) == program
