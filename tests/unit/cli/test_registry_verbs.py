"""`dcp registry`: accounts, projects, members, robots, and what registries are given."""

import json
import stat

import yaml
from cli_world import Dcp

PASSWORD = "correct horse battery"


def shown(dcp: Dcp, *words: str, answer: str | None = None) -> dict:
    result = dcp("registry", *words, "--json", answer=answer)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(dcp: Dcp, *words: str, answer: str | None = None) -> str:
    result = dcp("registry", *words, answer=answer)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def test_people_come_with_a_password_from_stdin_and_go(dcp: Dcp):
    assert "no accounts" in dcp("registry", "accounts", "list").stdout
    assert "account ann added" in dcp("registry", "accounts", "add", "ann", answer=f"{PASSWORD}\n").stdout
    shown(dcp, "accounts", "add", "root", "--platform-admin", answer=PASSWORD)
    listed = shown(dcp, "accounts", "list")["accounts"]
    assert [(one["name"], one["platform_admin"]) for one in listed] == [("ann", False), ("root", True)]
    assert "platform admin" in dcp("registry", "accounts", "list").stdout
    assert "changed" in dcp("registry", "accounts", "passwd", "ann", answer="another password").stdout
    assert shown(dcp, "accounts", "remove", "ann") == {"removed": "ann"}
    reasons = [
        one["reason"] for one in json.loads(dcp("events", "--subject", "account/ann", "--json").stdout)["events"]
    ]
    assert reasons == ["account-added", "password-changed", "account-removed"]


WRONG = [
    (["accounts", "add", "ann"], "", "is missing on stdin"),
    (["accounts", "add", "ann"], "short", "at least 10 characters"),
    (["accounts", "add", "ann"], "x" * 1025, "at most 1024"),
    (["accounts", "add", "Ann"], PASSWORD, "lower-case"),
    (["accounts", "add", "robot.x"], PASSWORD, "names of robots begin with robot."),
    (["accounts", "passwd", "nobody"], PASSWORD, "no account of a person nobody"),
    (["accounts", "remove", "nobody"], None, "no account of a person nobody"),
    (["projects", "add", "Shop"], None, "lower-case"),
    (["projects", "remove", "shop"], None, "no project shop"),
    (["members", "add", "shop", "ann", "guest"], None, "no project shop"),
    (["members", "add", "shop", "ann", "king"], None, "'king' is not one of"),
    (["members", "remove", "shop", "ann"], None, "no member of project shop"),
    (["robots", "add", "copier", "replication"], None, "begin with robot."),
    (["robots", "add", "robot.h", "host"], None, "must say which host"),
    (["robots", "add", "robot.h", "person"], None, "is not one of"),
    (["robots", "renew", "robot.h"], None, "no robot robot.h"),
    (["why", "nobody", "shop/feed", "pull"], None, "no account nobody"),
    (["rotate", "--after", "soon"], None, "not a duration"),
    (["config", "--site", "a b"], None, "site"),
]


def test_what_is_wrong_is_said_and_changes_nothing(dcp: Dcp):
    for words, answer, said in WRONG:
        text = " ".join(refused(dcp, *words, answer=answer).replace("│", " ").split())
        assert said in text, words
        assert PASSWORD not in text and "x" * 100 not in text, "no password is shown"
    for noun, key in (
        ("accounts", "accounts"),
        ("robots", "accounts"),
        ("projects", "projects"),
        ("members", "members"),
    ):
        assert shown(dcp, noun, "list")[key] == []


def test_an_account_is_not_taken_over(dcp: Dcp):
    shown(dcp, "accounts", "add", "ann", answer=PASSWORD)
    result = dcp("registry", "accounts", "add", "ann", answer="another password")
    assert result.exit_code == 1 and "there is an account ann already" in result.stderr
    assert "no robot ann" in refused(dcp, "robots", "remove", "ann")


def test_projects_and_members(dcp: Dcp):
    shown(dcp, "accounts", "add", "ann", answer=PASSWORD)
    assert shown(dcp, "projects", "add", "shop/tools")["public"] is False
    assert "everybody may pull" in dcp("registry", "projects", "add", "shop/tools", "--public").stdout
    shown(dcp, "projects", "add", "shop")
    shown(dcp, "members", "add", "shop", "ann", "guest")
    assert "ann is developer" in dcp("registry", "members", "add", "shop", "ann", "developer").stdout
    shown(dcp, "members", "add", "shop/tools", "ann", "admin")
    (member,) = shown(dcp, "members", "list", "shop")["members"]
    assert member == {"project": "shop", "account": "ann", "role": "developer"}
    assert "shop/tools" in dcp("registry", "members", "list").stdout
    assert "everybody" in dcp("registry", "projects", "list").stdout
    assert "removed" in dcp("registry", "projects", "remove", "shop/tools").stdout
    assert "no member" in dcp("registry", "members", "remove", "shop", "ann").stdout
    assert shown(dcp, "members", "list")["members"] == []


def test_the_secret_of_a_robot_alone_goes_to_stdout_and_never_again(dcp: Dcp):
    made = dcp("registry", "robots", "add", "robot.h1", "host", "--of", "h1")
    secret = made.stdout.strip()
    assert len(secret) == 43 and "shown this once" in made.stderr
    renewed = shown(dcp, "robots", "renew", "robot.h1")
    assert renewed["secret"] != secret and renewed["bound_to"] == "h1"
    listed = dcp("registry", "robots", "list", "--json").stdout + dcp("registry", "robots", "list").stdout
    listed += dcp("events", "--json").stdout
    assert "robot.h1" in listed and secret not in listed and renewed["secret"] not in listed
    assert shown(dcp, "accounts", "list")["accounts"] == [], "a robot is no person"
    assert "removed" in dcp("registry", "robots", "remove", "robot.h1").stdout


def test_why_says_yes_or_no_and_exits_so(dcp: Dcp):
    shown(dcp, "accounts", "add", "ann", answer=PASSWORD)
    shown(dcp, "projects", "add", "shop", "--public")
    allowed = dcp("registry", "why", "ann", "shop/feed", "pull")
    assert (allowed.exit_code, allowed.stdout) == (0, "allowed (public-project): project shop is public\n")
    denied = dcp("registry", "why", "ann", "shop/feed", "push")
    assert denied.exit_code == 1 and denied.stdout.startswith("denied (not-a-member): ann is no member of project shop")
    assert dcp("registry", "why", "anonymous", "shop/feed", "push").exit_code == 1
    assert dcp("registry", "why", "dcp.host.h1", "shop/feed", "pull").stdout.startswith("denied (not-needed-on-host)")


def test_a_registry_is_given_its_configuration_and_certificates(dcp: Dcp):
    text = dcp("registry", "config", "--site", "a", "--url", "https://dcp.example.com/", "--storage", "/data: x").stdout
    found = yaml.safe_load(text)
    token = found["auth"]["token"]
    assert token["realm"] == "https://dcp.example.com/registry/token"
    assert (token["service"], token["issuer"]) == ("dcp-registry", "dcp")
    (endpoint,) = found["notifications"]["endpoints"]
    assert endpoint["url"] == "https://dcp.example.com/registry/events"
    assert endpoint["headers"]["Authorization"][0].startswith("Bearer a.")
    assert found["storage"]["filesystem"]["rootdirectory"] == "/data: x"
    found = yaml.safe_load(dcp("registry", "config", "--site", "b").stdout)
    assert found["auth"]["token"]["realm"] == dcp.environment["DCP_SERVER"] + "/registry/token", "as it was asked"
    path = dcp.folder / "config.yml"
    assert dcp("registry", "config", "--site", "b", "--output", str(path)).stdout == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and yaml.safe_load(path.read_text()) == found
    assert "cannot be written" in refused(dcp, "config", "--site", "b", "--output", str(dcp.folder / "no" / "file"))
    before = dcp("registry", "certificate").stdout
    assert before.startswith("-----BEGIN CERTIFICATE") and before.count("BEGIN") == 1
    key = shown(dcp, "rotate", "--after", "1h")
    assert dcp("registry", "certificate").stdout.startswith(before), "what there was stays"
    keys = json.loads(dcp("registry", "certificate", "--jwks").stdout)["keys"]
    assert [one["kty"] for one in keys] == ["EC", "EC"] and keys[1]["kid"] == key["kid"]
    assert "signs at once" in dcp("registry", "rotate", "--now").stdout


def test_nothing_was_pushed_yet(dcp: Dcp):
    assert dcp("registry", "history").stdout == "nothing yet\n"
    assert shown(dcp, "history") == {"history": []}
