"""What a lab needs of the machine: root, and programs from Debian packages. Nothing is installed here."""

import shutil
from collections.abc import Callable

from dcp.kernel.errors import Unavailable
from dcp.lab.commands import PATH, is_root

PROGRAMS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
}
REGISTRY_PROGRAMS = {"docker-registry": "docker-registry"}
IMAGE_PROGRAMS = {"busybox": "busybox-static", "ldd": "libc-bin"}
"""For images that are made of what is installed here."""


def missing_packages(
    *, registries: bool = False, images: bool = False, find: Callable[[str], str | None] | None = None
) -> dict[str, str]:
    """Return the programs that are not there, with the Debian package that has each."""
    look = find or (lambda program: shutil.which(program, path=PATH))
    wanted = PROGRAMS | (REGISTRY_PROGRAMS if registries else {}) | (IMAGE_PROGRAMS if images else {})
    return {program: package for program, package in wanted.items() if look(program) is None}


def require_root() -> None:
    """Raise Unavailable for every other user."""
    if not is_root():
        raise Unavailable("a lab makes network namespaces and starts engines: only root may", hint="sudo dcp lab …")


def require(*, registries: bool = False, images: bool = False) -> None:
    """Raise Unavailable if this machine, or this user, cannot run a lab."""
    require_root()
    missing = missing_packages(registries=registries, images=images)
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise Unavailable(
            f"missing programs: {', '.join(sorted(missing))}",
            hint=f"on Debian: apt-get install --no-install-recommends {packages}",
        )
