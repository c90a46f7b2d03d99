"""Who may do what, and why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.images.access.decide import ScopeDecision, decide_access, projects_asked
from dcp.images.access.model import (
    DELETE,
    PULL,
    PUSH,
    ROLE_ACTIONS,
    Account,
    AccountKind,
    Grants,
    Need,
    Project,
    Role,
    problem_of_account_name,
    problem_of_project_name,
)
from dcp.images.access.scopes import parse_scopes

SHOP, TOOLS, OPEN = Project("shop"), Project("shop/tools"), Project("open", public=True)
ANN = Account("ann")
ROOT = Account("root", platform_admin=True)
HOST = Account("robot.h1", AccountKind.HOST, bound_to="h1")
MIRROR = Account("robot.m", AccountKind.MIRROR, bound_to="a")
COPIER = Account("robot.c", AccountKind.REPLICATION)
NEEDS = (Need("shop/feed", "h1", "a"), Need("shop/user", "h2", "a"), Need("shop/card", "h3", "b"))


def ask(account: Account | None, *scopes: str, **roles: Role) -> tuple[ScopeDecision, ...]:
    known = {name.replace("_", "/"): role for name, role in roles.items()}
    return decide_access(account, parse_scopes(scopes), Grants((SHOP, TOOLS, OPEN), known), NEEDS)


def granted(account: Account | None, scope: str, **roles: Role) -> tuple[str, ...]:
    (decision,) = ask(account, scope, **roles)
    return decision.granted


def why(account: Account | None, scope: str, **roles: Role) -> list[str]:
    (decision,) = ask(account, scope, **roles)
    return [verdict.reason for verdict in decision.verdicts]


@pytest.mark.parametrize("role", Role)
def test_a_role_allows_its_actions_and_names_itself(role: Role):
    asked = "repository:shop/feed:pull,push,delete"
    assert set(granted(ANN, asked, shop=role)) == ROLE_ACTIONS[role]
    assert set(why(ANN, asked, shop=role)) == {f"role-{role}"} | (set() if role == Role.ADMIN else {"role-too-low"})


def test_a_stranger_and_nobody_get_nothing_and_a_reason():
    assert (granted(ANN, "repository:shop/feed:pull"), why(ANN, "repository:shop/feed:pull")) == ((), ["not-a-member"])
    assert why(None, "repository:shop/feed:pull") == ["anonymous"]
    assert why(ANN, "repository:busybox:pull") == ["no-project"]


def test_a_public_project_may_be_pulled_by_all_and_pushed_by_members_only():
    assert granted(None, "repository:open/x:pull,push") == (PULL,)
    assert granted(ANN, "repository:open/x:pull,push") == (PULL,)
    assert granted(ANN, "repository:open/x:pull,push", open=Role.DEVELOPER) == (PULL, PUSH)


def test_the_longest_project_counts():
    assert granted(ANN, "repository:shop/tools/lint:pull", shop=Role.ADMIN) == ()
    assert granted(ANN, "repository:shop/tools/lint:pull", shop_tools=Role.GUEST) == (PULL,)
    assert granted(ANN, "repository:shop/toolsmith:pull", shop=Role.GUEST) == (PULL,)
    assert why(ANN, "repository:shopping/feed:pull", shop=Role.GUEST) == ["no-project"]
    assert granted(ANN, "repository:shop:pull", shop=Role.GUEST) == (PULL,), "a project may be a repository, too"


def test_a_registry_before_the_name_is_left_out_of_account():
    assert granted(ANN, "repository:hub.example:5000/shop/feed:pull", shop=Role.GUEST) == (PULL,)
    assert granted(ANN, "repository:localhost/shop/feed:pull", shop=Role.GUEST) == (PULL,)


def test_everything_is_what_the_account_may():
    assert granted(ANN, "repository:shop/feed:*", shop=Role.ADMIN) == (DELETE, PULL, PUSH)
    assert granted(ANN, "repository:shop/feed:*", shop=Role.DEVELOPER) == (PULL, PUSH)
    assert why(ANN, "repository:shop/feed:*") == ["not-a-member"] * 3


def test_the_catalogue_is_for_platform_admins_and_replication():
    assert granted(ROOT, "registry:catalog:*") == granted(COPIER, "registry:catalog:*") == ("*",)
    for other in (None, ANN, HOST, MIRROR):
        assert why(other, "registry:catalog:*", shop=Role.ADMIN) == ["catalogue-is-for-admins"]


def test_a_platform_admin_may_do_everything():
    assert granted(ROOT, "repository:any/where:pull,push,delete") == (PULL, PUSH, DELETE)


def test_the_robot_of_a_host_pulls_exactly_what_the_host_needs():
    assert granted(HOST, "repository:shop/feed:pull,push,delete") == (PULL,)
    assert why(HOST, "repository:shop/feed:push") == ["robot-may-not"]
    for elsewhere in ("shop/user", "shop/card", "open/x"):
        assert why(HOST, f"repository:{elsewhere}:pull") == ["not-needed-on-host"]


def test_the_robot_of_a_mirror_pulls_what_its_site_needs():
    assert granted(MIRROR, "repository:shop/feed:pull,push") == granted(MIRROR, "repository:shop/user:pull") == (PULL,)
    assert why(MIRROR, "repository:shop/card:pull") == ["not-needed-in-site"]


def test_replication_pulls_and_pushes_everywhere_and_deletes_nowhere():
    assert granted(COPIER, "repository:any/where:pull,push,delete") == (PULL, PUSH)


def test_what_is_not_known_is_refused():
    assert why(ROOT, "repository:shop/feed:fly") == ["unknown-action"]
    assert why(ROOT, "registry:other:*") == ["unknown-resource"]
    assert why(ROOT, "repository:Shop/feed:pull") == ["unknown-resource"]


def test_projects_that_could_hold_what_is_asked():
    asked = parse_scopes(["repository:h:5/a/b/c:pull", "registry:catalog:*", "repository:Bad/x:pull"])
    assert projects_asked(asked) == {"a", "a/b", "a/b/c", "catalog"}


accounts = st.sampled_from([None, ANN, ROOT, HOST, MIRROR, COPIER])
names = st.sampled_from(["shop/feed", "shop/tools/lint", "open/x", "busybox", "shop/card", "Shop", "catalog"])
actions = st.lists(st.sampled_from([PULL, PUSH, DELETE, "*", "fly"]), max_size=4)
kinds = st.sampled_from(["repository", "registry", "thing"])
roles = st.dictionaries(st.sampled_from(["shop", "shop_tools", "open"]), st.sampled_from(Role))


@given(accounts, kinds, names, actions, roles)
def test_nothing_is_granted_that_was_not_asked_for_and_every_action_has_its_reason(account, kind, name, asked, roles):
    (decision,) = ask(account, f"{kind}:{name}:{','.join(asked)}", **roles)
    if "*" not in asked:
        assert {verdict.action for verdict in decision.verdicts} == set(asked)
    elif kind == "repository":
        assert "*" not in decision.granted, "registries read it as everything"
    assert all(verdict.reason and verdict.words for verdict in decision.verdicts)
    assert set(decision.granted).isdisjoint(verdict.action for verdict in decision.refused)


@given(names, actions, roles)
def test_more_rights_never_allow_less(name, asked, roles):
    scope = f"repository:{name}:{','.join(asked)}"
    more = dict.fromkeys(roles, Role.ADMIN)
    assert set(granted(None, scope)) <= set(granted(ANN, scope, **roles)) <= set(granted(ANN, scope, **more))
    assert set(granted(ANN, scope, **more)) <= set(granted(ROOT, scope))


@pytest.mark.parametrize("name", ["ann", "a", "ann.b_c-d", "a" * 63, "1"])
def test_names_of_people(name: str):
    assert problem_of_account_name(name) == ""
    assert problem_of_account_name(f"robot.{name}"[:63], robot=True) == ""


@pytest.mark.parametrize(
    "name", ["", "Ann", "-a", "a-", "a:b", "a b", "a" * 64, "robot.x", "dcp.x", "anonymous", "ann\n", "á"]
)
def test_names_that_nobody_may_have(name: str):
    assert problem_of_account_name(name)


def test_names_of_projects():
    assert problem_of_project_name("shop/tools") == ""
    assert problem_of_project_name("Shop") and problem_of_project_name("shop/") and problem_of_project_name("")
    assert problem_of_account_name("ann", robot=True)


def test_only_dcp_itself_collects():
    own = Account("dcp.replication", AccountKind.REPLICATION)
    assert granted(own, "repository:shop/feed:delete") == ("delete",)
    assert why(own, "repository:shop/feed:delete") == ["collection"]
