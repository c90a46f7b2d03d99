"""What is packed: mixes of services made by a seed, and the containers of a production trace."""

import csv
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dcp.hosts.model import HostType, Offer, Resources, SourceKind
from dcp.scheduling.model import Ask

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Case:
    """Services (a batch), the order in which single instances arrive, and the hosts that can be had."""

    name: str
    asks: tuple[Ask, ...]
    arrivals: tuple[int, ...]
    """Numbers of asks."""
    offers: tuple[Offer, ...]


def offer(name: str, cpu_millis: int, memory_bytes: int, price: float, gpu: int = 0, count: int | None = None) -> Offer:
    size = Resources(cpu_millis, memory_bytes, 0, (("gpu-milli", gpu),) if gpu else ())
    return Offer(name, SourceKind.CLOUD, HostType(name, size, price), count)


GENERAL = offer("general", 16_000, 64 * GIB, 0.80)
LEAN = offer("lean", 16_000, 32 * GIB, 0.68)
FAMILY = (GENERAL, LEAN, offer("memory", 16_000, 128 * GIB, 1.06), offer("large", 64_000, 256 * GIB, 3.10))


def small(seed: int) -> Case:
    """Few services of large instances: small enough to be solved exactly."""
    dice = random.Random(seed)
    asks = [_ask(n, dice.randint(5, 40), dice.randint(3_000, 9_000), dice.randint(8, 40) * GIB) for n in range(5)]
    return _case(f"small {seed}", asks, (GENERAL,), dice)


def microservices(seed: int) -> Case:
    """A dozen services of usual sizes, 200 to 2,000 instances each."""
    dice = random.Random(seed)
    cpu, memory = [100, 250, 500, 1_000, 2_000, 3_000], [128, 256, 512, 1_024, 2_048, 4_096, 6_144]
    asks = [_ask(n, dice.randint(200, 2_000), dice.choice(cpu), dice.choice(memory) * MIB) for n in range(12)]
    return _case(f"microservices {seed}", asks, (LEAN,), dice)


def large_instances(seed: int, offers: tuple[Offer, ...] = (GENERAL,)) -> Case:
    """Forty services of which one to a dozen instances fill a host."""
    dice = random.Random(seed)
    asks = [
        _ask(n, dice.randint(20, 200), dice.randint(1_000, 9_000), dice.randint(2_000, 40_000) * MIB) for n in range(40)
    ]
    name = "large instances" if len(offers) == 1 else "large instances, four types"
    return _case(f"{name} {seed}", asks, offers, dice)


def openb(data: Path) -> Case:
    """All containers of the trace that fit on its most frequent host, as they arrived; GPUs in thousandths."""
    host = offer("G2", 96_000, 384 * GIB, 1.0, gpu=8_000)
    arrivals = [size for size in _containers(data) if size.fits_in(host.host_type.resources)]
    return _trace("OpenB, new hosts of type G2", arrivals, (host,))


def openb_fleet(data: Path) -> Case:
    """All containers of the trace on the hosts of the trace."""
    with (data / "openb-nodes.csv").open() as file:
        kinds = Counter(
            (int(row["cpu_milli"]), int(row["memory_mib"]) * MIB, int(row["gpu"]) * 1_000)
            for row in csv.DictReader(file)
        )
    offers = tuple(offer(f"type{n}", *kind[:2], 1.0, kind[2], count) for n, (kind, count) in enumerate(kinds.items()))
    return _trace("OpenB, its own 1,523 hosts", _containers(data), offers)


def _containers(data: Path) -> list[Resources]:
    with (data / "openb-pods-default.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["creation_time"]))
    return [
        Resources(int(row["cpu_milli"]), int(row["memory_mib"]) * MIB, 0, (("gpu-milli", gpu),) if gpu else ())
        for row in rows
        for gpu in [int(row["num_gpu"] or 0) * int(row["gpu_milli"] or 0)]
    ]


def _trace(name: str, arrivals: list[Resources], offers: tuple[Offer, ...]) -> Case:
    counts = Counter(arrivals)
    numbers = {size: number for number, size in enumerate(counts)}
    asks = tuple(Ask(f"trace/{number}", counts[size], size) for size, number in numbers.items())
    return Case(name, asks, tuple(numbers[size] for size in arrivals), offers)


def _ask(number: int, count: int, cpu_millis: int, memory_bytes: int) -> Ask:
    return Ask(f"shop/s{number}", count, Resources(cpu_millis, memory_bytes))


def _case(name: str, asks: list[Ask], offers: tuple[Offer, ...], dice: random.Random) -> Case:
    arrivals = [number for number, one in enumerate(asks) for _ in range(one.count)]
    dice.shuffle(arrivals)
    return Case(name, tuple(asks), tuple(arrivals), offers)
