"""What goes wrong before a server answers: messages, hints, exit codes; and the verbs' own table."""

import json
import os
import subprocess
import sys

import pytest
from cli_world import Dcp
from typer.testing import CliRunner

from dcp.cli.main import VERBS, app
from dcp.cli.output import age, level, number, percent


def test_without_a_server(tmp_path):
    state = str(tmp_path)
    result = CliRunner().invoke(app, ["status", "--state", state])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no controller is known" in result.stderr and "dcp serve" in result.stderr
    result = CliRunner().invoke(app, ["status", "--state", state, "--server", "http://127.0.0.1:9", "--token", "x"])
    assert result.exit_code == 1
    assert "no controller at http://127.0.0.1:9" in result.stderr and "start one: dcp serve" in result.stderr
    result = CliRunner().invoke(app, ["status", "--state", state, "--server", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "there is no token" in result.stderr


def test_the_token_is_found_in_the_state_directory(dcp: Dcp, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "token").write_text(dcp.environment["DCP_TOKEN"] + "\n")
    here = {"url": dcp.environment["DCP_SERVER"], "pid": os.getpid()}
    (state / "server.json").write_text(json.dumps(here))
    assert dcp("status", DCP_TOKEN="", DCP_SERVER="").exit_code == 0


def test_a_wrong_token(dcp: Dcp):
    result = dcp("status", DCP_TOKEN="wrong")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "token is missing or wrong" in result.stderr


def test_a_server_that_is_not_one_of_ours_and_an_address_that_is_none(dcp: Dcp):
    assert dcp("status", "--server", "there").exit_code == 2
    assert dcp("status", "--server", dcp.environment["DCP_SERVER"] + "/deeper").exit_code == 2


@pytest.mark.parametrize("words", [["statu"], ["status", "--jsn"], ["apply"], ["events", "--limit", "0"]])
def test_wrong_words_exit_with_2(words: list[str]):
    assert CliRunner().invoke(app, words).exit_code == 2


def test_a_mistyped_verb_is_recognised():
    assert "'status'" in CliRunner().invoke(app, ["statu"]).output


def test_the_list_of_verbs_says_what_each_verb_says():
    for verb, (_, line) in VERBS.items():
        shown = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output
        assert line in shown, verb
        assert "--json" in shown or verb in ("registry", "lab", "discovery", "proxy"), verb


def test_version_and_help():
    assert CliRunner().invoke(app, ["--version"]).output.startswith("dcp ")
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(verb in shown for verb in VERBS)


def test_a_list_of_verbs_loads_none_of_them():
    code = """if True:
        import sys
        from typer.testing import CliRunner
        from dcp.cli.main import app
        CliRunner().invoke(app, ["--help"])
        print([name for name in ("fastapi", "httpx", "sqlalchemy") if name in sys.modules])
    """
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_completion_knows_the_verbs_and_their_options():
    def complete(words: str, position: int) -> list[str]:
        environment = {"_DCP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        return CliRunner().invoke(app, [], prog_name="dcp", env=environment).output.split()

    assert complete("dcp st", 1) == ["status"]
    assert "--wait-limit" in complete("dcp apply --w", 2)


def test_numbers_for_people():
    assert (number(None), number(1234.5, 1), percent(0.0123), percent(None)) == ("-", "1,234.5", "1.2%", "-")
    assert (age(0, 75), age(0, 7300), age(None, 1)) == ("1m15s", "2h2m", "")
    lines = (2.0, 1.2)
    shown = [str(level(value, True, lines)) for value in (None, 1.0, 1.5, 2.0)]
    assert shown == ["no load", "1.00 fatal", "1.50 low", "2.00 safe"]
    assert (str(level(None, False, lines)), str(level(1.0, True, (None, None)))) == ("-", "1.00")
