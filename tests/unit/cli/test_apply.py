"""`dcp apply` and `dcp remove`: show, ask, do, wait; what is not confirmed changes nothing."""

import json

from cli_world import Dcp


def revision(dcp: Dcp) -> int:
    return json.loads(dcp("status", "--json").stdout)["applications"][0]["revision"]


def test_a_first_apply_needs_no_question_and_waits_until_all_serve(dcp: Dcp):
    result = dcp("apply", dcp.file())
    assert result.exit_code == 0, result.output
    assert "shop: revision 1 applied" in result.stdout
    assert "feed: http://127.0.0.1:18080" in result.stdout
    assert "services.feed" in result.stderr and "create" in result.stderr
    assert "feed 2/2" in result.stderr


def test_the_same_file_again_has_nothing_to_do(dcp: Dcp):
    dcp("apply", dcp.file())
    result = dcp("apply", dcp.file())
    assert result.exit_code == 0
    assert result.stdout == "nothing to do: shop is already as the file says (revision 1)\n"


def test_without_a_terminal_a_change_is_refused_and_nothing_is_changed(dcp: Dcp):
    dcp("apply", dcp.file())
    result = dcp("apply", dcp.file("blue"))
    assert result.exit_code == 1
    assert "services.feed.environment.COLOUR" in result.stderr
    assert "--yes" in result.stderr
    assert revision(dcp) == 1


def test_yes_says_yes_and_waits_for_the_replacement(dcp: Dcp):
    dcp("apply", dcp.file())
    result = dcp("apply", dcp.file("blue", 3), "--yes", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["revision"], found["created"], found["settled"], found["because"]) == (2, False, True, [])
    assert {change["effect"] for change in found["changes"]} == {"replace", "in-place"}
    feeds = json.loads(dcp("instances", "--service", "feed", "--json").stdout)["instances"]
    assert [(one["revision"], one["state"]) for one in feeds] == [(2, "serving")] * 3


def test_a_dry_run_changes_nothing(dcp: Dcp):
    result = dcp("apply", dcp.file(), "--dry-run")
    assert result.exit_code == 0
    assert "nothing was changed" in result.stdout
    assert "all hosts: 0.000 → 7.200 USD per hour" in result.stderr
    found = json.loads(dcp("apply", dcp.file(), "--dry-run", "--json").stdout)
    assert (found["dry_run"], found["settled"], len(found["changes"])) == (True, None, 2)
    assert "none yet" in dcp("status").stdout


def test_the_name_may_be_given(dcp: Dcp):
    found = json.loads(dcp("apply", dcp.file(), "--name", "other", "--dry-run", "--json").stdout)
    assert found["application"] == "other"


def test_a_wrong_file_names_every_fault_and_changes_nothing(dcp: Dcp):
    path = dcp.folder / "compose.yaml"
    path.write_text("services: {feed: {comand: [x], deploy: {replicas: many}}}")
    result = dcp("apply", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "services.feed.comand" in result.stderr and "services.feed.deploy.replicas" in result.stderr
    assert "none yet" in dcp("status").stdout


def test_what_fits_on_no_host_is_a_wrong_input(dcp: Dcp):
    result = dcp("apply", dcp.file(cpus="8"))
    assert result.exit_code == 2
    assert "services.feed.deploy.resources.limits" in result.stderr


def test_what_does_not_settle_says_why(dcp: Dcp):
    result = dcp("apply", dcp.file(replicas=20), "--wait-limit", "0.5")
    assert result.exit_code == 1
    assert "not settled after 0.5 s" in result.stderr
    assert "feed: " in result.stderr
    assert "revision 1 applied" in result.stdout
    again = dcp("apply", dcp.file(replicas=21), "--yes", "--json", "--wait-limit", "0")
    found = json.loads(again.stdout)
    assert (again.exit_code, found["settled"]) == (1, False)
    assert found["because"]


def test_without_waiting_it_returns_at_once(dcp: Dcp):
    result = dcp("apply", dcp.file(replicas=20), "--no-wait", "--json")
    assert (result.exit_code, json.loads(result.stdout)["settled"]) == (0, None)


def test_remove_asks_does_and_waits(dcp: Dcp):
    dcp("apply", dcp.file())
    refused = dcp("remove", "shop")
    assert refused.exit_code == 1 and "--yes" in refused.stderr
    result = dcp("remove", "shop", "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)["gone"]) == (0, True)
    assert "none yet" in dcp("status").stdout
