"""The client that the command line and the demonstration use: a method for each endpoint, errors as their own tree."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from dcp.api.errors import error_of
from dcp.api.images_client import ImagesClient
from dcp.api.registry_client import RegistryClient
from dcp.api.state_directory import default_state, found_server, read_token
from dcp.kernel.errors import Conflict, Denied, InvalidInput, NotFound, Problem, Unavailable
from dcp.orchestration.services.model import ApplicationSpec

Json = dict[str, Any]
TIMEOUT_S = 30.0
LOOKS_S = 300.0
"""Hundreds of machines are looked at, some at a time, before one is added."""
START_HINT = "start one: dcp serve"


class Client:
    """Calls one controller. Every method raises the errors of `dcp.kernel.errors` and nothing else on purpose."""

    def __init__(self, url: str, token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidInput((Problem("server", f"{url!r} is not an address", "such as http://127.0.0.1:8700"),))
        self.url = url.rstrip("/")
        self.registry = RegistryClient(self._call)
        self.images = ImagesClient(self._call)
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport,
            # A proxy of the environment must not see the token, and cannot reach a controller on this machine.
            trust_env=False,
        )

    @classmethod
    def found(cls, state: Path | None = None, *, server: str | None = None, token: str | None = None) -> Self:
        """Return a client of the controller that serves a state directory.

        `server` and `token`, else DCP_SERVER and DCP_TOKEN, go before what the directory says.
        Raises Unavailable if no controller is known, Denied if there is no token that can be read.
        """
        folder = state or default_state()
        url = server or os.environ.get("DCP_SERVER")
        if not url:
            listening = found_server(folder)
            if listening is None:
                raise Unavailable(f"no controller is known in {folder}", hint=f"{START_HINT}, or name one: --server")
            url = listening.url
        return cls(url, token or os.environ.get("DCP_TOKEN") or _token_in(folder))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def status(self) -> Json:
        """Return what serves here and which applications there are."""
        return self._get("status")

    def applications(self) -> Json:
        """Return every application."""
        return self._get("applications")

    def application(self, name: str) -> Json:
        """Return one application with its services as they are wanted."""
        return self._get(f"applications/{_part(name)}")

    def apply(self, spec: ApplicationSpec, *, dry_run: bool = False, expected_revision: int | None = None) -> Json:
        """Make `spec` the wanted state, or with `dry_run` only say what that would change."""
        body = {"spec": asdict(spec), "dry_run": dry_run, "expected_revision": expected_revision}
        return self._call("POST", "applications", json=body)

    def remove(self, name: str) -> Json:
        """Ask for an application to be drained, stopped and forgotten."""
        return self._call("DELETE", f"applications/{_part(name)}")

    def freeze(self, name: str, why: str) -> Json:
        """Keep the targets of an application as they are."""
        return self._call("POST", f"applications/{_part(name)}/freeze", json={"why": why})

    def thaw(self, name: str) -> Json:
        """Let the targets of an application move again."""
        return self._call("DELETE", f"applications/{_part(name)}/freeze")

    def place(self, name: str, counts: dict[str, int], *, dry_run: bool = False) -> Json:
        """Let services have so many instances; return the plan for that."""
        body = {"counts": counts, "dry_run": dry_run}
        return self._call("POST", f"applications/{_part(name)}/place", json=body)

    def confirm(self, name: str, counts: dict[str, int], lasts_s: float) -> Json:
        """Let services grow above the line at which a person has to be asked."""
        body = {"counts": counts, "lasts_s": lasts_s}
        return self._call("POST", f"applications/{_part(name)}/confirm", json=body)

    def rehearse(self, name: str, service: str, times: float, lasts_s: float) -> Json:
        """Play a surge on what runs now, on a virtual clock."""
        body = {"service": service, "times": times, "lasts_s": lasts_s}
        return self._call("POST", f"applications/{_part(name)}/rehearsal", json=body)

    def graph(self, name: str) -> Json:
        """Return who calls whom in an application."""
        return self._get(f"applications/{_part(name)}/graph")

    def only_application(self) -> str:
        """Return the name of the only application. Raises NotFound, or Conflict where there are several."""
        known = [one["name"] for one in self.applications()["applications"]]
        if not known:
            raise NotFound("there is no application", hint="apply one: dcp apply FILE")
        if len(known) > 1:
            raise Conflict(f"there are {len(known)} applications", hint=f"say which: {', '.join(known)}")
        return str(known[0])

    def capacity(self) -> Json:
        """Return what services carry, and the last capacity tests."""
        return self._get("capacity")

    def begin_capacity_test(self, body: Json) -> Json:
        """Begin to measure a service on its live traffic."""
        return self._call("POST", "capacity", json=body)

    def cancel_capacity_test(self, test: str) -> Json:
        """End a capacity test."""
        return self._call("DELETE", f"capacity/{_part(test)}")

    def forecasts(self, application: str) -> Json:
        """Return what forecasts expect, and how good they were."""
        return self._get(f"forecasts/{_part(application)}")

    def surges(self) -> Json:
        """Return planned surges that are neither over nor cancelled."""
        return self._get("surges")

    def plan_surge(self, body: Json) -> Json:
        """Plan a surge, or with `dry_run` only rehearse it."""
        return self._call("POST", "surges", json=body)

    def cancel_surge(self, surge: str) -> Json:
        """Plan with a surge no more."""
        return self._call("DELETE", f"surges/{_part(surge)}")

    def services(self) -> Json:
        """Return every service at a glance."""
        return self._get("services")

    def instances(self, application: str = "", service: str = "", *, ended: bool = False) -> Json:
        """Return instances that live, with `ended` also those that do not any more."""
        return self._get("instances", application=application, service=service, all="true" if ended else "")

    def logs(self, instance: str, tail: int = 100) -> Json:
        """Return the last lines that an instance wrote."""
        return self._get(f"instances/{_part(instance)}/logs", tail=str(tail))

    def hosts(self) -> Json:
        """Return hosts that were not given back."""
        return self._get("hosts")

    def leases(self) -> Json:
        """Return which cluster has which host since when and until when, and what each lends and borrows."""
        return self._get("leases")

    def host_log(self, host: str) -> Json:
        """Return what was said in tries to initialise a host that failed."""
        return self._get(f"hosts/{_part(host)}/log")

    def cordon_host(self, host: str) -> Json:
        """Place nothing new on a host."""
        return self._call("POST", f"hosts/{_part(host)}/cordon")

    def uncordon_host(self, host: str) -> Json:
        """Use a host again."""
        return self._call("POST", f"hosts/{_part(host)}/uncordon")

    def drain_host(self, host: str, within_s: float) -> Json:
        """Have a host empty within a time, then give it back."""
        return self._call("POST", f"hosts/{_part(host)}/drain", json={"within_s": within_s})

    def machines(self) -> Json:
        """Return machines that people have added, and those that are set aside."""
        return self._get("machines")

    def add_machines(self, body: Json) -> Json:
        """Take machines in; all are looked at over SSH first."""
        return self._call("POST", "machines", json=body, timeout_s=LOOKS_S)

    def remove_machines(self, addresses: list[str], within_s: float) -> Json:
        """Give machines back, emptied first."""
        return self._call("POST", "machines/remove", json={"addresses": addresses, "within_s": within_s})

    def retry_machines(self, addresses: list[str], *, every: bool = False) -> Json:
        """Offer machines again that were set aside."""
        return self._call("POST", "machines/retry", json={"addresses": addresses, "all": every})

    def events(self, after: int | None = None, *, limit: int = 100, subject: str = "") -> Json:
        """Return up to `limit` events after a place in the log; without `after` the last ones."""
        return self._get("events", after="" if after is None else str(after), limit=str(limit), subject=subject)

    def plans(self, application: str = "") -> Json:
        """Return the last plans that changed something."""
        return self._get("plans", application=application)

    def plan(self, plan_id: str) -> Json:
        """Return one plan as it was applied."""
        return self._get(f"plans/{_part(plan_id)}")

    def next_plan(self, application: str) -> Json:
        """Return the plan that would be applied now."""
        return self._get(f"applications/{_part(application)}/plan")

    def why(self, subject: str) -> Json:
        """Return why a subject is as it is."""
        return self._get(f"why/{'/'.join(_part(part) for part in subject.split('/'))}")

    def published(self) -> Json:
        """Return what clients of discovery see."""
        return self._get("discovery")

    def allow_cut(self, application: str, service: str) -> Json:
        """Let the next step cut as many published entries of a service as it likes."""
        return self._call("POST", f"discovery/{_part(application)}/{_part(service)}/allow")

    def cost(self, by: str = "", since: str = "", until: str = "", timezone: str = "") -> Json:
        """Return what the hosts cost, by default so far and by source."""
        return self._get("cost", by=by, timezone=timezone, **{"from": since, "to": until})

    def _get(self, path: str, **query: str) -> Json:
        return self._call("GET", path, params=query)

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Json:
        try:
            said = {name: value for name, value in (params or {}).items() if value}
            answer = self._http.request(method, f"/api/v1/{path}", params=said, json=json, timeout=timeout_s)
        except httpx.ConnectError as error:
            raise Unavailable(f"no controller at {self.url}", hint=START_HINT) from error
        except httpx.TimeoutException as error:
            hint = "it is overloaded or hangs; see its log"
            raise Unavailable(f"the controller at {self.url} did not answer in {timeout_s:g} s", hint=hint) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unavailable(f"the controller at {self.url} cannot be talked to: {error}") from error
        try:
            body = answer.json()
        except ValueError as error:
            raise error_of(answer.status_code, None) from error
        if not answer.is_success or not isinstance(body, dict):
            raise error_of(answer.status_code, body)
        return body


def _part(text: str) -> str:
    """Return text as one part of a path."""
    return quote(text, safe="")


def _token_in(folder: Path) -> str:
    try:
        return read_token(folder)
    except FileNotFoundError as error:
        hint = "set DCP_TOKEN, or name the controller's directory with --state"
        raise Denied(f"there is no token in {folder}", hint=hint) from error
