"""Clusters and what sources say of them in dcp.yaml."""

import pytest

from dcp.hosts.clusters import SourceAccess
from dcp.kernel.errors import InvalidInput
from dcp.settings.read import parse_settings

SOURCE = "sources: [{{name: own, kind: private, hosts: 2, quota: {quota}}}]"


def test_a_source_may_have_a_quota_and_owners() -> None:
    text = """
sources:
  - {name: own, kind: private, hosts: 2, clusters: [news]}
  - {name: burst, kind: fake-cloud, quota: 3, types: [{name: small, cpus: 1, memory: 1G}]}
  - {name: more, kind: private, hosts: 2}
"""
    engine = parse_settings(text, "dcp.yaml").engine
    assert engine.access == (SourceAccess("own", ("news",)), SourceAccess("burst", quota=3))


@pytest.mark.parametrize("quota", ["-1", "1.5", "true", "many", '"3"', "2000000", "[3]"])
def test_a_quota_that_is_no_number_of_hosts_is_refused_with_its_path(quota: str) -> None:
    with pytest.raises(InvalidInput, match=r"sources\.0\.quota"):
        parse_settings(SOURCE.format(quota=quota), "dcp.yaml")
