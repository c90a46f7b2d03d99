"""What clients ask for, read as the distribution specification writes it."""

import pytest

from dcp.images.access.scopes import SCOPES_LIMIT, Scope, parse_scopes


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("repository:shop/feed:pull,push", Scope("repository", "shop/feed", ("pull", "push"))),
        ("repository:hub.example:5000/shop/feed:pull", Scope("repository", "hub.example:5000/shop/feed", ("pull",))),
        ("registry:catalog:*", Scope("registry", "catalog", ("*",))),
        ("repository(plugin):shop/feed:pull", Scope("repository", "shop/feed", ("pull",), "plugin")),
        ("repository:shop/feed:", Scope("repository", "shop/feed", ())),
        ("repository:shop/feed:pull,pull", Scope("repository", "shop/feed", ("pull",))),
    ],
)
def test_a_scope_is_read_and_written_alike(text: str, scope: Scope):
    assert parse_scopes([text]) == (scope,)
    assert parse_scopes([str(scope)]) == (scope,)


def test_several_stand_in_several_parameters_or_in_one_and_equal_names_are_joined():
    asked = ["repository:a/b:pull repository:a/c:pull", "", "repository:a/b:push,pull", "repository(x):a/b:pull"]
    assert [str(scope) for scope in parse_scopes(asked)] == [
        "repository:a/b:pull,push",
        "repository:a/c:pull",
        "repository(x):a/b:pull",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "repository",
        "repository:a",
        ":a:pull",
        "repository::pull",
        "Repository:a:pull",
        "repository:a:pull,",
        "repository:a:PULL",
        "repository(:a:pull",
        "x:y:z;",
    ],
)
def test_what_is_no_scope_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a scope"):
        parse_scopes([text])


def test_there_is_a_bound():
    many = [f"repository:a/{number}:pull" for number in range(SCOPES_LIMIT)]
    assert len(parse_scopes(many)) == SCOPES_LIMIT
    with pytest.raises(ValueError, match="at once"):
        parse_scopes([*many, "repository:b:pull"])
