"""The client's methods about images; `Client.images` leads here."""

from urllib.parse import quote

from dcp.api.registry_client import Call, Json


class ImagesClient:
    """Lists, history, builds, differences, collection."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def list(self, repository: str = "") -> Json:
        """Return what every tag means, and where it is."""
        return self._call("GET", "images", params={"repository": repository} if repository else None)

    def history(self, repository: str) -> Json:
        """Return pushes and builds of a repository."""
        return self._call("GET", "images/history", params={"repository": repository})

    def difference(self, old: str, new: str) -> Json:
        """Return what a change from one image to another moves."""
        return self._call("GET", "images/difference", params={"old": old, "new": new})

    def add_build(self, build: Json, log: str) -> Json:
        """Tell how an image was built."""
        return self._call("POST", "images/builds", json={"build": build, "log": log})

    def build_log(self, build: str) -> Json:
        """Return what the builder wrote."""
        return self._call("GET", f"images/builds/{quote(build, safe='')}/log")

    def collect(self, *, dry_run: bool) -> Json:
        """Take out what nobody needs."""
        return self._call("POST", "images/collection", json={"dry_run": dry_run})
