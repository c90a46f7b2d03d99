"""From a Compose file to an application: reads, interpolates, checks, translates, and gives all faults at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from dcp.compose.env_file import parse_env
from dcp.compose.environment import Surroundings, note_file, read_text, unset_words, why_unreadable
from dcp.compose.findings import Findings
from dcp.compose.interpolate import InterpolationError, Lookup, interpolate
from dcp.compose.key_table import KEYS
from dcp.compose.keys import check_keys
from dcp.compose.schema import Service, dependencies
from dcp.compose.service_faults import read_secrets, read_service
from dcp.compose.translate import translate
from dcp.compose.yaml_text import Path, Value, parse_yaml
from dcp.kernel.errors import InvalidInput, Problem
from dcp.orchestration.services.model import ApplicationSpec, Dependency, DependencyCondition, ServiceSpec
from dcp.orchestration.services.validate import NAME, NAME_LENGTH, problems_of

PROJECT_NAME = "COMPOSE_PROJECT_NAME"
PROFILES = "COMPOSE_PROFILES"


@dataclass(frozen=True, slots=True)
class ComposeResult:
    """The application that a Compose file asks for, and what its writer should know."""

    spec: ApplicationSpec
    warnings: tuple[Problem, ...]


def read(
    path: FilePath, *, environment: Mapping[str, str], profiles: tuple[str, ...] = (), name: str | None = None
) -> ComposeResult:
    """Return what the Compose file at `path` asks for. Raises InvalidInput with every problem found.

    Variables come from `environment`, then from `.env` beside the file. Without `profiles` those of COMPOSE_PROFILES
    are active (`*`: all). `name` goes before COMPOSE_PROJECT_NAME, the file's own name and the folder's.
    Nothing is changed anywhere; the same file and variables give the same answer.
    """
    folder = FilePath(os.path.normpath(path.absolute())).parent
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        problem = Problem(str(path), f"cannot be read: {why_unreadable(error)}", "name a Compose file, as UTF-8 text")
        raise InvalidInput((problem,), subject=path.name) from error
    document = parse_yaml(text, path.name)
    findings = Findings(document)
    if not isinstance(document.data, dict):
        if not document.problems:
            findings.elsewhere([Problem(path.name, "is not a Compose file", "begin with services:")])
        raise InvalidInput(findings.problems, subject=path.name)
    lookup = _with_dot_env(environment, folder, findings)
    chosen = _name(document.data.get("name"), name or lookup(PROJECT_NAME), lookup, findings)
    reader = _Reader(Surroundings(folder, _with_name(lookup, chosen or _name_of(folder)), findings))
    spec = reader.application(document.data, chosen or _name_of(folder), profiles)
    findings.consequences(problems_of(spec))
    if findings.problems:
        raise InvalidInput(findings.problems, subject=path.name)
    return ComposeResult(spec, findings.warnings)


class _Reader:
    """One reading of one file."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._findings = around.findings

    def application(self, data: Mapping[str, Value], name: str, profiles: tuple[str, ...]) -> ApplicationSpec:
        filled = {key: self._filled(value, (key,)) for key, value in data.items()}
        check_keys(filled, KEYS, self._findings)
        services = filled.get("services")
        if not isinstance(services, dict):
            if services is not None:
                self._findings.error(("services",), "must be a mapping", "write each service's name, then its keys")
            return ApplicationSpec(name, ())
        models = {key: read_service(value, ("services", key), self._findings) for key, value in services.items()}
        active = self._active(models, profiles)
        secrets = read_secrets(filled.get("secrets"), self._findings)
        specs = [translate(key, models[key], self._around, secrets) for key in models if key in active]
        if models and not specs:
            words = "every service has a profile, and none of these is active"
            self._findings.error(("services",), words, f"name one with --profile or in {PROFILES}")
        connected = tuple(self._connected(spec, models, active) for spec in specs)
        return ApplicationSpec(name, connected, self._cluster(filled.get("x-dcp")))

    def _cluster(self, own: Value) -> str:
        if own is None:
            return ""
        stated = own.get("cluster") if isinstance(own, dict) else own
        if isinstance(own, dict) and stated in (None, ""):
            return ""
        if isinstance(own, dict) and isinstance(stated, str) and NAME.fullmatch(stated):
            return stated
        at = ("x-dcp", "cluster") if isinstance(own, dict) else ("x-dcp",)
        self._findings.error(at, "is not the name of a cluster", "write x-dcp: {cluster: NAME} at the top")
        return ""

    def _filled(self, value: Value, path: Path) -> Value:
        """Return `value` with variables replaced, in values but not in keys."""
        if isinstance(value, dict):
            return {key: self._filled(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner, (*path, position)) for position, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            filled = interpolate(value, self._around.lookup)
        except InterpolationError as error:
            self._findings.error(path, str(error), error.hint)
            return None
        for variable in filled.unset:
            self._findings.warn(path, *unset_words(variable))
        return filled.text

    def _active(self, models: Mapping[str, Service], profiles: tuple[str, ...]) -> frozenset[str]:
        wanted = profiles or tuple((self._around.lookup(PROFILES) or "").split(","))
        stripped = {profile.strip() for profile in wanted} - {""}
        return frozenset(
            name
            for name, model in models.items()
            if not model.profiles or "*" in stripped or stripped & set(model.profiles)
        )

    def _connected(self, spec: ServiceSpec, models: Mapping[str, Service], active: frozenset[str]) -> ServiceSpec:
        """Return the service without needs that cannot be met, having said so."""
        at: Path = ("services", spec.name)
        stated = dependencies(models[spec.name].depends_on)
        kept = []
        for dependency in spec.depends_on:
            path = (*at, "depends_on", dependency.service)
            if dependency.service in active:
                self._note_health(dependency, path, models)
                kept.append(dependency)
            elif not stated[dependency.service].required:
                words = f"{dependency.service} is not there; it is not waited for"
                self._findings.warn(path, words, "required: false allows that")
            elif dependency.service in models:
                self._inactive(dependency.service, path, models)
            else:
                kept.append(dependency)
        calls = []
        for call in spec.calls:
            if call.service in models and call.service not in active:
                self._inactive(call.service, (*at, "x-dcp", "calls", call.service), models)
            else:
                calls.append(call)
        return replace(spec, depends_on=tuple(kept), calls=tuple(calls))

    def _inactive(self, name: str, path: Path, models: Mapping[str, Service]) -> None:
        profiles = ", ".join(models[name].profiles)
        hint = "activate one with --profile, or remove the line"
        self._findings.error(path, f"{name} is only there with one of its profiles: {profiles}", hint)

    def _note_health(self, dependency: Dependency, path: Path, models: Mapping[str, Service]) -> None:
        needed = models[dependency.service]
        checked = needed.x_dcp.health or (needed.healthcheck and needed.healthcheck.test)
        if dependency.condition is DependencyCondition.HEALTHY and not checked:
            words = f"{dependency.service} has no health check: it counts as healthy once its process runs"
            self._findings.warn(path, words, f"state healthcheck or x-dcp.health for {dependency.service}")


def _with_dot_env(environment: Mapping[str, str], folder: FilePath, findings: Findings) -> Lookup:
    try:
        text = read_text(folder / ".env")
    except FileNotFoundError:
        return environment.get
    except (OSError, ValueError) as error:
        findings.elsewhere([Problem(".env", f"cannot be read: {why_unreadable(error)}", "it must be UTF-8 text")])
        return environment.get
    parsed = parse_env(text, environment.get)
    note_file(parsed, ".env", findings)
    return lambda name: environment[name] if name in environment else parsed.values.get(name)


def _with_name(lookup: Lookup, name: str) -> Lookup:
    return lambda variable: name if variable == PROJECT_NAME else lookup(variable)


def _name(stated: Value, given: str | None, lookup: Lookup, findings: Findings) -> str | None:
    """Return the name that is given from outside, else the file's own; None if there is neither."""
    if stated is not None and not isinstance(stated, str):
        findings.error(("name",), "must be text", f'put it in quotes: "{stated}"')
        stated = None
    if given or stated is None:
        return given or None
    try:
        return interpolate(stated, lookup).text or None
    except InterpolationError:
        return None  # noted when the whole file is interpolated


def _name_of(folder: FilePath) -> str:
    """Return the folder's name in the letters that a name may have."""
    return re.sub(r"[^a-z0-9_-]", "", folder.name.lower()).lstrip("_-")[:NAME_LENGTH]
