"""How long the ledger of costs takes for 10,000 hosts with 100,000 instances: an accrual, a question, a scrape.

In memory, so that the figures are of computing and not of a disk. Prints JSON; all figures in seconds.
"""

import asyncio
import json
from collections.abc import Awaitable
from time import perf_counter
from typing import TypeVar

from sqlalchemy import Connection

from dcp.engine.cost.report import charged_usd, cost_report, prices_usd_per_hour
from dcp.hosts.cost.accrue import accrue
from dcp.hosts.cost.model import Amount, Entry
from dcp.hosts.cost.period import read_question
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.store import costs, hosts, instances, spans
from dcp.store.database import InlineDatabase

HOSTS, INSTANCES_A_HOST, SERVICES, CLUSTERS = 10_000, 10, 100, 5
START = 1_800_000_000
ROUNDS = 3
T = TypeVar("T")


def fleet() -> list[Host]:
    """Return hosts that are held from START on."""
    kind = HostType("c16", Resources(16_000, 64 << 30), price_usd_per_hour=0.5)
    return [
        Host(
            f"cloud-{number}",
            "cloud",
            SourceKind.CLOUD,
            kind,
            HostState.READY,
            START,
            START,
            START,
            cluster=f"line-{number % CLUSTERS}",
        )
        for number in range(HOSTS)
    ]


def load(host: int) -> list[Instance]:
    """Return the instances of one host."""
    return [
        Instance(
            f"s{host}-{number}",
            f"app-{number}",
            f"service-{(host + number) % SERVICES}",
            f"cloud-{host}",
            1,
            InstanceState.SERVING,
            "plan-1",
            created_at=START,
            resources=Resources(1500, 6 << 30),
        )
        for number in range(INSTANCES_A_HOST)
    ]


async def timed(work: Awaitable[T]) -> tuple[float, T]:
    """Return how long it took, and its result."""
    began = perf_counter()
    result = await work
    return round(perf_counter() - began, 3), result


async def main() -> None:
    """Build the fleet, enter three minutes one by one, then ask."""
    database = InlineDatabase()
    await database.write(lambda connection: hosts.add(connection, fleet()))
    await database.write(lambda connection: instances.add(connection, [i for h in range(HOSTS) for i in load(h)]))
    shared, entered, rows = [], [], 0
    for minute in range(ROUNDS):
        since, until = (START + minute * 60) * 1000, (START + minute * 60 + 60) * 1000

        def read(connection: Connection, since: int = since, until: int = until) -> dict[Entry, Amount]:
            found = spans.within(connection, since, until)
            return accrue(found, spans.holdings(connection, since, until), since, until)

        changes = await database.read(lambda c, s=since, u=until: spans.changes(c, s, u))
        took_s, entries = await timed(database.read(read))
        shared.append(took_s)
        took_s, _ = await timed(
            database.write(lambda c, e=entries, s=since, u=until, n=changes: costs.enter(c, e, s, u, n))
        )
        entered.append(took_s)
        rows = len(entries)
    now = START + ROUNDS * 60 + 30
    by_service, _ = await timed(database.read(lambda c: cost_report(c, read_question("service"), now)))
    scrape, _ = await timed(database.read(lambda c: (charged_usd(c, now), prices_usd_per_hour(c))))
    figures = {"hosts": HOSTS, "instances": HOSTS * INSTANCES_A_HOST, "rows": rows}
    print(
        json.dumps(
            figures | {"share_s": shared, "enter_s": entered, "ask_by_service_s": by_service, "scrape_s": scrape}
        )
    )
    database.close()


if __name__ == "__main__":
    asyncio.run(main())
