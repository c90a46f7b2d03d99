"""What is left out is said, and what says nothing new stays silent."""

import pytest
from compose_files import Written


@pytest.mark.parametrize(
    ("keys", "path", "words"),
    [
        ("environment: {A: $NOPE}", "environment.A", "the variable NOPE is not set; it is empty"),
        ("environment: [NOPE]", "environment.NOPE", "NOPE is not set where this file is read; it is left out"),
        ("environment: {PORT: 1}", "environment.PORT", "PORT is replaced"),
        ("container_name: x", "container_name", "left out"),
        ("volumes: [data:/data]", "volumes.0", "stays on its host"),
        ("cap_drop: [NET_RAW]", "cap_drop", "every capability"),
        ("tmpfs: /t:size=4m", "tmpfs", "left out"),
        ("network_mode: host\nx-dcp: {network: underlay}", "network_mode", "wins"),
        ("networks: [default]", "networks", "left out"),
        ("networks: {default: }", "networks", "left out"),
        ('ports: ["127.0.0.1:8080:80"]', "ports.0", "the address 127.0.0.1 is left out"),
        ("ports: [{target: 80, host_ip: 0.0.0.0}]", "ports.0", "the address 0.0.0.0 is left out"),
        ("expose: [80, 90]", "expose", "only 80 is used"),
        ("depends_on: {b: {condition: service_started, restart: true}}", "depends_on.b.restart", "left out"),
        ("depends_on: {b: {condition: service_healthy}}", "depends_on.b", "b has no health check"),
        ("healthcheck: {interval: 5s}", "healthcheck", "there is no test"),
        ("healthcheck: {test: x, start_interval: 5s}", "healthcheck.start_interval", "left out"),
        ("deploy: {update_config: {failure_action: rollback}}", "deploy.update_config.failure_action", "rollback"),
        ("deploy: {rollback_config: {order: stop-first}}", "deploy.rollback_config.order", "rollback"),
        ("restart: no\ndeploy: {restart_policy: {condition: any}}", "restart", "wins"),
        ("x-dcp: {elastic: {max: 5}}", "x-dcp.elastic", "is not scaled"),
        (
            "deploy: {resources: {limits: {cpus: 1}, reservations: {cpus: 0.5}}}",
            "deploy.resources.reservations.cpus",
            "differs",
        ),
        ("mem_limit: 64m\nmem_reservation: 32m", "mem_reservation", "differs"),
    ],
)
def test_a_warning_names_the_path(written: Written, keys: str, path: str, words: str) -> None:
    warnings = written.warnings(keys)
    assert list(warnings) == [f"services.a.{path}"]
    assert words in warnings[f"services.a.{path}"]
    assert warnings[f"services.a.{path}"].startswith("line ")


@pytest.mark.parametrize(
    "keys",
    [
        "privileged: false",
        "volumes: []",
        "networks:",
        "cap_add: []\nread_only: false\nuser: ''",
        "x-anything: {goes: [here]}",
        "deploy: {x-note: 1, resources: {x-note: 2}}",
        "ports: [{target: 80, name: web, app_protocol: http}]",
        "depends_on: {b: {condition: service_started, restart: false}}",
        "restart: always\ndeploy: {restart_policy: {condition: any}}",
        "x-dcp: {elastic: {max: 5}, capacity: {units_per_s: 1, requests_per_s: 1}}",
    ],
)
def test_what_asks_for_nothing_is_not_worth_a_word(written: Written, keys: str) -> None:
    assert written.warnings(keys) == {}


def test_resources_that_are_not_stated_are_said(written: Written) -> None:
    found = {w.path: w.message for w in written.read("services: {a: {command: run}}").warnings}
    message = "line 1: does not state cpus (0.25 CPU is used) and memory (128 MiB is used)"
    assert found == {"services.a.deploy.resources.limits": message}


def test_the_top_of_the_file_is_warned_about_too(written: Written) -> None:
    text = "version: '3'\nvolumes: {data: }\nservices: {a: {command: run, cpus: 1, mem_limit: 1g}}\n"
    assert [w.path for w in written.read(text).warnings] == ["version", "volumes"]


def test_warnings_of_environment_files_name_file_and_line(written: Written) -> None:
    written.file(".env", "A=$NOPE\n")
    written.file("app.env", "B=1\nC=$ALSO_NOPE\n")
    text = "services: {a: {command: run, cpus: 1, mem_limit: 1g, env_file: app.env}}\n"
    assert [w.path for w in written.read(text).warnings] == [".env:1", "app.env:2"]
