"""Every verb, option, endpoint, error code and metric stands in the documentation."""

import re
from pathlib import Path

import typer

from dcp.api.app import PREFIX
from dcp.api.errors import INTERNAL, STATUS
from dcp.api.metrics import Reading, exposition
from dcp.api.routes import DISCOVERY, DOORS, METRICS, ROUTERS
from dcp.cli.main import VERBS, app

DOCS = Path(__file__).parents[2] / "docs"
CLI = (DOCS / "cli.md").read_text()
API = (DOCS / "api.md").read_text()


def test_every_verb_and_option_of_the_command_line():
    missing = [verb for verb in VERBS if f"`dcp {verb}" not in CLI]
    root = typer.main.get_command(app)
    for verb in VERBS:
        for name, command in every_command(root.commands[verb], verb):
            options = {option for one in command.params for option in one.opts if option.startswith("--")}
            missing += [f"{name} {option}" for option in sorted(options) if f"`{option}" not in CLI]
            missing += [name] if name != verb and f"`dcp {name}" not in CLI else []
    assert missing == []


def every_command(command, name: str) -> list[tuple[str, object]]:
    """Return a verb and the verbs below it, with their names."""
    below = getattr(command, "commands", {})
    return [(name, command), *(found for word, one in below.items() for found in every_command(one, f"{name} {word}"))]


def test_every_endpoint_of_the_api():
    found = [(PREFIX, route) for router in ROUTERS for route in router.routes]
    found += [("", route) for router in (METRICS, DISCOVERY, DOORS) for route in router.routes]
    rows = {f"`{next(iter(r.methods))} {prefix}{r.path.replace(':path', '')}`" for prefix, r in found}
    documented = set(re.findall(r"^\| (`[A-Z]+ /[^`]*`) \|", API, flags=re.MULTILINE))
    assert rows == documented


def test_every_error_code_with_its_status():
    for kind, status in STATUS.items():
        assert re.search(rf"^\| [\d, ]*{status}[\d, ]* \| `{kind.code}` \|", API, flags=re.MULTILINE), kind
    assert f"| `{INTERNAL}` |" in API


def test_every_metric():
    text = exposition(Reading((), (), (), {}, 0, 0, {}, {})).decode()
    names = set(re.findall(r"^# TYPE (\S+)", text, flags=re.MULTILINE))
    assert names == set(re.findall(r"^\| `(dcp_\w+)` \|", API, flags=re.MULTILINE))
