"""What is kept beside the proxy on disk."""

import tempfile
from pathlib import Path

import pytest

from dcp.drivers.balancers.envoy.directory import BalancerDirectory
from dcp.kernel.clock import SystemClock


def test_an_owner_is_claimed_once_and_kept(tmp_path: Path) -> None:
    first, again = BalancerDirectory(tmp_path, SystemClock()), BalancerDirectory(tmp_path, SystemClock())
    assert again.owner == first.owner != ""


def test_a_socket_whose_path_would_be_too_long_stands_elsewhere_at_the_same_place_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = BalancerDirectory(tmp_path, SystemClock())
    assert short.socket == tmp_path.resolve() / "xds.sock"
    # A short one of its own: pytest's folders are long already.
    with tempfile.TemporaryDirectory(prefix="dcp-") as elsewhere:
        monkeypatch.setattr(tempfile, "tempdir", elsewhere)
        deep = tmp_path / ("d" * 60) / ("e" * 60)
        found = {BalancerDirectory(deep, SystemClock()).socket for _ in range(2)}
        (path,) = found
        assert len(str(path)) < 108
        assert path.parent.stat().st_mode & 0o077 == 0
