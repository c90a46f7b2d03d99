"""What each honoured key means, in every form it has."""

import pytest
from compose_files import Written

from dcp.hosts.model import Resources
from dcp.orchestration.services.model import (
    Call,
    Capacity,
    Dependency,
    DependencyCondition,
    Elastic,
    HealthCheck,
    RestartCondition,
    RestartPolicy,
    UpdatePolicy,
)

MIB = 1024**2
SHELL = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        ("command: serve --name 'a b' $$HOME", ("serve", "--name", "a b", "$HOME")),
        ('command: ["serve", "a b"]', ("serve", "a b")),
        ("entrypoint: /bin/x -q\ncommand: [y]", ("/bin/x", "-q", "y")),
        ("image: shop/feed\nentrypoint: []\ncommand:", ()),
    ],
)
def test_command(written: Written, keys: str, command: tuple[str, ...]) -> None:
    assert written.service(keys).command == command


def test_environment_files_come_first_in_order_and_the_environment_wins(written: Written) -> None:
    written.file("one.env", "A=1\nB=1\nC=1\nGONE=1\n")
    written.file("two.env", "B=2\nC=2\nSEEN=$OUTSIDE\n")
    keys = """
        env_file: [one.env, {path: two.env}, {path: absent.env, required: false}]
        environment: {C: 3, D: true, E: 1.10, OUTSIDE: , GONE: , EMPTY: ""}
    """
    assert dict(written.service(keys, OUTSIDE="out").environment) == {
        "A": "1", "B": "2", "C": "3", "D": "true", "E": "1.10", "EMPTY": "", "OUTSIDE": "out", "SEEN": "out",
    }  # fmt: skip


def test_environment_as_a_list(written: Written) -> None:
    service = written.service("environment: [A=1, B=x=y, EMPTY=, OUTSIDE, NOPE]", OUTSIDE="out")
    assert service.environment == (("A", "1"), ("B", "x=y"), ("EMPTY", ""), ("OUTSIDE", "out"))


def test_dot_env_stands_behind_the_callers_environment(written: Written) -> None:
    written.file(".env", "A=file\nB=file\n")
    service = written.service("environment: {A: $A, B: $B}", A="caller")
    assert service.environment == (("A", "caller"), ("B", "file"))


def test_the_working_directory_is_beside_the_file(written: Written) -> None:
    assert written.service("").working_dir == str(written.folder)
    assert written.service("working_dir: ./app/../web").working_dir == str(written.folder / "web")
    assert written.service("working_dir: /srv").working_dir == "/srv"


@pytest.mark.parametrize(
    ("keys", "published", "target"),
    [
        ('ports: ["8080:80"]', 8080, 80),
        ('ports: ["80"]', None, 80),
        ("ports: [80]", None, 80),
        ('ports: ["8080:80/tcp"]', 8080, 80),
        ('ports: ["127.0.0.1:8080:80"]', 8080, 80),
        ('ports: ["[::1]:8080:80"]', 8080, 80),
        ('ports: ["::1:8080:80"]', 8080, 80),
        ('ports: ["127.0.0.1::80"]', None, 80),
        ("ports: [22:22]", 22, 22),
        ("ports: [{target: 80, published: '8080', protocol: tcp}]", 8080, 80),
        ("ports: [{target: 80}]", None, 80),
        ('expose: ["80/tcp"]', None, 80),
        ('ports: ["8080:80"]\nexpose: [90]', 8080, 80),
        ("ports: []", None, None),
    ],
)
def test_ports(written: Written, keys: str, published: int | None, target: int | None) -> None:
    service = written.service(keys)
    assert (service.published_port, service.target_port) == (published, target)


@pytest.mark.parametrize(
    ("keys", "condition"),
    [
        ("depends_on: [b]", DependencyCondition.STARTED),
        ("depends_on: {b: {condition: service_started}}", DependencyCondition.STARTED),
        ("depends_on: {b: {condition: service_healthy, required: false}}", DependencyCondition.HEALTHY),
    ],
)
def test_depends_on(written: Written, keys: str, condition: DependencyCondition) -> None:
    assert written.service(keys).depends_on == (Dependency("b", condition),)


def test_a_dependency_that_is_not_required_may_be_missing(written: Written) -> None:
    keys = "depends_on: {nobody: {condition: service_started, required: false}}"
    assert written.service(keys).depends_on == ()
    assert list(written.warnings(keys)) == ["services.a.depends_on.nobody"]


@pytest.mark.parametrize(
    ("keys", "health"),
    [
        ("", None),
        ("healthcheck: {test: check me}", HealthCheck((*SHELL, "check me"))),
        ('healthcheck: {test: ["CMD", "check", "me"]}', HealthCheck(("check", "me"))),
        ('healthcheck: {test: ["CMD-SHELL", "a || b"]}', HealthCheck((*SHELL, "a || b"))),
        ("healthcheck: {test: [NONE]}", None),
        ("healthcheck: {test: check, disable: true}", None),
        (
            "healthcheck: {test: x, interval: 1m30s, timeout: 500ms, retries: 5, start_period: 0s}",
            HealthCheck((*SHELL, "x"), "", 90.0, 0.5, 5, 0.0),
        ),
        ("x-dcp: {health: {http: /healthz}}", HealthCheck(http_path="/healthz")),
        (
            "healthcheck: {interval: 5s, retries: 9}\nx-dcp: {health: {http: /h, interval: 2s, timeout: 3s}}",
            HealthCheck(http_path="/h", interval_s=2.0, timeout_s=3.0, retries=9),
        ),
    ],
)
def test_health_checks(written: Written, keys: str, health: HealthCheck | None) -> None:
    assert written.service(keys).health == health


@pytest.mark.parametrize(
    ("keys", "resources"),
    [
        ("", Resources(250, 128 * MIB)),
        ("deploy: {resources: {limits: {cpus: '0.5', memory: 64M}}}", Resources(500, 64 * MIB)),
        ("deploy: {resources: {reservations: {cpus: 0.5, memory: 64M}}}", Resources(500, 64 * MIB)),
        (
            "deploy: {resources: {limits: {cpus: 1}, reservations: {cpus: 0.5, memory: 64M}}}",
            Resources(1000, 64 * MIB),
        ),
        ("cpus: 0.5\nmem_limit: 1g", Resources(500, 1024 * MIB)),
        ("mem_reservation: 1g", Resources(250, 1024 * MIB)),
        ("deploy: {resources: {limits: {cpus: 1.10}}}", Resources(1100, 128 * MIB)),
    ],
)
def test_resources(written: Written, keys: str, resources: Resources) -> None:
    assert written.service(keys).resources == resources


@pytest.mark.parametrize(
    ("keys", "replicas", "elastic"),
    [
        ("", 1, None),
        ("deploy: {replicas: 3}", 3, None),
        ("scale: 3", 3, None),
        ("scale: 3\ndeploy: {replicas: 3}", 3, None),
        ("deploy: {replicas: 0}", 0, None),
        ("x-dcp: {elastic: {max: 5}}", 1, Elastic(1, 5)),
        ("x-dcp: {elastic: {min: 2, max: 5}}", 2, Elastic(2, 5)),
        ("deploy: {replicas: 3}\nx-dcp: {elastic: {max: 5}}", 3, Elastic(3, 5)),
        (
            "deploy: {replicas: 3}\nx-dcp: {elastic: {min: 2, max: 5, safe: 3, fatal: 1.5}}",
            3,
            Elastic(2, 5, 3.0, 1.5),
        ),
    ],
)
def test_how_many(written: Written, keys: str, replicas: int, elastic: Elastic | None) -> None:
    service = written.service(keys)
    assert (service.replicas, service.elastic) == (replicas, elastic)


@pytest.mark.parametrize(
    ("keys", "restart"),
    [
        ("", RestartPolicy()),
        ("restart: no", RestartPolicy(RestartCondition.NONE)),
        ('restart: "no"', RestartPolicy(RestartCondition.NONE)),
        ("restart: always", RestartPolicy(RestartCondition.ANY)),
        ("restart: unless-stopped", RestartPolicy(RestartCondition.ANY)),
        ("restart: on-failure", RestartPolicy(RestartCondition.ON_FAILURE)),
        ("restart: on-failure:3", RestartPolicy(RestartCondition.ON_FAILURE, max_attempts=3)),
        (
            "deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 1m}}",
            RestartPolicy(RestartCondition.ON_FAILURE, 5.0, 3, 60.0),
        ),
        ("deploy: {restart_policy: {}}\nrestart: no", RestartPolicy()),
    ],
)
def test_restart(written: Written, keys: str, restart: RestartPolicy) -> None:
    assert written.service(keys).restart == restart


@pytest.mark.parametrize(
    ("keys", "update"),
    [
        ("", UpdatePolicy(1, True)),
        ("deploy: {update_config: {parallelism: 2, order: stop-first}}", UpdatePolicy(2, False)),
        ("deploy: {replicas: 4, update_config: {parallelism: 0}}", UpdatePolicy(4, True)),
        ("deploy: {update_config: {parallelism: 0}}\nx-dcp: {elastic: {max: 9}}", UpdatePolicy(9, True)),
    ],
)
def test_update(written: Written, keys: str, update: UpdatePolicy) -> None:
    assert written.service(keys).update == update


@pytest.mark.parametrize(
    ("text", "name"), [("SIGINT", "SIGINT"), ("int", "SIGINT"), ("2", "SIGINT"), ("15", "SIGTERM"), ("", "SIGTERM")]
)
def test_stop(written: Written, text: str, name: str) -> None:
    service = written.service(f'stop_signal: "{text}"\nstop_grace_period: 1m30s')
    assert (service.stop_signal, service.stop_grace_s) == (name, 90.0)
    assert written.service("stop_signal: 2").stop_signal == "SIGINT"


def test_placement(written: Written) -> None:
    keys = """
        deploy:
          placement:
            constraints: [node.labels.zone == a, "node.id!=h-1", node.source==private]
            max_replicas_per_node: 2
    """
    service = written.service(keys)
    assert service.constraints == ("node.labels.zone==a", "node.id!=h-1", "node.source==private")
    assert service.max_per_host == 2
    assert written.service("deploy: {placement: {max_replicas_per_node: 0}}").max_per_host is None


def test_labels(written: Written) -> None:
    keys = "labels: [a=1, b]\ndeploy: {labels: {a: 2, c: true}}"
    assert written.service(keys).labels == (("a", "2"), ("b", ""), ("c", "true"))
    assert list(written.warnings(keys)) == ["services.a.labels.a"]


def test_what_is_ours(written: Written) -> None:
    keys = """
        x-dcp:
          calls: {b: 0.4}
          capacity: {units_per_s: 300, requests_per_s: "44.5"}
          slow_threshold: 0.5s
    """
    service = written.service(keys)
    assert service.calls == (Call("b", 0.4),)
    assert service.capacity == Capacity(300.0, 44.5)
    assert service.slow_threshold_ms == 500
    assert written.service("").slow_threshold_ms == 1000


def test_variables_stand_for_numbers_and_flags_too(written: Written) -> None:
    keys = """
        ports: ["${OUT}:80"]
        deploy: {replicas: "${N}", resources: {limits: {cpus: "${CPUS:-0.5}", memory: "${SIZE}M"}}}
        healthcheck: {test: x, disable: "${OFF}"}
        x-dcp: {calls: {b: "${RATE}"}}
    """
    service = written.service(keys, OUT="8080", N="3", SIZE="64", OFF="yes", RATE="0.4")
    assert (service.published_port, service.replicas, service.health) == (8080, 3, None)
    assert service.resources == Resources(500, 64 * MIB)
    assert service.calls == (Call("b", 0.4),)


PROFILED = """
    services:
      web: {command: web}
      debug: {command: debug, profiles: [debug, all]}
      trace: {command: trace, profiles: [trace]}
"""


@pytest.mark.parametrize(
    ("profiles", "environment", "names"),
    [
        ((), {}, ["web"]),
        (("debug",), {}, ["web", "debug"]),
        (("all", "trace"), {}, ["web", "debug", "trace"]),
        (("*",), {}, ["web", "debug", "trace"]),
        ((), {"COMPOSE_PROFILES": "trace, nothing"}, ["web", "trace"]),
        (("debug",), {"COMPOSE_PROFILES": "trace"}, ["web", "debug"]),
    ],
)
def test_profiles(written: Written, profiles: tuple[str, ...], environment: dict[str, str], names: list[str]) -> None:
    spec = written.read(PROFILED, *profiles, **environment).spec
    assert [service.name for service in spec.services] == names


def test_the_name_is_given_or_the_files_or_the_folders(written: Written) -> None:
    text = "name: ${STAGE:-test}-shop\nservices: {a: {command: run, environment: [COMPOSE_PROJECT_NAME]}}\n"
    assert written.read(text).spec.name == "test-shop"
    assert written.read(text, COMPOSE_PROJECT_NAME="other").spec.name == "other"
    result = written.read(text, name="mine", COMPOSE_PROJECT_NAME="other")
    assert result.spec.name == "mine"
    assert result.spec.service("a").environment == (("COMPOSE_PROJECT_NAME", "mine"),)
    folder = written.folder / "_My Shop.2"
    folder.mkdir()
    assert Written(folder).read("services: {a: {command: run}}").spec.name == "myshop2"
