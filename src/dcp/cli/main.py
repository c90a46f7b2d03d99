"""`dcp`: the table of verbs. A verb's module is loaded when the verb is used, so that `dcp status` starts fast.

Errors end here: message, problems and hint on stderr, 1 for what failed, 2 for a wrong input.
"""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dcp import __version__
from dcp.cli.output import print_error
from dcp.kernel.errors import DcpError, InvalidInput, NotFound

VERBS = {
    "serve": ("dcp.cli.serve:serve", "Run a controller: API, engine and store in one process."),
    "apply": ("dcp.cli.apply:apply", "Make a Compose file the wanted state: show the difference, ask, apply, wait."),
    "remove": ("dcp.cli.apply:remove", "Drain and stop an application, then forget it."),
    "freeze": ("dcp.cli.freeze:freeze", "Keep the targets of an application as they are."),
    "confirm": ("dcp.cli.confirm:confirm", "Let a service grow above the size at which a person has to be asked."),
    "thaw": ("dcp.cli.freeze:thaw", "Let the targets of an application move again."),
    "status": ("dcp.cli.look:status", "Show what serves here."),
    "services": ("dcp.cli.look:services", "List services: targets, instances, water level."),
    "instances": ("dcp.cli.look:instances", "List instances."),
    "hosts": ("dcp.cli.hosts:app", "List hosts; add and remove machines; cordon, drain and take back single hosts."),
    "place": ("dcp.cli.place:place", "Let services have so many instances now, or show where they would stand."),
    "capacity": ("dcp.cli.capacity:app", "Show what one instance of each service carries; measure it on live traffic."),
    "forecast": (
        "dcp.cli.forecast:forecast",
        "Show what load is expected, and how good such forecasts were over the last week.",
    ),
    "rehearse": ("dcp.cli.rehearse:rehearse", "Play a surge on what runs now, on a virtual clock."),
    "surge": ("dcp.cli.surges:surge", "Say what load will come, so that the application is large enough in time."),
    "surges": ("dcp.cli.surges:app", "List planned surges; cancel one."),
    "leases": (
        "dcp.cli.leases:leases",
        "Show which cluster has which hosts, from whom, since and until when.",
    ),
    "cost": ("dcp.cli.cost:cost", "Show what hosts cost, by service, source, day and more."),
    "graph": ("dcp.cli.graph:graph", "Show who calls whom how often: as declared, and as measured."),
    "events": ("dcp.cli.explain:events", "Show what happened, and why."),
    "plan": ("dcp.cli.explain:plan", "Show what would change now, or a plan that was applied."),
    "why": ("dcp.cli.explain:why", "Say why a service, instance, host or application is as it is."),
    "logs": ("dcp.cli.explain:logs", "Print the last lines that an instance wrote."),
    "discovery": ("dcp.cli.discovery:app", "Show what clients find by asking; let more of it go at once."),
    "images": ("dcp.cli.images:app", "List images and where they are; build, compare and collect them."),
    "registry": ("dcp.cli.registry:app", "Say who may push and pull; set up the registries of sites."),
    "proxy": ("dcp.cli.proxy:app", "Set up proxies on edge hosts."),
    "simulate": ("dcp.cli.simulate:simulate", "Run the engine on a virtual clock, from a seed."),
    "mirror": ("dcp.cli.mirror:mirror", "Run a mirror: a cache of a registry that passes images on as they arrive."),
    "lab": ("dcp.cli.lab:lab", "Make real container hosts on this machine, for tests and trying out."),
    "demo": ("dcp.cli.demo:demo", "Let an application ride out a surge on this machine."),
}
"""Verb: where it is, and its line in the list of verbs (the first line of its own help)."""


class _Verbs(MutableMapping[str, Any]):
    """Commands by name, each made when somebody asks for it."""

    def __init__(self) -> None:
        self._outline = False
        self._made: dict[str, Any] = {}

    @contextmanager
    def outlined(self) -> Iterator[None]:
        """Meanwhile, hand out commands that only have a name and a line: a list of verbs loads none of them."""
        self._outline = True
        try:
            yield
        finally:
            self._outline = False

    def __getitem__(self, name: str) -> Any:
        target, line = VERBS[name]
        if name in self._made:
            return self._made[name]
        if self._outline:
            return _command(lambda: None, name, line)
        module, _, attribute = target.partition(":")
        found = getattr(import_module(module), attribute)
        self._made[name] = _group(found, name, line) if isinstance(found, typer.Typer) else _command(found, name, None)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class VerbGroup(TyperGroup):
    """The root command; turns errors into messages and exit codes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.verbs = _Verbs()
        self.commands = self.verbs

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with self.verbs.outlined():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        with self.verbs.outlined():
            return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DcpError as error:
            print_error(error)
            raise typer.Exit(2 if isinstance(error, InvalidInput | NotFound) else 1) from error


def _command(function: Callable[..., Any], name: str, line: str | None) -> Any:
    alone = typer.Typer(add_completion=False)
    alone.command(name=name, help=line)(function)
    return typer.main.get_command(alone)


def _group(verbs: typer.Typer, name: str, line: str) -> Any:
    """A verb that has verbs of its own."""
    verbs.info.name, verbs.info.help = name, line
    return typer.main.get_group(verbs)


app = typer.Typer(
    cls=VerbGroup,
    name="dcp",
    help="Carries microservices through traffic surges: plan, gate, explain, give back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dcp {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    app()
