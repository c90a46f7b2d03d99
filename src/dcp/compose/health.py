"""Health checks: a command (`healthcheck.test`) or a request (`x-dcp.health.http`), with the times of either place."""

from dataclasses import replace

from dcp.compose.findings import Findings
from dcp.compose.schema import Healthcheck, Service
from dcp.compose.yaml_text import Path
from dcp.orchestration.services.model import HealthCheck

_SHELL = ("/bin/sh", "-c")


def health_of(service: Service, at: Path, findings: Findings) -> HealthCheck | None:
    """Return the health check of a service; None if it has none."""
    part, http = service.healthcheck or Healthcheck(), service.x_dcp.health
    here = (*at, "healthcheck")
    command, switched_off = _command(part, here, findings)
    if http is not None and (command or switched_off):
        words = "healthcheck says otherwise: one health check, by a command or by HTTP"
        findings.error((*at, "x-dcp", "health"), words, "remove healthcheck.test and disable, or x-dcp.health")
        return None
    if http is None and not command:
        stated = part.interval, part.timeout, part.retries, part.start_period
        if any(value is not None for value in stated) and not switched_off:
            hint = "state healthcheck.test or x-dcp.health.http"
            findings.warn(here, "there is no test: an instance counts as healthy once its process runs", hint)
        return None
    check = HealthCheck(http_path=http.http) if http else HealthCheck(command=command)
    for times in (part, http):
        if times is not None:
            check = replace(
                check,
                interval_s=check.interval_s if times.interval is None else times.interval,
                timeout_s=check.timeout_s if times.timeout is None else times.timeout,
                retries=check.retries if times.retries is None else times.retries,
                start_period_s=check.start_period_s if times.start_period is None else times.start_period,
            )
    return check


def _command(part: Healthcheck, at: Path, findings: Findings) -> tuple[tuple[str, ...], bool]:
    """Return the command of the check, and whether checks are switched off in so many words."""
    test = part.test
    if part.disable or test == ("NONE",):
        return (), True
    if test is None or not test:
        return (), False
    if isinstance(test, str):
        return (*_SHELL, test), False
    kind, *arguments = test
    if kind == "CMD" and arguments:
        return tuple(arguments), False
    if kind == "CMD-SHELL" and len(arguments) == 1:
        return (*_SHELL, arguments[0]), False
    hint = 'such as ["CMD", "curl", "localhost"], ["CMD-SHELL", "curl localhost || exit 1"] or ["NONE"]'
    findings.error((*at, "test"), "a list begins with CMD, CMD-SHELL or NONE, and a command follows", hint)
    return (), False
