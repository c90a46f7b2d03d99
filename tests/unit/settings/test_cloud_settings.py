"""Cloud accounts in `dcp.yaml`."""

import pytest

from dcp.drivers.clouds.accounts import AliyunAccount, Ec2Account, LibcloudAccount, OpenStackAccount
from dcp.hosts.model import Billing
from dcp.kernel.errors import InvalidInput
from dcp.settings.model import CloudSource, Settings
from dcp.settings.read import parse_settings

TAIL = """
sources:
  - name: tail
    kind: libcloud
    provider: digitalocean
    owner: dcp-shop
    image: debian-12
    site: fra
    engine: tcp://{address}:2376
    initialise: true
    zones: [{name: fra1}, {name: b, zone: ams3, network: n-1, security_groups: [sg-1]}]
    types: [{name: small, machine: s-1, cpus: 1, memory: 2G, price_usd_per_hour: 0.02, zone_prices: {b: 0.01}}]
"""


def parsed(text: str) -> Settings:
    return parse_settings(text, "dcp.yaml")


def test_an_account_is_read_into_a_template() -> None:
    (source,) = parsed(TAIL).sources
    assert isinstance(source, CloudSource)
    assert (source.name, source.driver) == ("tail", "libcloud")
    assert source.account == LibcloudAccount("digitalocean")
    (offer,) = source.template.offers({})
    assert (offer.host_type.labels, offer.host_type.initialise) == ((("site", "fra"),), True)
    assert offer.host_type.billing == Billing.PER_SECOND
    assert [(one.key, one.price_usd_per_hour) for one in offer.variants] == [("fra1", None), ("b", 0.01)]
    assert source.template.place_named("b").zone == "ams3"
    assert source.template.place_named("").zone == "fra1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("provider: digitalocean", "provider: ec2"), "use kind ec2"),
        (("provider: digitalocean", "provider: upcloud"), "not known whether Libcloud lists all machines of upcloud"),
        (("owner: dcp-shop", "owner: Shop_1"), "owner"),
        (("    owner: dcp-shop\n", ""), "owner: .*is missing"),
        (("name: tail", "name: tail-of-the-shop-in-frankfurt"), "providers take 63"),
        (("name: tail", "name: my_tail"), "machines are named after it"),
        (("{address}:2376", "10.0.0.1:2376"), "{address} in it"),
        (("{b: 0.01}", "{c: 0.01}"), "price in zone c, which is not among zones"),
        (("price_usd_per_hour: 0.02,", "billing: spot,"), "no notice through Libcloud"),
        (("    image: debian-12\n", "    image: debian-12\n    key: k\n"), "give it under options"),
        (("{name: fra1}", "{name: b}"), "two zones called b"),
    ],
)
def test_what_cannot_work_is_refused_with_its_path(change: tuple[str, str], words: str) -> None:
    text = TAIL.replace(*change)
    assert text != TAIL
    with pytest.raises(InvalidInput, match=words) as caught:
        parsed(text)
    assert caught.value.problems[0].path.startswith("sources.0")


ALI = """
sources:
  - {name: ali, kind: aliyun, owner: dcp-shop, region: cn-test, credentials_file: c, image: i,
     stopping: true, in_flight: 40, types: [{name: spot, machine: ecs.c7, cpus: 1, memory: 2G, billing: spot}]}
"""


def test_an_aliyun_account_takes_batches_no_larger_than_what_may_be_in_flight() -> None:
    (source,) = parsed(ALI).sources
    assert isinstance(source, CloudSource)
    assert isinstance(source.account, AliyunAccount)
    assert (source.account.region, source.account.stopping, source.template.batch) == ("cn-test", True, 40)


def test_machines_that_cannot_be_given_back_are_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot be deleted before"):
        parsed(ALI.replace("billing: spot", "billing: monthly"))


STACK = """
sources:
  - {name: stack, kind: openstack, owner: dcp-shop, cloud: mine, image: i, switched_off: shelve, batch: 4,
     types: [{name: m1, cpus: 1, memory: 2G, billing: hourly}]}
"""


def test_an_openstack_project_is_read() -> None:
    (source,) = parsed(STACK).sources
    assert isinstance(source, CloudSource)
    assert (source.driver, source.template.batch) == ("openstack", 4)
    assert source.account == OpenStackAccount("mine", switched_off="shelve")
    assert source.template.types[0].machine == "m1"
    with pytest.raises(InvalidInput, match="no notice"):
        parsed(STACK.replace("hourly", "spot"))


EC2 = """
sources:
  - {name: east, kind: ec2, owner: dcp-shop, region: us-east-1, image: ami-1, stopping: true,
     types: [{name: spot, machine: c7i.large, cpus: 2, memory: 4G, billing: spot}]}
"""


def test_an_ec2_account_is_read() -> None:
    (source,) = parsed(EC2).sources
    assert isinstance(source, CloudSource)
    assert source.account == Ec2Account("us-east-1", stopping=True)
    assert (source.driver, source.template.batch, source.template.in_flight) == ("ec2", 40, 40)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("billing: spot", "billing: monthly"), "no machines that are paid by the month"),
        (("image: ami-1", "image: ami-1, profile: a, credentials_file: b"), "keep one of them"),
        (("us-east-1", "US East"), "region"),
    ],
)
def test_an_ec2_account_that_cannot_work_is_refused(change: tuple[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parsed(EC2.replace(*change))
