"""The builder of a Docker Engine: build from a stream of tar, push with the caller's credentials.

Used by the command line, where nothing else runs: calls block, and progress is yielded as it comes.
"""

import base64
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from dcp.kernel.errors import Denied, DriverError, InvalidInput, NotFound, Problem, Rejected, Unavailable

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
_SILENCE = httpx.Timeout(30.0, read=3600.0)
"""A step of a build says nothing while it runs."""


class EngineBuilder:
    """One engine. Every method raises Unavailable where it does not answer."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        base, chosen = _way(url)
        self._http = httpx.Client(base_url=base, transport=transport or chosen, timeout=_SILENCE, trust_env=False)

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    def build(
        self,
        context: Iterator[bytes],
        name: str,
        *,
        dockerfile: str,
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
        credentials: Mapping[str, Mapping[str, str]],
    ) -> Iterator[str]:
        """Build `name` from `context`; yield what the builder writes. Raises Rejected where a step fails.

        `credentials`: by registry, for bases that have to be pulled.
        """
        params = {
            "t": name,
            "dockerfile": dockerfile,
            "labels": json.dumps(dict(labels)),
            "buildargs": json.dumps(dict(arguments)),
            "rm": "1",
            "forcerm": "1",
            "version": "1",
        }
        headers = {"Content-Type": "application/x-tar", "X-Registry-Config": _encoded(credentials)}
        for line in self._stream("POST", "/build", params=params, headers=headers, content=context):
            if "stream" in line:
                yield str(line["stream"])
            elif line.get("status"):
                yield _status(line)

    def push(self, name: str, credentials: Mapping[str, str]) -> Iterator[str]:
        """Push `name`; yield progress, the digest last as `digest: sha256:…`. Raises Denied or DriverError."""
        repository, _, tag = name.rpartition(":")
        headers = {"X-Registry-Auth": _encoded(credentials)}
        for line in self._stream("POST", f"/images/{repository}/push", params={"tag": tag}, headers=headers):
            aux = line.get("aux")
            if isinstance(aux, dict) and aux.get("Digest"):
                yield f"digest: {aux['Digest']}"
            elif line.get("status") and not line.get("progress"):
                yield _status(line)

    def digest_of(self, name: str) -> str:
        """Return the digest under which the engine got an image from a registry; empty if it never did."""
        try:
            found = self._get(f"/images/{name}/json").get("RepoDigests") or []
        except NotFound:
            return ""
        return next((one.rpartition("@")[2] for one in found if isinstance(one, str)), "")

    def _get(self, path: str) -> dict[str, Any]:
        try:
            response = self._http.get(path)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        _refuse(response, self._url)
        answer: dict[str, Any] = response.json()
        return answer

    def _stream(self, method: str, path: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield the answer's lines. The engine says 200 first and what failed at the end."""
        try:
            with self._http.stream(method, path, **options) as response:
                if not response.is_success:
                    response.read()
                    _refuse(response, self._url)
                for text in response.iter_lines():
                    line = json.loads(text) if text.strip() else {}
                    if "error" in line:
                        raise _failure(str(line["error"]))
                    yield line
        except httpx.HTTPError as error:
            raise self._away(error) from error
        except ValueError as error:
            raise DriverError(f"{self._url} answers with something that is no progress") from error

    def _away(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"engine {self._url} cannot be reached: {error!r}", hint="is it running? name one: --on URL")


def _way(url: str) -> tuple[str, httpx.BaseTransport]:
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        return "http://engine", httpx.HTTPTransport(uds=parts.path)
    if parts.scheme == "tcp" and parts.netloc:
        folder = os.environ.get("DOCKER_CERT_PATH", "")
        if not folder:
            return f"http://{parts.netloc}", httpx.HTTPTransport()
        return f"https://{parts.netloc}", httpx.HTTPTransport(verify=_certificates(Path(folder)))
    hint = "unix:///var/run/docker.sock or tcp://ADDRESS:2376; over SSH, forward the socket: ssh -L"
    raise InvalidInput((Problem("--on", f"{url!r} is not the address of an engine", hint),))


def _certificates(folder: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    except (OSError, ssl.SSLError) as error:
        problem = Problem("DOCKER_CERT_PATH", f"{folder} has no certificates that can be read", "ca, cert and key .pem")
        raise InvalidInput((problem,)) from error
    return context


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _status(line: Mapping[str, Any]) -> str:
    name = f"{line['id']}: " if line.get("id") else ""
    return f"{name}{line['status']}\n"


def _failure(words: str) -> DriverError | Denied:
    lower = words.lower()
    if any(word in lower for word in ("denied", "unauthorized", "no basic auth", "authentication required")):
        return Denied(words, hint="docker login first, or name somebody who may push: --username")
    return Rejected(words)


def _refuse(response: httpx.Response, url: str) -> None:
    if response.is_success:
        return
    try:
        words = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        words = response.text[:300]
    if response.status_code == 404:
        raise NotFound(f"engine {url}: {words}")
    raise Rejected(f"engine {url}: {words}") if response.status_code < 500 else _failure(f"engine {url}: {words}")
