"""HAProxy on this machine; missing in CI is a failure."""

import os

import pytest

from dcp.drivers.balancers.haproxy.proxy import find_binary
from dcp.kernel.errors import Unavailable


def require_haproxy() -> None:
    """Skip on a user's machine that has none."""
    try:
        find_binary(None)
    except Unavailable as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
