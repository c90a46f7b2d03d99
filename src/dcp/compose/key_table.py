"""The table of keys: every key of the Compose specification and of `x-dcp`, and what dcp does with it.

Refused is the careful answer: identity, isolation, storage, network and limits that the user counts on are never
dropped with a shrug. `docs/compose.md` shows this table; `python -m dcp.compose.reference` writes it there.
"""

from dcp.compose.keys import Key, Treatment
from dcp.compose.yaml_text import Value


def _only_default_network(value: Value) -> bool:
    if isinstance(value, list):
        return value == ["default"]
    return isinstance(value, dict) and set(value) == {"default"} and not value["default"]


def _honoured(path: str, note: str) -> Key:
    return Key(path, Treatment.HONOURED, note)


def _note(path: str, note: str) -> Key:
    return Key(path, Treatment.NO_EFFECT, note)


def _left_out(path: str, note: str, hint: str = "") -> Key:
    return Key(path, Treatment.WARNED, note, hint)


def _refused(path: str, note: str, hint: str = "remove it") -> Key:
    return Key(path, Treatment.REFUSED, note, hint)


FILE_KEYS = (
    _honoured(
        "name", "name of the application; `--name` and `COMPOSE_PROJECT_NAME` go first, the folder's name comes last"
    ),
    _honoured("services", "the services of the application"),
    _left_out("version", "Compose itself ignores it", "remove it"),
    _left_out("networks", "a service that uses another network than `default` is refused", "remove it"),
    _left_out("volumes", "each host makes its volumes when they are needed, with its engine's own driver"),
    _honoured("x-dcp", "what is said of the application as a whole"),
    _honoured("x-dcp.cluster", "the business line whose hosts it uses; hosts of others are not touched"),
    _honoured("secrets", "values that services get as files"),
    _honoured("secrets.*.file", "a text file beside the Compose file, read when the file is applied"),
    _honoured("secrets.*.environment", "a variable of the caller, read when the file is applied"),
    _refused("secrets.*.external", "there is no store of secrets outside the file", "use file or environment"),
    _refused("secrets.*.driver", "there is no store of secrets outside the file", "use file or environment"),
    _refused("secrets.*.driver_opts", "there is no store of secrets outside the file", "use file or environment"),
    _refused("secrets.*.template_driver", "values are taken as they are", "use file or environment"),
    _note("secrets.*.name", "a note"),
    _note("secrets.*.labels", "a note"),
    _left_out("configs", "a service that uses a config is refused", "remove it"),
    _left_out("models", "a service that uses a model is refused", "remove it"),
    _refused("include", "other files are not read", "write all services into one file; YAML anchors keep it short"),
)

SERVICE_KEYS = (
    _honoured("image", "the image to run; the `process` runtime needs a `command` as well"),
    _honoured("command", "text is split as a shell would, without running a shell; a list is taken as it is"),
    _honoured("entrypoint", "stands in front of `command`"),
    _honoured("environment", "map or list; a name without a value takes the caller's, or is left out"),
    _honoured("env_file", "path or list of paths beside the Compose file; `environment` wins over it"),
    _honoured("working_dir", "relative to the Compose file's folder, which is also the default"),
    _honoured("ports", "one TCP port; the published one is where the balancer listens"),
    _honoured("expose", "the port inside a container, where `ports` does not say it"),
    _honoured("depends_on", "new instances take no traffic before what they depend on does"),
    _honoured("healthcheck", "an instance takes traffic once it is healthy"),
    _honoured("deploy", "how many, how large, where, and how they change"),
    _honoured("scale", "another word for `deploy.replicas`; both must agree"),
    _honoured(
        "restart", "`no`, `always`, `unless-stopped` (the same here), `on-failure[:n]`; `deploy.restart_policy` wins"
    ),
    _honoured("stop_grace_period", "time between the stop signal and the end of patience; 10 s if not stated"),
    _honoured("stop_signal", "`SIGTERM` if not stated"),
    _honoured("labels", "kept with the service, together with `deploy.labels`"),
    _honoured("profiles", "the service is left out unless one of them is active"),
    _honoured("cpus", "another word for `deploy.resources.limits.cpus`"),
    _honoured("mem_limit", "another word for `deploy.resources.limits.memory`"),
    _honoured("mem_reservation", "another word for `deploy.resources.reservations.memory`"),
    _honoured("x-dcp", "calls, scaling, capacity, slow requests, HTTP health checks and the network"),
    _honoured("user", "containers: user or `user:group` inside"),
    _honoured("read_only", "containers: the root file system cannot be written"),
    _honoured("cap_add", "containers: every capability is dropped but these"),
    _honoured("cap_drop", "containers: every capability is dropped anyway"),
    _honoured("init", "containers: a first process that collects what others leave behind"),
    _honoured("pids_limit", "containers: most processes and threads"),
    _honoured("network_mode", "containers: `host` (if not stated), or `bridge`; see `x-dcp.network`"),
    _honoured("volumes", "containers: named volumes of the host, absolute paths of the host, `tmpfs`"),
    _honoured("tmpfs", "containers: folders in memory; options are left out with a warning"),
    _honoured("secrets", "containers: files below /run/secrets"),
    _honoured("logging", "containers: the engine's log driver; bounded files if not stated"),
    _honoured("extra_hosts", "containers: further names in the hosts file"),
    _left_out("annotations", "nothing here reads them", "use labels"),
    _left_out("attach", "output goes to the instance's log", "see dcp logs"),
    _left_out("container_name", "there may be several instances; each has a name of its own", "remove it"),
    _left_out("develop", "files are not watched"),
    _left_out("domainname", "an instance keeps the name of its host"),
    _left_out("hostname", "an instance keeps the name of its host"),
    _left_out("pull_policy", "images are made present before instances start"),
    _left_out("pull_refresh_after", "images are made present before instances start"),
    _left_out("stdin_open", "instances have no input"),
    _left_out("tty", "instances have no terminal"),
    _refused("blkio_config", "disk bandwidth is not limited"),
    _refused("build", "images are not built", "build and push the image first, and state it under image"),
    _refused("cgroup", "the runtime chooses control groups"),
    _refused("cgroup_parent", "the runtime chooses control groups"),
    _refused("configs", "configs are not mounted", "use environment or env_file"),
    _refused("cpu_count", "processors are limited by share", "use deploy.resources.limits.cpus"),
    _refused("cpu_percent", "processors are limited by share", "use deploy.resources.limits.cpus"),
    _refused("cpu_period", "processors are limited by share", "use deploy.resources.limits.cpus"),
    _refused("cpu_quota", "processors are limited by share", "use deploy.resources.limits.cpus"),
    _refused("cpu_rt_period", "there is no real-time scheduling"),
    _refused("cpu_rt_runtime", "there is no real-time scheduling"),
    _refused("cpu_shares", "processors are limited by share", "use deploy.resources.limits.cpus"),
    _refused("cpuset", "instances are not bound to processors", "use deploy.resources.limits.cpus"),
    _refused("credential_spec", "Windows accounts are not supported"),
    _refused("device_cgroup_rules", "devices are not passed on"),
    _refused("devices", "devices are not passed on"),
    _refused("dns", "name resolution is the host's"),
    _refused("dns_opt", "name resolution is the host's"),
    _refused("dns_search", "name resolution is the host's"),
    _refused("extends", "services are not inherited", "write the service out; YAML anchors keep it short"),
    _refused("external_links", "there are no links between containers", "pass the address in environment"),
    _refused("gpus", "devices are not passed on"),
    _refused("group_add", "instances run as the user of the runtime"),
    _refused("ipc", "name spaces are not chosen per service"),
    _refused("isolation", "the runtime chooses the isolation"),
    _refused("label_file", "labels are not read from files", "write them under labels"),
    _refused("links", "there are no links between containers", "use depends_on and x-dcp.calls"),
    _refused("mac_address", "network cards are not configured"),
    _refused("mem_swappiness", "swapping is the host's", "use deploy.resources.limits.memory"),
    _refused("memswap_limit", "swapping is the host's", "use deploy.resources.limits.memory"),
    _refused("models", "models are not provided"),
    Key(
        "networks",
        Treatment.REFUSED,
        "all services share one network (naming only `default` brings a warning)",
        "remove it; services reach each other through the balancer",
        _only_default_network,
    ),
    _refused("oom_kill_disable", "an instance past its memory limit is ended"),
    _refused("oom_score_adj", "an instance past its memory limit is ended"),
    _refused("pid", "name spaces are not chosen per service"),
    _refused("platform", "an image runs on the platform of its host", "use deploy.placement.constraints"),
    _refused("post_start", "hooks are not run", "do it in the command"),
    _refused("pre_start", "hooks are not run", "do it in the command"),
    _refused("pre_stop", "hooks are not run", "do it on the stop signal"),
    _refused("privileged", "instances get no privileges"),
    _refused("provider", "services of other platforms are not started", "pass the address in environment"),
    _refused("runtime", "the runtime is chosen for the platform, not per service"),
    _refused("security_opt", "security profiles are the host's"),
    _refused("shm_size", "shared memory is the host's"),
    _refused("storage_opt", "storage is not limited"),
    _refused("sysctls", "kernel parameters are the host's"),
    _refused("ulimits", "process limits are the host's"),
    _refused("use_api_socket", "the engine's socket is not passed on"),
    _refused("userns_mode", "name spaces are not chosen per service"),
    _refused("uts", "name spaces are not chosen per service"),
    _refused("volumes_from", "nothing is mounted", "keep state outside the service"),
)

PORT_KEYS = (
    _honoured("ports.*.target", "the port inside a container; a process is given its port in `PORT`"),
    _honoured("ports.*.published", "where the balancer listens; a range is refused"),
    _honoured("ports.*.protocol", "`tcp`; `udp` is refused"),
    _honoured("ports.*.host_ip", "127.0.0.1 or 0.0.0.0, with a warning: the server chooses the address"),
    _honoured("ports.*.mode", "`ingress`: the balancer listens; `host`: containers have this port of their host"),
    _note("ports.*.name", "a note"),
    _note("ports.*.app_protocol", "a note; the balancer speaks HTTP"),
)

CONTAINER_KEYS = (
    _honoured("volumes.*.target", "absolute path in the container"),
    _honoured("volumes.*.type", "`volume`, `bind` or `tmpfs`"),
    _honoured("volumes.*.source", "the volume's name, or an absolute path of the host"),
    _honoured("volumes.*.read_only", "`true`: it cannot be written"),
    _honoured("volumes.*.tmpfs", "options of a `tmpfs`"),
    _honoured("volumes.*.tmpfs.size", "its bound"),
    _refused("volumes.*.tmpfs.mode", "a folder in memory belongs to everybody in the container"),
    _refused("volumes.*.bind", "a path of the host is mounted as it is"),
    _refused("volumes.*.volume", "a volume is mounted as a whole"),
    _refused("volumes.*.image", "images are not mounted"),
    _refused("volumes.*.consistency", "there is one consistency"),
    _honoured("secrets.*.source", "name of a secret of the file"),
    _honoured("secrets.*.target", "name of the file below /run/secrets, or an absolute path"),
    _honoured("secrets.*.uid", "owner of the file; 0 if not stated"),
    _honoured("secrets.*.gid", "group of the file; 0 if not stated"),
    _honoured("secrets.*.mode", "its mode; 0444 if not stated"),
    _honoured("logging.driver", "name of the engine's log driver"),
    _honoured("logging.options", "its options"),
)

PART_KEYS = (
    _honoured("env_file.*.path", "relative to the Compose file's folder"),
    _honoured("env_file.*.required", "`false`: the file may be missing"),
    _honoured("env_file.*.format", "`raw`: values as they are written"),
    _honoured("depends_on.*.condition", "`service_started` or `service_healthy`"),
    _honoured("depends_on.*.required", "`false`: the dependency may be missing; one that is there is waited for"),
    _left_out("depends_on.*.restart", "the balancer finds a dependency's new instances by itself"),
    _honoured("healthcheck.test", "text or `CMD-SHELL`: run by /bin/sh; `CMD`: run directly; `NONE`: no check"),
    _honoured("healthcheck.interval", "1 s if not stated (Compose: 30 s)"),
    _honoured("healthcheck.timeout", "1 s if not stated (Compose: 30 s)"),
    _honoured("healthcheck.retries", "3 if not stated"),
    _honoured("healthcheck.start_period", "30 s if not stated (Compose: 0 s)"),
    _honoured("healthcheck.disable", "`true`: no check"),
    _left_out("healthcheck.start_interval", "`interval` is used from the start"),
)

DEPLOY_KEYS = (
    _honoured("deploy.mode", "`replicated`; other modes are refused"),
    _honoured("deploy.endpoint_mode", "`vip`; `dnsrr` is refused"),
    _honoured("deploy.replicas", "instances at the start; 0 switches the service off"),
    _honoured("deploy.labels", "kept with the service; wins over `labels`"),
    _honoured("deploy.resources", "what one instance is placed with, and may not exceed"),
    _honoured("deploy.resources.limits", "used for placing and for enforcing"),
    _honoured("deploy.resources.limits.cpus", "0.25 if nothing is stated"),
    _honoured("deploy.resources.limits.memory", "128 MiB if nothing is stated"),
    _honoured("deploy.resources.limits.pids", "another word for `pids_limit`"),
    _honoured("deploy.resources.reservations", "used where `limits` is silent"),
    _honoured("deploy.resources.reservations.cpus", "used where `limits` is silent"),
    _honoured("deploy.resources.reservations.memory", "used where `limits` is silent"),
    _refused("deploy.resources.reservations.devices", "devices are not passed on", "count them with generic_resources"),
    _honoured("deploy.resources.reservations.generic_resources", "named resources of hosts, such as GPUs: counted"),
    _honoured("deploy.resources.reservations.generic_resources.*.discrete_resource_spec", "one of them"),
    _honoured("deploy.resources.reservations.generic_resources.*.discrete_resource_spec.kind", "its name"),
    _honoured(
        "deploy.resources.reservations.generic_resources.*.discrete_resource_spec.value",
        "how many pieces one instance takes; 1 if not stated",
    ),
    _honoured("deploy.placement", "where instances may stand"),
    _honoured("deploy.placement.constraints", "`node.labels.KEY`, `node.id`, `node.source` with `==` or `!=`"),
    _honoured("deploy.placement.max_replicas_per_node", "instances of the service on one host; 0: no bound"),
    _honoured("deploy.placement.preferences", "instances are spread evenly over domains, the first outermost"),
    _honoured("deploy.placement.preferences.*.spread", "`node.labels.KEY`: the label that names the domains"),
    _honoured("deploy.restart_policy", "when an ended instance is replaced"),
    _honoured("deploy.restart_policy.condition", "`none`, `on-failure`, `any`"),
    _honoured("deploy.restart_policy.delay", "first back-off, doubled each time; 1 s if not stated (Compose: 0 s)"),
    _honoured("deploy.restart_policy.max_attempts", "failures within `window` after which dcp gives up; 0: never"),
    _honoured("deploy.restart_policy.window", "2 minutes if not stated"),
    _honoured("deploy.update_config", "how a change reaches running instances"),
    _honoured("deploy.update_config.parallelism", "instances at a time; 0: all"),
    _honoured("deploy.update_config.order", "`start-first` if not stated (Compose: `stop-first`)"),
    *(
        _left_out(f"deploy.update_config.{key}", "automatic rollback comes with rollouts")
        for key in ("delay", "failure_action", "monitor", "max_failure_ratio")
    ),
    _honoured("deploy.rollback_config", "read and checked"),
    *(
        _left_out(f"deploy.rollback_config.{key}", "automatic rollback comes with rollouts")
        for key in ("parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order")
    ),
)

DCP_KEYS = (
    _honoured("x-dcp.calls", "calls to each service for one request"),
    _honoured("x-dcp.elastic", "lets dcp change the number of instances"),
    _honoured("x-dcp.elastic.min", "instances to come back to; `deploy.replicas`, else 1, if not stated"),
    _honoured("x-dcp.elastic.max", "never more instances than this; must be stated"),
    _honoured("x-dcp.elastic.safe", "water level above which the service may shrink; 2 if not stated"),
    _honoured("x-dcp.elastic.fatal", "water level below which it grows at once; 1.2 if not stated"),
    _honoured("x-dcp.signals", "figures of a metrics server to scale by, by name; the highest demand wins"),
    _honoured("x-dcp.signals.*.query", "PromQL that gives one number"),
    _honoured("x-dcp.signals.*.per_instance", "how much of it one instance carries"),
    _honoured("x-dcp.brakes", "how fast and how far scaling may move the service; see the verb `dcp confirm`"),
    _honoured("x-dcp.brakes.growth", "at most so many times its lowest target of the last `growth_within`, such as 2"),
    _honoured("x-dcp.brakes.growth_within", "1m if not stated"),
    _honoured("x-dcp.brakes.blast_radius", "share that leaves or is replaced at once, such as 0.2; always one"),
    _honoured("x-dcp.brakes.confirm_above", "more instances than this need a person: `dcp confirm`"),
    _honoured("x-dcp.brakes.grow_cooldown", "no growth so soon after the last one"),
    _honoured("x-dcp.brakes.shrink_cooldown", "nothing is given back so soon after the last change, up or down"),
    _honoured("x-dcp.brakes.watchdog", "`false`: growth without effect and going to and fro are not held"),
    _honoured("x-dcp.degrade", "features that are switched off while the service is too small and that lasts"),
    _honoured("x-dcp.degrade.features", "their names, the first to go first; switched on in the opposite order"),
    _honoured("x-dcp.degrade.path", 'each instance is told there by PUT what is off: `{"off": ["comments"]}`'),
    _honoured("x-dcp.degrade.after", "so long too small before the first is switched off; 60s if not stated"),
    _honoured("x-dcp.degrade.every", "between two switches, either way; 60s if not stated"),
    _honoured("x-dcp.forecast", "its load is foretold from its past: a floor under its target; see `dcp forecast`"),
    _honoured("x-dcp.forecast.mode", "`act`, or `shadow` (if not stated): only made and judged"),
    _honoured("x-dcp.forecast.ahead", "so long before it comes the load is prepared for; 30m if not stated"),
    _honoured("x-dcp.timetable", "hours at which the service needs more: floors, grown to before they begin"),
    _honoured("x-dcp.timetable.*.from", "time of day, such as 19:00"),
    _honoured("x-dcp.timetable.*.until", "time of day; before `from`: on the next day"),
    _honoured("x-dcp.timetable.*.days", "days on which it begins, such as [mon, fri]; all if not stated"),
    _honoured("x-dcp.timetable.*.timezone", "whose clocks, such as Asia/Shanghai; UTC if not stated"),
    _honoured("x-dcp.timetable.*.requests_per_s", "what is expected from outside, in all; or"),
    _honoured("x-dcp.timetable.*.instances", "how many there shall be at least"),
    _honoured("x-dcp.timetable.*.lead", "so long before, growth begins; 10m if not stated"),
    _honoured("x-dcp.capacity", "what one instance carries when 1% of its requests are slow"),
    _honoured("x-dcp.quiet_hours", "hours in which dcp may measure that by itself; see the verb `dcp capacity`"),
    _honoured("x-dcp.quiet_hours.from", "time of day, such as 03:00"),
    _honoured("x-dcp.quiet_hours.until", "time of day; before `from`: on the next day"),
    _honoured("x-dcp.quiet_hours.days", "days on which it begins; all if not stated"),
    _honoured("x-dcp.quiet_hours.timezone", "whose clocks; UTC if not stated"),
    _honoured("x-dcp.quiet_hours.every", "so long after it was measured it is measured again; 7d if not stated"),
    _honoured("x-dcp.quiet_hours.window", "how long each step of a test is watched; 60s if not stated"),
    _honoured("x-dcp.quiet_hours.instances", "how many are measured on each type of host; 3 if not stated"),
    _honoured("x-dcp.capacity.units_per_s", "requests a second, each weighted by its latency band"),
    _honoured("x-dcp.capacity.requests_per_s", "requests a second, measured at the same moment"),
    _honoured("x-dcp.slow_threshold", "a request slower than this is slow; 1 s if not stated"),
    _honoured("x-dcp.placement", "where instances may stand and would rather stand"),
    _honoured("x-dcp.placement.sites", "only these sites"),
    _honoured("x-dcp.placement.hardware", "only hosts whose label `hardware` is one of these"),
    _honoured("x-dcp.placement.dedicated", "only hosts whose label `dedicated` is this; others never go there"),
    _honoured("x-dcp.placement.disk", "disk that one instance is placed with, such as 10G; not enforced"),
    _honoured("x-dcp.placement.heavy", "a kind of heavy work: no host gets two instances of one kind"),
    _honoured("x-dcp.placement.leans", "`cpu` or `io`: rather beside what leans the other way"),
    _honoured("x-dcp.placement.empty_hosts", "`true`: only hosts on which nothing stands"),
    _honoured("x-dcp.placement.beside", "only where an instance of each of these stands already"),
    _honoured("x-dcp.placement.apart", "never where an instance of one of these stands, nor these there later"),
    *(
        key
        for side in ("beside", "apart")
        for key in (
            _honoured(f"x-dcp.placement.{side}.*.service", "`name`, or `application/name`"),
            _honoured(f"x-dcp.placement.{side}.*.within", "`host`, or the label of a domain such as `zone`"),
            _honoured(f"x-dcp.placement.{side}.*.preferred", "`true`: rather, and not only"),
        )
    ),
    _honoured("x-dcp.placement.spread", "domains over which instances are even, the outermost first"),
    _honoured("x-dcp.placement.spread.*.over", "the label that names them: `site`, `zone`, `rack`, any other"),
    _honoured("x-dcp.placement.spread.*.max_skew", "at most so many more than in the domain with the fewest"),
    _honoured("x-dcp.placement.strategy", "`spread` (if not stated), `emptiest`, `fullest`, `cheapest`, `random`"),
    _honoured("x-dcp.placement.weights", "what a part of the score is worth, by its name"),
    _honoured("x-dcp.placement.priority", "higher is placed first; 0 if not stated"),
    _honoured("x-dcp.placement.group", "services of one group are placed all or not at all"),
    _honoured("x-dcp.network", "containers: `host`, `bridge` or `underlay` (an address of the site's own network)"),
    _honoured("x-dcp.health", "a health check over HTTP, instead of `healthcheck.test`"),
    _honoured("x-dcp.health.http", "path on the instance's own port; status 200 to 399 is healthy"),
    _honoured("x-dcp.health.interval", "as in `healthcheck`, and wins over it"),
    _honoured("x-dcp.health.timeout", "as in `healthcheck`, and wins over it"),
    _honoured("x-dcp.health.retries", "as in `healthcheck`, and wins over it"),
    _honoured("x-dcp.health.start_period", "as in `healthcheck`, and wins over it"),
)

_ON_SERVICES = (*SERVICE_KEYS, *PORT_KEYS, *CONTAINER_KEYS, *PART_KEYS, *DEPLOY_KEYS, *DCP_KEYS)

KEYS: tuple[Key, ...] = (
    *FILE_KEYS,
    *(Key(f"services.*.{k.path}", k.treatment, k.note, k.hint, k.harmless) for k in _ON_SERVICES),
)
