"""`dcp proxy bootstrap`: what an operator starts a proxy elsewhere with."""

import json
import subprocess

import pytest
from typer.testing import CliRunner

from dcp.cli.main import app
from dcp.drivers.balancers.envoy.proxy import envoy_binary

CONFIG = """
balancer:
  proxies:
    - {name: edge-1, listen_address: 10.1.0.21, status: "10.1.0.21:9901", workers: 2}
  xds: {addresses: ["10.1.0.2:18600", "controller.example:18600"]}
"""


@pytest.fixture
def words(tmp_path):
    (tmp_path / "dcp.yaml").write_text(CONFIG)
    return ["proxy", "bootstrap", "--config", str(tmp_path / "dcp.yaml"), "--state", str(tmp_path / "state")]


@pytest.mark.slow
def test_envoy_takes_what_is_printed(words, tmp_path):
    path = tmp_path / "edge-1.json"
    result = CliRunner().invoke(app, [*words, "--node", "edge-1", "--output", str(path)])
    assert result.exit_code == 0, result.output
    assert f"envoy -c {path} --concurrency 2" in result.stderr
    assert path.stat().st_mode & 0o077 == 0
    checked = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", path], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_every_call_makes_a_certificate_that_the_same_authority_signs(words):
    first, second = (json.loads(CliRunner().invoke(app, [*words, "--node", "edge-1"]).stdout) for _ in range(2))
    assert first != second
    assert first["node"]["id"] == second["node"]["id"] == "edge-1"
    trusted = [str(one).split("trusted_ca")[1][:400] for one in (first, second)]
    assert trusted[0] == trusted[1]


def test_a_name_that_is_not_configured_changes_nothing(words, tmp_path):
    result = CliRunner().invoke(app, [*words, "--node", "edge-7"])
    assert result.exit_code == 2
    assert "edge-7" in result.stderr
    assert "edge-1" in result.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("balancer: {proxies: [{name: e, listen_address: edge.example, status: '10.0.0.1:1'}]}", "listen_address"),
        ("balancer: {proxies: [{name: e, listen_address: 10.0.0.1, status: '10.0.0.1'}]}", "status"),
        ("balancer: {proxies: [{name: e, listen_address: 10.0.0.1, status: '10.0.0.1:9'}]}", "xds.addresses"),
        ("balancer: {embedded: false}", "embedded"),
        ("balancer: {kind: haproxy, tls: [{port: 443, cert: a, key: b}]}", "kind envoy"),
    ],
)
def test_a_wrong_configuration_is_said_with_its_path(words, tmp_path, text, path):
    (tmp_path / "dcp.yaml").write_text(text)
    result = CliRunner().invoke(app, [*words, "--node", "e"])
    assert result.exit_code == 2
    assert path in result.stderr
