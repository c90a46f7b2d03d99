"""Published entries in the words of Consul and Prometheus."""

import base64
import json

from dcp.orchestration.discovery import consul
from dcp.orchestration.discovery.model import Entry, Published
from dcp.orchestration.services.model import ServiceKey

FEED = Published(ServiceKey("shop", "feed"), (Entry("feed-1", "10.1.0.7", 20001, "a"), Entry("feed-2", "::1", 80)), 7)
EMPTY = Published(ServiceKey("shop", "card"), (), 8)


def test_the_catalogue_lists_services_that_have_entries_with_their_tags():
    assert consul.catalog_services([FEED, EMPTY]) == {"shop.feed": ["dcp", "site=a"]}


def test_health_has_what_clients_read():
    first, _ = consul.health_service(FEED, "dcp")
    assert (first["Service"]["Address"], first["Service"]["Port"]) == ("10.1.0.7", 20001)
    assert [check["Status"] for check in first["Checks"]] == ["passing"]
    assert first["Node"]["Datacenter"] == "dcp"
    assert first["Service"]["ModifyIndex"] == 7
    assert consul.health_service(None, "dcp") == consul.catalog_service(None, "dcp") == []


def test_keys_are_what_nginx_upsync_reads():
    one, two = consul.keys([FEED], "upstreams/shop.feed/", recurse=True)
    assert (one["Key"], two["Key"]) == ("upstreams/shop.feed/10.1.0.7:20001", "upstreams/shop.feed/[::1]:80")
    value = json.loads(base64.b64decode(one["Value"]))
    assert (value["weight"], value["down"]) == (1, 0)
    assert consul.keys([FEED], "upstreams/shop.feed/", recurse=False) == []
    assert len(consul.keys([FEED], "upstreams/shop.feed/10.1.0.7:20001", recurse=False)) == 1
    assert consul.keys([FEED], "upstreams/shop.fee/", recurse=True) == []


def test_a_key_is_there_once_while_two_have_the_same_address():
    ended, next_one = Entry("feed-1", "10.1.0.7", 20001), Entry("feed-3", "10.1.0.7", 20001)
    both = Published(ServiceKey("shop", "feed"), (ended, next_one), 9)
    assert len(consul.keys([both], "upstreams/", recurse=True)) == 1


def test_a_key_belongs_to_a_service_once_its_name_is_complete():
    names = [consul.service_of_key(key) for key in ("upstreams/shop.feed/", "upstreams/shop.feed/10.1.0.7:1")]
    assert names == ["shop.feed", "shop.feed"]
    assert [consul.service_of_key(key) for key in ("", "upstreams/", "upstreams/shop.fe", "else/shop.feed/")] == [
        ""
    ] * 4


def test_http_sd_groups_by_service_and_site():
    assert consul.http_sd([FEED, EMPTY]) == [
        {
            "targets": ["10.1.0.7:20001"],
            "labels": {"__meta_dcp_application": "shop", "__meta_dcp_service": "feed", "__meta_dcp_site": "a"},
        },
        {
            "targets": ["[::1]:80"],
            "labels": {"__meta_dcp_application": "shop", "__meta_dcp_service": "feed", "__meta_dcp_site": ""},
        },
    ]
