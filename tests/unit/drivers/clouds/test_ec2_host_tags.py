"""Which machine of a call is which host, in tags of 256 characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.drivers.clouds.ec2.host_tags import TAG_LIMIT, VALUE_LIMIT, host_tags, in_order, tagged_hosts
from dcp.kernel.errors import Rejected

COUNTED = st.builds(
    lambda stem, n: f"{stem}{n}", st.sampled_from(["east-", "h", "a-0", "", "x.1-"]), st.integers(0, 300)
)
ANY_ID = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)


def test_ids_in_a_row_are_one_range() -> None:
    ids = in_order(f"east-{n}" for n in range(1, 101))
    assert host_tags(ids) == {"dcp-hosts": "east-1:100"}


def test_gaps_and_other_names_stand_beside_it() -> None:
    ids = in_order(["east-12", "east-9", "east-10", "spare", "east-007"])
    assert host_tags(ids) == {"dcp-hosts": "east-9:10 east-12 east-007 spare"}
    assert tagged_hosts(host_tags(ids)) == ids


def test_what_does_not_fit_goes_on_in_the_next_tag() -> None:
    ids = in_order(f"east-{n}" for n in range(0, 200, 2))
    tags = host_tags(ids)
    assert list(tags)[:2] == ["dcp-hosts", "dcp-hosts-1"]
    assert max(map(len, tags.values())) <= VALUE_LIMIT
    assert tagged_hosts(tags) == ids


@given(st.lists(COUNTED | ANY_ID, min_size=1, max_size=100, unique=True))
def test_every_id_stands_at_its_place(ids: list[str]) -> None:
    ordered = in_order(ids)
    tags = host_tags(ordered)
    assert tagged_hosts(tags) == ordered
    assert sorted(ordered) == sorted(ids)
    assert len(tags) <= TAG_LIMIT
    assert all(0 < len(value) <= VALUE_LIMIT for value in tags.values())


@given(st.dictionaries(st.sampled_from(["dcp-hosts", "dcp-hosts-1", "Name"]), st.text(max_size=40), max_size=3))
def test_tags_of_others_are_never_more_than_no_hosts(tags: dict[str, str]) -> None:
    assert len(tagged_hosts(tags)) == len(set(tagged_hosts(tags))) <= 1000


@pytest.mark.parametrize("value", ["", "a  b", "h-1:99999", "h-5:2", "h-1:1", "a b a", "ä", "h-1:3:5", "h-01:3"])
def test_a_tag_that_is_not_ours_names_nobody(value: str) -> None:
    assert tagged_hosts({"dcp-hosts": value}) == ()


@pytest.mark.parametrize("host_id", ["", "with space", "a:b", "ä", "x" * 200])
def test_an_id_that_no_tag_holds_is_rejected(host_id: str) -> None:
    with pytest.raises(Rejected):
        host_tags([host_id])
