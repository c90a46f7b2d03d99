"""Keys follow each other without a token that somebody does not trust."""

from hypothesis import given
from hypothesis import strategies as st

from dcp.images.access.keys import LEEWAY_S, SigningKey, decide_succession, signing_key, trusted_keys

TTL_S = 300.0


def make_key(kid: str, made_at: float, signs_from: float) -> SigningKey:
    return SigningKey(kid, "pem", "sealed", made_at, signs_from)


def follow(keys: tuple[SigningKey, ...], new: SigningKey) -> tuple[SigningKey, ...]:
    ended = {key.kid: key for key in decide_succession(keys, new, TTL_S)}
    return (*(ended.get(key.kid, key) for key in keys), new)


def test_an_announced_key_is_trusted_before_it_signs_and_the_old_one_until_its_last_token_ended():
    old, new = make_key("old", 0, 0), make_key("new", 100, 1000)
    keys = follow((old,), new)
    assert signing_key(keys, 999) and signing_key(keys, 999).kid == "old"
    assert [key.kid for key in trusted_keys(keys, 999)] == ["old", "new"]
    assert signing_key(keys, 1000).kid == "new"
    assert [key.kid for key in trusted_keys(keys, 1000 + TTL_S)] == ["old", "new"]
    assert [key.kid for key in trusted_keys(keys, 1000 + TTL_S + LEEWAY_S)] == ["new"]


def test_a_key_that_must_be_replaced_at_once_goes_before_one_that_was_only_announced():
    keys = follow((make_key("old", 0, 0),), make_key("announced", 100, 5000))
    keys = follow(keys, make_key("now", 200, 200))
    assert signing_key(keys, 200).kid == signing_key(keys, 6000).kid == "now"


def test_without_a_key_nobody_signs():
    assert signing_key((), 1) is None
    assert signing_key((make_key("later", 0, 10),), 9) is None


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(0, 5000)), min_size=1, max_size=6), st.floats(0, 20_000))
def test_what_is_signed_now_is_trusted_until_it_ends(steps, now):
    keys: tuple[SigningKey, ...] = (make_key("k0", 0, 0),)
    made_at = 0.0
    for number, (pause, announced_s) in enumerate(steps, 1):
        made_at += pause
        keys = follow(keys, make_key(f"k{number}", made_at, made_at + announced_s))
    if now < made_at:
        return
    signs = signing_key(keys, now)
    assert signs is not None
    ends_at = now + TTL_S
    assert signs.trusted_until is None or signs.trusted_until >= ends_at
