"""Cases of figures of signals."""

from stores import Rig, case

from dcp.orchestration.services.model import ServiceKey
from dcp.store import signals
from dcp.store.signals import Figure

MAIL, PAGE = ServiceKey("shop", "mail"), ServiceKey("shop", "page")


@case
async def figures_are_read_by_signal_oldest_first_with_their_gaps(rig: Rig) -> None:
    rows = {10.0: (1.5, 2.0), 20.0: (None, 3.0), 30.0: (4.25, None)}
    for at, (queue, cpu) in rows.items():
        figures = [
            Figure(MAIL, "queue", queue, "" if queue else "gives nothing"),
            Figure(MAIL, "cpu", cpu),
            Figure(PAGE, "queue", 9.0),
        ]
        await rig.database.write(lambda connection, at=at, figures=figures: signals.add(connection, at, figures))
    assert await rig.database.read(lambda connection: signals.since(connection, MAIL, 10.0)) == {
        "queue": (None, 4.25),
        "cpu": (3.0, None),
    }
    await rig.database.write(lambda connection: signals.prune(connection, 30.0))
    assert await rig.database.read(lambda connection: signals.since(connection, MAIL, 0.0)) == {
        "queue": (4.25,),
        "cpu": (None,),
    }
    await rig.database.write(lambda connection: signals.add(connection, 40.0, []))
