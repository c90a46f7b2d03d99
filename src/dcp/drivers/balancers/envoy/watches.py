"""Room for Envoy's file watches.

Envoy opens one inotify instance for every file it watches, a file a service, and aborts when the user has none left
(tried with 1.40: 128 a user by default, so between 110 and 120 services). The balancer therefore makes sure that there
is room before it asks for more.
"""

import ctypes
import os
from pathlib import Path

from dcp.kernel.errors import Unavailable

_SPARE = 8  # what other programs of this user may open at the same moment
_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_libc = ctypes.CDLL(None, use_errno=True)


def check_room(needed: int) -> None:
    """Raise Unavailable unless the user can open so many more inotify instances, and a few to spare."""
    opened: list[int] = []
    try:
        for _ in range(needed + _SPARE):
            descriptor = _libc.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                reason = os.strerror(ctypes.get_errno())
                raise Unavailable(
                    f"the proxy needs {needed} more file watches and this user has too few left ({reason})",
                    hint=f"raise fs.inotify.max_user_instances, now {_LIMIT.read_text().strip()}",
                )
            opened.append(descriptor)
    finally:
        for descriptor in opened:
            os.close(descriptor)
