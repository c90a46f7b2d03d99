"""`dcp proxy`: proxies that run elsewhere than beside a controller."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dcp.api.state_directory import default_state
from dcp.cli.options import State
from dcp.cli.output import err, print_json
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import InvalidInput, Problem
from dcp.settings.read import read_settings
from dcp.wiring import proxy_bootstrap

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def proxies() -> None:
    """Set up proxies on edge hosts."""


@app.command()
def bootstrap(
    node: Annotated[str, typer.Option("--node", help="Its name in balancer.proxies.")],
    config: Annotated[Path | None, typer.Option(envvar="DCP_CONFIG", help="dcp.yaml; see docs/dcp.yaml.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write it there, readable by you alone.")] = None,
    state: State = None,
) -> None:
    """Print what Envoy is started with on an edge host. It holds the proxy's private key.

    Run it on a controller's machine: it signs with the authority in the state directory, or with the configured one.
    Every call makes a new certificate; those from before stay good.
    """
    settings = read_settings(config)
    found = proxy_bootstrap(settings, (state or default_state()).absolute(), node, SystemClock())
    workers = next(proxy.workers for proxy in settings.balancer.proxies if proxy.name == node)
    if output is None:
        print_json(found)
    else:
        _write_private(output, json.dumps(found))
    place = output or "FILE"
    err().print(f"start it with: envoy -c {place} --concurrency {workers} --drain-strategy immediate", soft_wrap=True)


def _write_private(path: Path, text: str) -> None:
    try:
        path.touch(0o600)
        path.chmod(0o600)
        path.write_text(text)
    except OSError as error:
        problem = Problem("--output", f"{path} cannot be written: {error.strerror}")
        raise InvalidInput((problem,)) from error
