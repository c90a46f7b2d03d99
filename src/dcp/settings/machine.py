"""How large this machine is, for hosts that are slices of it."""

import os
from dataclasses import dataclass

import psutil

from dcp.hosts.model import Resources

MEMORY_SHARE = 0.75
"""Share of the machine's memory that instances may have; the rest is for the controller, the proxy and all else."""
SMALLEST_SLICE_CPU_MILLIS = 1000
"""A slice has one processor at least, so on a small machine processors are promised more than once: a limit on
processors is an upper bound that is shared when all want it. Memory is never promised twice."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Processors that this process may use, and all memory."""

    cpus: int
    memory_bytes: int


def this_machine() -> Machine:
    """Return what this machine has."""
    return Machine(cpus=len(os.sched_getaffinity(0)), memory_bytes=psutil.virtual_memory().total)


def slice_of(machine: Machine, slices: int) -> Resources:
    """Return the size of one of `slices` equal parts."""
    return Resources(
        cpu_millis=max(SMALLEST_SLICE_CPU_MILLIS, machine.cpus * 1000 // slices),
        memory_bytes=int(machine.memory_bytes * MEMORY_SHARE) // slices,
    )
