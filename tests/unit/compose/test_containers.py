"""What containers are given, from every form in which a Compose file may say it."""

import pytest

from dcp.kernel.errors import InvalidInput
from dcp.orchestration.services.container import (
    ContainerSpec,
    LogOptions,
    Mount,
    NetworkMode,
    Secret,
    SecretFile,
    VolumeKind,
)

FILE = """
secrets:
  password: {file: ./password.txt}
  token: {environment: API_TOKEN}
services:
  web:
    image: shop/web:1
    entrypoint: [/bin/web]
    command: [--listen, "80"]
    working_dir: /srv
    user: "1000:1000"
    read_only: true
    cap_drop: [ALL]
    cap_add: [CAP_NET_BIND_SERVICE, chown]
    init: true
    tmpfs: /tmp
    volumes:
      - data:/var/lib/data
      - /etc/ssl:/etc/ssl:ro
      - {type: tmpfs, target: /run, tmpfs: {size: 16M}}
    secrets:
      - password
      - {source: token, target: /etc/token, uid: "1000", gid: 7, mode: "0440"}
    logging: {driver: local, options: {max-size: 5m}}
    extra_hosts: ["db=10.0.0.7", "v6:[::1]"]
    network_mode: bridge
    cpus: 1
    deploy: {resources: {limits: {memory: 64M, pids: 100}}}
    ports: [{target: 80, published: 8080, mode: host}]
"""


@pytest.fixture
def web(written, tmp_path):
    (tmp_path / "password.txt").write_text("correct horse")
    return written.read(FILE, API_TOKEN="t-1").spec.service("web")


def test_every_key_of_a_container(web):
    assert web.container == ContainerSpec(
        network=NetworkMode.BRIDGE,
        host_port=8080,
        entrypoint=("/bin/web",),
        working_dir="/srv",
        user="1000:1000",
        read_only=True,
        cap_add=("CHOWN", "NET_BIND_SERVICE"),
        init=True,
        pids_limit=100,
        mounts=(
            Mount(VolumeKind.VOLUME, "/var/lib/data", "data"),
            Mount(VolumeKind.BIND, "/etc/ssl", "/etc/ssl", read_only=True),
            Mount(VolumeKind.TMPFS, "/run", size_bytes=16 << 20),
            Mount(VolumeKind.TMPFS, "/tmp"),
        ),
        secrets=(
            SecretFile("password", Secret("correct horse"), "/run/secrets/password"),
            SecretFile("token", Secret("t-1"), "/etc/token", 1000, 7, 0o440),
        ),
        logs=LogOptions("local", (("max-size", "5m"),)),
        extra_hosts=(("db", "10.0.0.7"), ("v6", "::1")),
    )


def test_a_command_begins_with_its_entrypoint(web):
    assert web.command == ("/bin/web", "--listen", "80")


def test_a_port_of_the_host_is_no_port_of_the_balancer(web):
    assert (web.published_port, web.target_port) == (None, 80)


def test_a_secret_is_never_printed(web):
    assert "horse" not in repr(web) + str(web.container.secrets[0].value)


def test_a_service_that_says_nothing_gets_the_hosts_network_and_no_rights(written):
    spec = written.read("services: {a: {image: x, cpus: 1, mem_limit: 1g}}").spec
    assert spec.service("a").container == ContainerSpec()


@pytest.mark.parametrize(
    ("secret", "path"),
    [
        ("{}", "secrets.s"),
        ("{file: a, environment: b}", "secrets.s"),
        ("{environment: NOPE}", "secrets.s.environment"),
        ("{file: absent.txt}", "secrets.s.file"),
        ("{external: true}", "secrets.s.external"),
        ("5", "secrets.s"),
    ],
)
def test_a_secret_without_a_value_is_a_fault(written, secret, path):
    text = f"secrets: {{s: {secret}}}\nservices: {{a: {{image: x, cpus: 1, mem_limit: 1g, secrets: [s]}}}}"
    with pytest.raises(InvalidInput) as error:
        written.read(text)
    assert path in {problem.path for problem in error.value.problems}
