"""What a lab is called, where it is, and what is refused: all of it without a machine."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from dcp.kernel.errors import InvalidInput
from dcp.lab import platform_file, programs
from dcp.lab.certificates import client_files
from dcp.lab.down import planned
from dcp.lab.journal import SPEC, Entry, Journal, load_spec, save_spec
from dcp.lab.registries import merged
from dcp.lab.spec import LabSpec, check
from dcp.lab.topology import lay_out, link_pattern
from dcp.settings.read import parse_settings

DIRECTORY = Path("/tmp/lab")


def test_hosts_fill_the_sites_in_order_and_evenly():
    for hosts, sites, expected in ((4, 2, [2, 2]), (5, 2, [3, 2]), (7, 3, [3, 2, 2]), (3, 3, [1, 1, 1])):
        layout = lay_out(LabSpec(hosts=hosts, sites=sites), DIRECTORY)
        assert [sum(host.site == site.name for host in layout.hosts) for site in layout.sites] == expected


def test_the_largest_lab_has_no_address_twice_and_every_host_in_its_sites_subnet():
    layout = lay_out(LabSpec(name="t-longname", hosts=120, sites=7, octet=121, registries=True), DIRECTORY)
    addresses = [host.address for host in layout.hosts] + [one.address for one in layout.registries]
    assert len(set(addresses)) == 127
    for host in layout.hosts:
        site = layout.site(host.site)
        assert IPv4Address(host.address) in IPv4Network(site.subnet)
        assert IPv4Address(host.address) < IPv4Address(site.first_container_address)
    subnets = [IPv4Network(one.subnet) for one in layout.sites] + [IPv4Network(h.bridge_subnet) for h in layout.hosts]
    assert len(set(subnets)) == 127
    assert all(subnet.subnet_of(IPv4Network(layout.network)) for subnet in subnets)


def test_links_fit_and_two_labs_never_share_a_name():
    layout = lay_out(LabSpec(name="t-longname", hosts=120, sites=100, registries=True), DIRECTORY)
    names = [host.namespace for host in layout.hosts] + [site.bridge for site in layout.sites]
    names += [registry.namespace for registry in layout.registries]
    assert max(map(len, names)) <= 15
    assert all(link_pattern("t-longname").fullmatch(name) for name in names)
    assert not any(link_pattern(other).fullmatch(name) for name in names for other in ("t", "t-long", "longname"))
    # A lab may be called like another one's host.
    assert not link_pattern("t").fullmatch("t-h1-h1")


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (LabSpec(name="Lab"), "name"),
        (LabSpec(name="a-name-too-long"), "name"),
        (LabSpec(name="ends-"), "name"),
        (LabSpec(name="../x"), "name"),
        (LabSpec(hosts=0), "hosts"),
        (LabSpec(hosts=121), "hosts"),
        (LabSpec(hosts=1, sites=2), "hosts"),
        (LabSpec(hosts=101), "hosts"),
        (LabSpec(sites=0), "sites"),
        (LabSpec(octet=256), "octet"),
        (LabSpec(cpu_millis=0), "cpu_millis"),
        (LabSpec(memory_bytes=-1), "memory_bytes"),
        (LabSpec(line_mbit=0), "line_mbit"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(spec: LabSpec, path: str):
    with pytest.raises(InvalidInput) as refused:
        check(spec, DIRECTORY)
    assert [problem.path for problem in refused.value.problems] == [path]


def test_a_directory_too_deep_for_a_socket_is_refused():
    with pytest.raises(InvalidInput, match="too long"):
        check(LabSpec(), Path("/" + "d" * 90))


def test_the_platform_file_is_one_that_dcp_serve_reads():
    spec = LabSpec(name="t-1", hosts=3, sites=2, octet=122)
    layout = lay_out(spec, DIRECTORY)
    text = platform_file.render(spec, layout, client_files(layout), 1500, 3 << 30)
    settings = parse_settings(text, "dcp.yaml")
    (source,) = settings.sources
    assert [(host.engine, dict(host.host_type.labels)["site"], host.address) for host in source.hosts] == [
        ("tcp://10.122.1.11:2376", "s1", "10.122.1.11"),
        ("tcp://10.122.1.12:2376", "s1", "10.122.1.12"),
        ("tcp://10.122.2.11:2376", "s2", "10.122.2.11"),
    ]
    assert settings.runtime.kind == "docker"


def test_the_platform_file_of_a_lab_with_registries_names_each_sites_own(tmp_path: Path):
    spec = LabSpec(name="t-1", hosts=3, sites=3, octet=122, registries=True)
    layout = lay_out(spec, tmp_path)
    (tmp_path / "tls").mkdir()
    client_files(layout).ca.write_text("")
    text = platform_file.render(spec, layout, client_files(layout), 1000, 1 << 30)
    registry = parse_settings(text, "dcp.yaml").registry
    assert registry.name == "registry.t-1.lab:5000"
    assert [(one.site.name, one.site.role.value) for one in registry.sites] == [
        ("s1", "master"),
        ("s2", "master"),
        ("s3", "follower"),
    ]


def test_a_journal_keeps_each_thing_once_and_survives_a_line_cut_short(tmp_path: Path):
    entries = planned(lay_out(LabSpec(hosts=2, registries=True), tmp_path))
    journal = Journal(tmp_path)
    journal.add(entries)
    journal.add(entries)
    assert journal.read() == entries
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text()[:-9])
    journal.add([Entry("link", "late")])
    assert journal.read() == (*entries[:-1], Entry("link", "late"))


def test_a_specification_is_read_as_it_was_written_and_a_damaged_one_not_at_all(tmp_path: Path):
    spec = LabSpec(hosts=2, engine_arguments=("--debug",), registry_config={"auth": {"token": {"realm": "x"}}})
    save_spec(tmp_path, spec)
    assert load_spec(tmp_path) == spec
    text = (tmp_path / SPEC).read_text()
    for damaged in (text[:40], "", "[]", text.replace('"hosts"', '"guests"')):
        (tmp_path / SPEC).write_text(damaged)
        assert load_spec(tmp_path) is None


def test_a_registrys_configuration_is_merged_mapping_by_mapping():
    base = {"http": {"addr": "a", "tls": {"key": "k"}}, "log": {"level": "info"}}
    over = {"http": {"tls": None, "debug": {"addr": "b"}}, "auth": {"token": {}}}
    assert merged(base, over) == {
        "http": {"addr": "a", "debug": {"addr": "b"}},
        "log": {"level": "info"},
        "auth": {"token": {}},
    }


def test_missing_programs_are_named_with_their_packages():
    there = {"iptables", "ip", "tc", "nsenter", "unshare", "setsid", "mount", "containerd", "runc"}
    assert programs.missing_packages(registries=True, find=lambda name: name if name in there else None) == {
        "dockerd": "docker.io",
        "docker-registry": "docker-registry",
    }
