"""Addresses of a site's network: each one's only, in turn, none when all are taken."""

from hypothesis import given
from hypothesis import strategies as st

from dcp.orchestration.services.addresses import AddressRange, free_address, range_of

SITE_A = AddressRange("a", "10.1.0.250", "10.1.1.3")


def test_the_first_is_given_first_then_the_next():
    assert free_address(SITE_A, set(), "") == "10.1.0.250"
    assert free_address(SITE_A, {"10.1.0.250"}, "10.1.0.250") == "10.1.0.251"


def test_the_end_of_a_range_goes_on_at_its_start():
    assert free_address(SITE_A, {"10.1.1.3"}, "10.1.1.3") == "10.1.0.250"


def test_ranges_cross_the_last_byte():
    assert (SITE_A.size, free_address(SITE_A, set(), "10.1.0.255")) == (10, "10.1.1.0")


def test_ipv6():
    assert free_address(AddressRange("", "fd00::fffe", "fd00::1:0"), {"fd00::fffe"}, "fd00::fffe") == "fd00::ffff"


def test_a_site_without_a_range_has_none():
    assert range_of("b", (SITE_A,)) is None
    assert range_of("a", (SITE_A,)) is SITE_A


@given(st.lists(st.booleans(), max_size=40))
def test_no_address_is_given_twice_while_it_is_taken(moves):
    """True gives one, False gives the oldest back."""
    taken, last = [], ""
    for give in moves:
        if give:
            address = free_address(SITE_A, taken, last)
            assert (address is None) == (len(taken) == SITE_A.size)
            assert address not in taken
            if address is not None:
                taken.append(address)
                last = address
        elif taken:
            taken.pop(0)
