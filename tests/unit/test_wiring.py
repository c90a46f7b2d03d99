"""What a configuration is wired to."""

import subprocess
import sys

import pytest

from ask_source import ask
from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.drivers.balancers.haproxy import HAProxyBalancer
from dcp.drivers.clouds.fake import FakeCloud
from dcp.drivers.clouds.private import PrivatePool
from dcp.drivers.runtimes.process import ProcessRuntime
from dcp.hosts.model import HostType, Resources, SourceKind
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Unavailable
from dcp.settings.model import FakeCloudSource, PrivateSource
from dcp.settings.read import parse_settings
from dcp.store.database import InlineDatabase
from dcp.wiring import DRIVERS, load, make_source, unwire, wire

DEFAULTS = parse_settings("", "dcp.yaml")
SMALL = HostType("small", Resources(1000, 1 << 30), price_usd_per_hour=0.1)


async def test_the_defaults_are_wired_and_keep_everything_below_the_state_directory(tmp_path):
    context = wire(parse_settings("", "dcp.yaml"), tmp_path, InlineDatabase(), SystemClock(), "c-1")
    assert isinstance(context.runtimes.of("any"), ProcessRuntime)
    assert isinstance(context.balancer, EnvoyBalancer)
    assert [(type(s), s.name, s.kind) for s in context.sources] == [(PrivatePool, "local", SourceKind.PRIVATE)]
    assert {path.name for path in tmp_path.iterdir()} <= {"runtime", "balancer", "sources", "registry.secret"}
    await unwire(context)


async def test_haproxy_is_wired_with_what_it_was_told_and_a_folder_of_its_own(tmp_path):
    text = "balancer: {kind: haproxy, binary: /nowhere/haproxy, hard_stop_after_s: 7}"
    context = wire(parse_settings(text, "dcp.yaml"), tmp_path, InlineDatabase(), SystemClock(), "c-1")
    assert isinstance(context.balancer, HAProxyBalancer)
    with pytest.raises(Unavailable, match=r"no program /nowhere/haproxy .*Debian package haproxy.*balancer\.binary"):
        await context.balancer.ensure_running()
    written = (tmp_path / "balancer" / "haproxy" / "common.cfg").read_text()
    assert "hard-stop-after 7000ms" in written
    await unwire(context)


async def test_a_private_source_offers_its_hosts_and_remembers_who_has_them(tmp_path):
    source = PrivateSource("rack", SMALL, 2)
    await ask(make_source(source, DEFAULTS, tmp_path, SystemClock()), "rack-1", "small")
    (offer,) = await make_source(source, DEFAULTS, tmp_path, SystemClock()).offers()
    assert (offer.source, offer.host_type, offer.available) == ("rack", SMALL, 1)


async def test_a_fake_cloud_has_its_types_and_stock(tmp_path):
    source = FakeCloudSource("burst", (SMALL,), (("small", 3),))
    cloud = make_source(source, DEFAULTS, tmp_path, SystemClock())
    assert isinstance(cloud, FakeCloud)
    (offer,) = await cloud.offers()
    assert (offer.kind, offer.available) == (SourceKind.CLOUD, 3)


ACCOUNTS = """
sources:
  - {name: tail, kind: libcloud, provider: digitalocean, owner: o, image: i, arguments: {key: k}, types: &types
     [{name: small, cpus: 1, memory: 1G}]}
  - {name: stack, kind: openstack, owner: o, image: i, types: *types}
  - {name: ali, kind: aliyun, owner: o, region: cn-test, credentials_file: FILE, image: i, stopping: true,
     types: *types}
  - {name: east, kind: ec2, owner: o, region: us-east-1, image: i, types: *types}
"""


async def test_cloud_accounts_are_wired_and_asked_for_nothing_yet(tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text("{access_key_id: a, access_key_secret: b}")
    settings = parse_settings(ACCOUNTS.replace("FILE", str(file)), "dcp.yaml")
    made = [make_source(source, settings, tmp_path, SystemClock()) for source in settings.sources]
    assert [type(one).__name__ for one in made] == [
        "LibcloudSource",
        "OpenStackSource",
        "AliyunStoppingSource",
        "Ec2Source",
    ]
    assert [one.limits.can_stop for one in made] == [False, False, True, False]
    for one in made:
        await one.aclose()


@pytest.mark.parametrize("name", DRIVERS)
def test_every_driver_can_be_loaded(name: str):
    assert load(name)


def test_a_driver_that_cannot_be_loaded_is_named_with_the_cause():
    with pytest.raises(Unavailable, match=r"driver source/x cannot be loaded: No module named 'dcp.drivers.x'"):
        load("source/x", {"source/x": "dcp.drivers.x"})


def test_a_cloud_without_its_library_says_which_extra_has_it():
    with pytest.raises(Unavailable, match=r"pip install 'dcp\[openstack\]'"):
        load("source/openstack", {"source/openstack": "no_such_library"})


def test_reading_settings_loads_no_cloud_library():
    libraries = "('libcloud', 'openstack', 'alibabacloud_ecs20140526', 'boto3')"
    program = f"import sys, dcp.settings.read, dcp.wiring; print([one for one in {libraries} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
