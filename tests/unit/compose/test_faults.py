"""Bad files: each fault is named by the path that the user sees, says what to do, and hides no other."""

from pathlib import Path

import pytest
from compose_files import Written, one_service

from dcp import compose
from dcp.kernel.errors import InvalidInput

# Keys of service `a`, and the paths below `services.a` that must be named, and no other.
QUIET = 'x-dcp: {quiet_hours: {from: "03:00", until: "05:00", %s}}'
DEGRADE = "x-dcp: {elastic: {max: 9}, capacity: {units_per_s: 4, requests_per_s: 1}, degrade: {%s}}"
FORECAST = "x-dcp: {elastic: {max: 9}, capacity: {units_per_s: 4, requests_per_s: 1}, forecast: {%s}}"
BRAKES = "x-dcp: {elastic: {max: 9}, capacity: {units_per_s: 4, requests_per_s: 1}, brakes: {%s}}"
TIMETABLE = "x-dcp: {elastic: {max: 9}, capacity: {units_per_s: 4, requests_per_s: 1}, timetable: [%s]}"

FAULTS: list[tuple[str, list[str]]] = [
    # shape and type
    ("image: 5", ["image"]),
    ("command: [sleep, 5]", ["command.1"]),
    ("command: {a: b}", ["command"]),
    ("command: say 'hello", ["command"]),
    ("environment: 5", ["environment"]),
    ("environment: {A: [1]}", ["environment.A"]),
    ("environment: [A=1, 5]", ["environment.1"]),
    ('environment: ["=x"]', ["environment"]),
    ("working_dir: 5", ["working_dir"]),
    ("profiles: debug", ["profiles"]),
    ("labels: [5]", ["labels.0"]),
    ("deploy: 5", ["deploy"]),
    # variables
    ("environment: {A: '${'}", ["environment.A"]),
    ("environment: {A: '${B:?say it}', C: '${B/x}'}", ["environment.A", "environment.C"]),
    # environment files
    ("env_file: absent.env", ["env_file"]),
    ("env_file: [{path: absent.env}]", ["env_file.0"]),
    ("env_file: [{required: false}]", ["env_file.0.path"]),
    ("env_file: [{path: absent.env, required: maybe}]", ["env_file.0.required"]),
    ("env_file: [{path: absent.env, format: json}]", ["env_file.0.format"]),
    ("env_file: .", ["env_file"]),
    ("env_file: 5", ["env_file"]),
    # ports
    ('ports: ["3000-3005"]', ["ports.0"]),
    ('ports: ["8080:80/udp"]', ["ports.0"]),
    ('ports: ["http"]', ["ports.0"]),
    ("ports: [5.5]", ["ports.0"]),
    ("ports: [{published: 80}]", ["ports.0.target"]),
    ("ports: [{target: 80, published: 8000-9000}]", ["ports.0.published"]),
    ("ports: [{target: 80, protocol: udp}]", ["ports.0.protocol"]),
    ("ports: [{target: 80, mode: sideways}]", ["ports.0.mode"]),
    ("ports: [{target: 80, colour: red}]", ["ports.0.colour"]),
    ('ports: ["8080:80", "8443:443"]', ["ports.1"]),
    ('ports: ["10.0.0.7:8080:80"]', ["ports.0"]),
    ('ports: ["70000:80"]', ["ports"]),
    ('ports: ["0:80"]', ["ports"]),
    ("expose: [http]", ["expose.0"]),
    # dependencies
    ("depends_on: [nobody]", ["depends_on.nobody"]),
    ("depends_on: [a]", ["depends_on.a"]),
    ("depends_on: {b: }", ["depends_on.b"]),
    ("depends_on: {b: {}}", ["depends_on.b.condition"]),
    ("depends_on: {b: {condition: service_completed_successfully}}", ["depends_on.b.condition"]),
    ("depends_on: {b: {condition: service_started, after: 5s}}", ["depends_on.b.after"]),
    ("depends_on: b", ["depends_on"]),
    # health checks
    ("healthcheck: {test: [curl, localhost]}", ["healthcheck.test"]),
    ("healthcheck: {test: [CMD]}", ["healthcheck.test"]),
    ("healthcheck: {test: x, interval: soon}", ["healthcheck.interval"]),
    ("healthcheck: {test: x, interval: 0s, retries: 0}", ["healthcheck.interval", "healthcheck.retries"]),
    ("healthcheck: {test: x}\nx-dcp: {health: {http: /}}", ["x-dcp.health"]),
    ("healthcheck: {disable: true}\nx-dcp: {health: {http: /}}", ["x-dcp.health"]),
    ("x-dcp: {health: {interval: 1s}}", ["x-dcp.health.http"]),
    ("x-dcp: {health: {http: 'http://localhost/'}}", ["x-dcp.health.http"]),
    # deploy
    ("deploy: {mode: global}", ["deploy.mode"]),
    ("deploy: {endpoint_mode: dnsrr}", ["deploy.endpoint_mode"]),
    ("deploy: {replicas: many}", ["deploy.replicas"]),
    ("deploy: {replicas: -1}", ["deploy.replicas"]),
    ("deploy: {replicas: 1.5}", ["deploy.replicas"]),
    ("deploy: {replicas: true}", ["deploy.replicas"]),
    ("deploy: {replicas: 2}\nscale: 3", ["scale"]),
    ("deploy: {resources: {limits: {memory: 12Q}}}", ["deploy.resources.limits.memory"]),
    ("deploy: {resources: {limits: {cpus: half}}}", ["deploy.resources.limits.cpus"]),
    ("deploy: {resources: {limits: {cpus: 0}}}", ["deploy.resources.limits.cpus"]),
    ("deploy: {resources: {limits: {cpus: -1}}}", ["deploy.resources.limits.cpus"]),
    ("deploy: {resources: {limits: {pids: many}}}", ["deploy.resources.limits.pids"]),
    ("deploy: {resources: {limits: {cpus: 1}}}\ncpus: 2", ["cpus"]),
    ("deploy: {resources: {limits: {memory: 1g}}}\nmem_limit: 2g", ["mem_limit"]),
    ("deploy: {placement: {constraints: [node.role == manager]}}", ["deploy.placement.constraints.0"]),
    ("deploy: {placement: {constraints: [node.source==moon]}}", ["deploy.placement.constraints.0"]),
    ("deploy: {placement: {max_replicas_per_node: -1}}", ["deploy.placement.max_replicas_per_node"]),
    ("deploy: {restart_policy: {condition: sometimes}}", ["deploy.restart_policy.condition"]),
    (
        "deploy: {restart_policy: {delay: soon, tries: 5}}",
        ["deploy.restart_policy.tries", "deploy.restart_policy.delay"],
    ),
    ("deploy: {update_config: {order: random}}", ["deploy.update_config.order"]),
    ("deploy: {update_config: {failure_action: explode}}", ["deploy.update_config.failure_action"]),
    ("deploy: {rollback_config: {delay: soon}}", ["deploy.rollback_config.delay"]),
    ("restart: sometimes", ["restart"]),
    ("restart: always:3", ["restart"]),
    ("stop_signal: SIGNONE", ["stop_signal"]),
    ("stop_grace_period: soon", ["stop_grace_period"]),
    # what is refused
    ("privileged: true", ["privileged"]),
    ("build: .", ["build"]),
    # containers
    ("volumes: [./data:/data]", ["volumes.0"]),
    ("volumes: [data:data]", ["volumes.0"]),
    ("volumes: [/data]", ["volumes.0"]),
    ("volumes: [data:/data:rx]", ["volumes.0"]),
    ("volumes: [{type: tmpfs, target: /t, tmpfs: {mode: 7}}]", ["volumes.0.tmpfs.mode"]),
    ("volumes: [{type: npipe, target: /t}]", ["volumes.0.type"]),
    ("networks: [back]", ["networks"]),
    ("networks: {default: {aliases: [x]}}", ["networks"]),
    ("network_mode: none", ["network_mode"]),
    ("x-dcp: {network: overlay}", ["x-dcp.network"]),
    ("configs: [c]", ["configs"]),
    ("secrets: [s]", ["secrets.0"]),
    ("secrets: [{source: s, mode: rw}]", ["secrets.0.mode"]),
    ("extra_hosts: [db]", ["extra_hosts"]),
    ("extends: {service: b}", ["extends"]),
    ("comand: run", ["comand"]),
    # ours
    ("x-dcp: 5", ["x-dcp"]),
    ("x-dcp: {elastik: {max: 5}}", ["x-dcp.elastik"]),
    ("x-dcp: {x-note: 5}", ["x-dcp.x-note"]),
    ("x-dcp: {elastic: {min: 1}}", ["x-dcp.elastic.max"]),
    ("x-dcp: {elastic: {min: 0, max: 5}}", ["x-dcp.elastic.min"]),
    ("x-dcp: {elastic: {min: 3, max: 2}}", ["x-dcp.elastic.max"]),
    ("x-dcp: {elastic: {min: 2, max: 5}}\nscale: 1", ["scale"]),
    ("x-dcp: {elastic: {min: 2, max: 5}}\ndeploy: {replicas: 1}", ["deploy.replicas"]),
    ("cpus: 0\nmem_reservation: 0", ["cpus", "mem_reservation"]),
    ("healthcheck: {interval: 0s}\nx-dcp: {health: {http: /}}", ["healthcheck.interval"]),
    ("x-dcp: {elastic: {max: 5, safe: 1.1}}", ["x-dcp.elastic.safe"]),
    ("x-dcp: {elastic: {max: 5, fatal: 0.5}}", ["x-dcp.elastic.fatal"]),
    ("x-dcp: {signals: {q: {query: up, per_instance: 5}}}", ["x-dcp.signals.q"]),
    (
        "x-dcp: {elastic: {max: 9}, signals: {q: {query: '', per_instance: 0}}}",
        [f"x-dcp.signals.q.{key}" for key in ("query", "per_instance")],
    ),
    ("x-dcp: {elastic: {max: 9}, signals: {q: {query: up}}}", ["x-dcp.signals.q.per_instance"]),
    (TIMETABLE % "{instances: 3}", ["x-dcp.timetable.0.from", "x-dcp.timetable.0.until"]),
    (TIMETABLE % '{from: "19:00", until: "25:00", instances: 3}', ["x-dcp.timetable.0.until"]),
    (TIMETABLE % '{from: "19:00", until: "19:00", instances: 3}', ["x-dcp.timetable.0.until"]),
    (TIMETABLE % '{from: "24:00", until: "01:00", instances: 3}', ["x-dcp.timetable.0.from"]),
    (TIMETABLE % '{from: "19:00", until: "20:00"}', ["x-dcp.timetable.0"]),
    (TIMETABLE % '{from: "19:00", until: "20:00", instances: 3, requests_per_s: 9}', ["x-dcp.timetable.0"]),
    (TIMETABLE % '{from: "19:00", until: "20:00", instances: 3, days: [monday]}', ["x-dcp.timetable.0.days.0"]),
    (TIMETABLE % '{from: "19:00", until: "20:00", instances: 3, timezone: Mars}', ["x-dcp.timetable.0.timezone"]),
    (TIMETABLE % '{from: "19:00", until: "20:00", instances: 3, lead: 9d}', ["x-dcp.timetable.0.lead"]),
    (DEGRADE % "features: [], path: /off", ["x-dcp.degrade.features"]),
    (DEGRADE % "features: [a, a], path: /off", ["x-dcp.degrade.features"]),
    (DEGRADE % 'features: ["a b"], path: /off', ["x-dcp.degrade.features"]),
    (DEGRADE % "features: [a], path: off", ["x-dcp.degrade.path"]),
    (DEGRADE % "features: [a]", ["x-dcp.degrade.path"]),
    (DEGRADE % "features: [a], path: /off, after: 2d", ["x-dcp.degrade.after"]),
    (DEGRADE % "features: [a], path: /off, every: 25h", ["x-dcp.degrade.every"]),
    ("x-dcp: {degrade: {features: [a], path: /off}}", ["x-dcp.degrade"]),
    (FORECAST % "mode: guess", ["x-dcp.forecast.mode"]),
    (FORECAST % "ahead: 10s", ["x-dcp.forecast.ahead"]),
    (FORECAST % "ahead: 7h", ["x-dcp.forecast.ahead"]),
    ("x-dcp: {forecast: {mode: act}}", ["x-dcp.forecast"]),
    (QUIET % "window: 2h", ["x-dcp.quiet_hours.window"]),
    (QUIET % "every: 1s", ["x-dcp.quiet_hours.every"]),
    (QUIET % "instances: 0", ["x-dcp.quiet_hours.instances"]),
    (QUIET % "days: [monday]", ["x-dcp.quiet_hours.days.0"]),
    (QUIET % "timezone: Mars", ["x-dcp.quiet_hours.timezone"]),
    ('x-dcp: {quiet_hours: {until: "05:00"}}', ["x-dcp.quiet_hours.from"]),
    (BRAKES % "growth: 1", ["x-dcp.brakes.growth"]),
    (BRAKES % "growth: 2, growth_within: 0s", ["x-dcp.brakes.growth_within"]),
    (BRAKES % "blast_radius: 0", ["x-dcp.brakes.blast_radius"]),
    (BRAKES % "blast_radius: 20%", ["x-dcp.brakes.blast_radius"]),
    (BRAKES % "confirm_above: few", ["x-dcp.brakes.confirm_above"]),
    (BRAKES % "grow_cooldown: 2d", ["x-dcp.brakes.grow_cooldown"]),
    (BRAKES % "shrink_cooldown: 25h", ["x-dcp.brakes.shrink_cooldown"]),
    (BRAKES % "watchdog: perhaps", ["x-dcp.brakes.watchdog"]),
    (BRAKES % "budget: 3", ["x-dcp.brakes.budget"]),
    ("x-dcp: {brakes: {growth: 2}}", ["x-dcp.brakes"]),
    ('x-dcp: {timetable: [{from: "19:00", until: "20:00", instances: 3}]}', ["x-dcp.timetable.0"]),
    ("x-dcp: {calls: [b]}", ["x-dcp.calls"]),
    ("x-dcp: {calls: {b: often}}", ["x-dcp.calls.b"]),
    ("x-dcp: {calls: {b: 0}}", ["x-dcp.calls.b"]),
    ("x-dcp: {calls: {nobody: 1}}", ["x-dcp.calls.nobody"]),
    ("x-dcp: {capacity: {units_per_s: 1}}", ["x-dcp.capacity.requests_per_s"]),
    ("x-dcp: {capacity: {units_per_s: 1, requests_per_s: .nan}}", ["x-dcp.capacity.requests_per_s"]),
    ("x-dcp: {capacity: {units_per_s: 0, requests_per_s: 1}}", ["x-dcp.capacity.units_per_s"]),
    ("x-dcp: {slow_threshold: 400ms}", ["x-dcp.slow_threshold"]),
    ("x-dcp: {slow_threshold: slow}", ["x-dcp.slow_threshold"]),
    # several at once
    (
        "privileged: true\ncomand: x\ndepends_on: [nobody]\nports: [x]\ndeploy: {replicas: -1}",
        ["privileged", "comand", "depends_on.nobody", "ports.0", "deploy.replicas"],
    ),
]


@pytest.mark.parametrize(("keys", "paths"), FAULTS, ids=[keys for keys, _ in FAULTS])
def test_a_fault_of_a_service_is_named_by_its_path(written: Written, keys: str, paths: list[str]) -> None:
    assert sorted(written.faults(one_service(keys))) == sorted(f"services.a.{path}" for path in paths)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("services: {a: {command: x}, a: {command: y}}", ["services.a"]),
        ("services: {A: {command: x}}", ["services.A"]),
        ("services: {a.b: {command: x}}", ["services.a.b"]),
        ("services: {a: }", ["services.a.command"]),
        ("services: {a: [x], b: {command: x, depends_on: [a]}}", ["services.a"]),
        ("services: {}", ["services"]),
        ("services: [a]", ["services"]),
        ("services:\n  a: {command: x, profiles: [p]}\n", ["services"]),
        ("name: 5\nservices: {a: {command: x}}", ["name"]),
        ("name: My Shop\nservices: {a: {command: x}}", ["name"]),
        ("name: ${NOPE:?}\nservices: {a: {command: x}}", ["name"]),
        ("include: [other.yaml]\nservices: {a: {command: x}}", ["include"]),
        ("servces: {}\nservices: {a: {command: x}}", ["servces"]),
        ("x-dcp: {cluster: A b}\nservices: {a: {command: x}}", ["x-dcp.cluster"]),
        ("a: 1\nb: [", ["compose.yaml:2"]),
        ("- a", ["compose.yaml"]),
        ("", ["compose.yaml"]),
        (
            "services: {a: {command: x, depends_on: [p], x-dcp: {calls: {p: 1}}}, p: {command: x, profiles: [q]}}",
            ["services.a.depends_on.p", "services.a.x-dcp.calls.p"],
        ),
        (
            'services: {a: {command: x, ports: ["80:1"]}, b: {command: x, ports: ["80:1"]}}',
            ["services.b.ports"],
        ),
        (
            "services: {a: {command: x, depends_on: [b]}, b: {command: x, x-dcp: {calls: {a: 1}}}}",
            ["services.a.depends_on.b"],
        ),
        (
            "services: {a: {command: x, depends_on: [b]}, b: {command: x, scale: 0}}",
            ["services.a.depends_on.b"],
        ),
    ],
)
def test_a_fault_of_the_file_is_named_by_its_path(written: Written, text: str, paths: list[str]) -> None:
    assert sorted(written.faults(text)) == sorted(paths)


def test_a_cycle_is_spelt_out(written: Written) -> None:
    text = "services: {a: {command: x, depends_on: [b]}, b: {command: x, depends_on: [a]}}"
    assert written.faults(text)["services.a.depends_on.b"].endswith("in a circle: a → b → a")


def test_hints_say_what_can_be_chosen(written: Written) -> None:
    with pytest.raises(InvalidInput) as caught:
        written.read(one_service("x-dcp: {slow_threshold: 400ms, elastk: {}}"))
    assert {problem.path: problem.hint for problem in caught.value.problems} == {
        "services.a.x-dcp.elastk": "did you mean elastic?",
        "services.a.x-dcp.slow_threshold": "choose one of 10ms, 25ms, 50ms, 100ms, 200ms, 300ms, 500ms, 750ms, "
        "1000ms, 1500ms, 2000ms, 3000ms, 5000ms, 10000ms",
    }


def test_problems_have_lines_and_stand_in_their_order(written: Written) -> None:
    with pytest.raises(InvalidInput) as caught:
        written.read("services:\n  a:\n    command: x\n    scale: -1\n    privileged: true\n  b:\n    image: 5\n")
    assert [(p.path, p.message.split(":")[0]) for p in caught.value.problems] == [
        ("services.a.scale", "line 4"),
        ("services.a.privileged", "line 5"),
        ("services.b.image", "line 7"),
    ]
    assert str(caught.value).startswith("compose.yaml: 3 problems: ")


def test_faults_of_environment_files_name_file_and_line(written: Written) -> None:
    written.file(".env", "A=1\nwhat is this\n")
    written.file("app.env", "A='open\n")
    assert sorted(written.faults("services: {a: {command: x, env_file: app.env}}")) == [".env:2", "app.env:1"]
    (written.folder / "app.env").write_bytes(b"\xff")
    assert "services.a.env_file" in written.faults("services: {a: {command: x, env_file: app.env}}")


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    for name in ("absent.yaml", ".", "latin.yaml"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            compose.read(tmp_path / name, environment={})


def test_the_value_of_a_secret_is_in_no_message(written: Written) -> None:
    keys = "environment: {A: '${DB_PASSWORD}${', B: ['${DB_PASSWORD}']}"
    assert "hunter2" not in str(written.faults(one_service(keys), DB_PASSWORD="hunter2"))
