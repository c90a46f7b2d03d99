"""The client's methods about access to images; `Client.registry` leads here."""

from typing import Any, Protocol
from urllib.parse import quote

Json = dict[str, Any]


class Call(Protocol):
    """Ask one controller and return its answer."""

    def __call__(
        self, method: str, path: str, *, params: dict[str, str] | None = None, json: object = None
    ) -> Json: ...


class RegistryClient:
    """Accounts, robots, projects, members; keys and configuration of registries."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def accounts(self) -> Json:
        """Return every person."""
        return self._call("GET", "registry/accounts")

    def add_account(self, name: str, password: str, *, platform_admin: bool = False) -> Json:
        """Add a person."""
        body = {"name": name, "password": password, "platform_admin": platform_admin}
        return self._call("POST", "registry/accounts", json=body)

    def set_password(self, name: str, password: str) -> Json:
        """Give a person another password."""
        return self._call("PUT", f"registry/accounts/{_part(name)}/password", json={"password": password})

    def remove_account(self, name: str) -> Json:
        """Remove a person."""
        return self._call("DELETE", f"registry/accounts/{_part(name)}")

    def robots(self) -> Json:
        """Return every robot that somebody made."""
        return self._call("GET", "registry/robots")

    def add_robot(self, name: str, kind: str, bound_to: str = "") -> Json:
        """Add a robot; the answer alone holds its secret."""
        return self._call("POST", "registry/robots", json={"name": name, "kind": kind, "bound_to": bound_to})

    def renew_robot(self, name: str) -> Json:
        """Give a robot a new secret; the answer alone holds it."""
        return self._call("PUT", f"registry/robots/{_part(name)}/secret")

    def remove_robot(self, name: str) -> Json:
        """Remove a robot."""
        return self._call("DELETE", f"registry/robots/{_part(name)}")

    def projects(self) -> Json:
        """Return every project."""
        return self._call("GET", "registry/projects")

    def put_project(self, name: str, *, public: bool = False) -> Json:
        """Add a project, or make it public or not."""
        return self._call("PUT", "registry/projects", json={"name": name, "public": public})

    def remove_project(self, name: str) -> Json:
        """Remove a project; its images stay."""
        return self._call("DELETE", f"registry/projects/{_part(name)}")

    def members(self, project: str = "") -> Json:
        """Return who is what in which project."""
        return self._call("GET", "registry/members", params={"project": project})

    def put_member(self, project: str, account: str, role: str) -> Json:
        """Give a person a role in a project."""
        return self._call("PUT", "registry/members", json={"project": project, "account": account, "role": role})

    def remove_member(self, project: str, account: str) -> Json:
        """Take a person out of a project."""
        return self._call("DELETE", "registry/members", params={"project": project, "account": account})

    def certificate(self) -> Json:
        """Return what registries must trust."""
        return self._call("GET", "registry/certificate")

    def rotate(self, announced_s: float) -> Json:
        """Announce a new signing key."""
        return self._call("POST", "registry/keys", json={"announced_s": announced_s})

    def configuration(self, site: str, **place: str) -> Json:
        """Return the configuration of a site's registry; `place`: `url`, `listens`, `storage`, `bundle`."""
        return self._call("GET", "registry/configuration", params={"site": site, **place})

    def why(self, account: str, repository: str, action: str) -> Json:
        """Return whether an account may do something, and why."""
        asked = {"account": account, "repository": repository, "action": action}
        return self._call("GET", "registry/why", params=asked)

    def history(self, repository: str = "", limit: int = 100) -> Json:
        """Return what registries told of pushes, pulls and deletions."""
        return self._call("GET", "registry/history", params={"repository": repository, "limit": str(limit)})


def _part(text: str) -> str:
    return quote(text, safe="")
