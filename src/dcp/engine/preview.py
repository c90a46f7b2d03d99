"""What would be planned for a specification if it were applied now."""

from collections.abc import Callable

from sqlalchemy import Connection

from dcp.engine.application import Loaded, current_offers, load_with
from dcp.engine.context import Context
from dcp.kernel.errors import DcpError
from dcp.orchestration.scaling.decide import decide_application
from dcp.orchestration.scaling.plan import ApplicationPlan


class _Undone(Exception):
    """Carries what was loaded out of a transaction of which nothing stays."""

    def __init__(self, loaded: Loaded | None) -> None:
        super().__init__()
        self.loaded = loaded


async def plan_after(context: Context, name: str, apply: Callable[[Connection], object]) -> ApplicationPlan | None:
    """Return the plan of application `name` after `apply`, of which nothing is kept. None: it could not be applied."""
    offers = await current_offers(context)

    def work(connection: Connection) -> None:
        apply(connection)
        raise _Undone(load_with(connection, context, name, offers))

    try:
        await context.database.write(work)
    except _Undone as undone:
        return decide_application(undone.loaded.snapshot) if undone.loaded else None
    except DcpError:
        return None
    return None
