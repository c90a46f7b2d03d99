"""The water level of a service: its maximum capacity divided by its live load. A multiple; higher is safer."""

from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.capacity.units import HEAVIEST_WEIGHT, weighted_units
from dcp.orchestration.services.model import Capacity


def live_units_per_s(sample: Sample) -> float:
    """Return the live load in units/s.

    Requests count when they complete. When requests arrived and none completed, the service stalls, and its load is
    not zero: each arrival then counts with the heaviest weight.
    """
    units = weighted_units(sample.by_latency)
    if units == 0:
        units = sample.arrived * HEAVIEST_WEIGHT
    return units / sample.window_s


def water_level(instances: int, capacity: Capacity, sample: Sample) -> float | None:
    """Return (capacity of `instances`) / (live load of the sample).

    None when there was no load, where the quotient would be infinite: readers take it as "above every line". 0.0 when
    there is load and no instance. Never infinite, never NaN, so it can stand in JSON as it is.
    """
    load = live_units_per_s(sample)
    if load <= 0:
        return None
    return instances * capacity.units_per_s / load
