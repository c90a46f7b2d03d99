"""Moves requests through an application and counts what a policy made of them; knows nothing of the policy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.simulation.load.model import LoadResult, LoadScenario
from dcp.simulation.traffic import Fluid

TICK_S = 0.5
HOLDS_S = 60.0
"""The objective holds again once it held for so long."""
RETRY_AFTER_S = 10.0
"""Requests that are sent again come back over this time."""


@dataclass(slots=True)
class Meter:
    """Call `tick` for every step of the clock."""

    scenario: LoadScenario
    fluid: Fluid = field(init=False)
    at_s: float = 0.0
    _again: float = 0.0
    _violation_s: float = 0.0
    _instance_s: float = 0.0
    _oracle_s: float = 0.0
    _host_s: float = 0.0
    _peak: int = 0
    _peak_hosts: int = 0
    _waiting_most: float = 0.0
    _slow_until_s: float | None = None
    _recovered_s: float | None = None

    def __post_init__(self) -> None:
        self.fluid = Fluid(self.scenario.spec, self.scenario.service_ms)

    def tick(self, serving: Mapping[str, int], instances: int, cloud_hosts: int) -> None:
        """Let requests run for `TICK_S`. `instances` hold resources; `cloud_hosts` are paid for."""
        scenario = self.scenario
        entering = scenario.curve(self.at_s) + self._again / RETRY_AFTER_S
        self._again -= self._again / RETRY_AFTER_S * TICK_S
        self.fluid.advance({scenario.entry: entering}, serving, TICK_S)
        self.at_s += TICK_S
        slow = self.fluid.queues[scenario.entry].latency_ms > scenario.objective_ms
        if slow:
            self._violation_s += TICK_S
            self._again += entering * scenario.retries / (1 + scenario.retries) * TICK_S
        self._note_recovery(slow)
        self._instance_s += instances * TICK_S
        self._oracle_s += scenario.oracle(self.at_s) * TICK_S
        self._host_s += cloud_hosts * TICK_S
        self._peak = max(self._peak, instances)
        self._peak_hosts = max(self._peak_hosts, cloud_hosts)
        self._waiting_most = max(self._waiting_most, self.fluid.waiting())

    @property
    def over(self) -> bool:
        """Whether the scenario has ended."""
        return self.at_s >= self.scenario.lasts_s

    def _note_recovery(self, slow: bool) -> None:
        begins = self.scenario.surge_at_s
        if begins is None or self.at_s <= begins or self._recovered_s is not None:
            return
        if slow:
            self._slow_until_s = self.at_s
        since = self._slow_until_s if self._slow_until_s is not None else begins
        if self.at_s - since >= HOLDS_S:
            self._recovered_s = since - begins

    def result(self, policy: str, seed: int) -> LoadResult:
        """Return what was counted."""
        scenario = self.scenario
        recovery = math.inf if self._recovered_s is None else self._recovered_s
        return LoadResult(
            scenario=scenario.name,
            policy=policy,
            seed=seed,
            recovery_s=None if scenario.surge_at_s is None else recovery,
            violation_s=self._violation_s,
            waiting_most=self._waiting_most,
            peak_instances=self._peak,
            instance_s=self._instance_s,
            oracle_instance_s=self._oracle_s,
            host_usd=self._host_s / 3600 * scenario.site.cloud_usd_per_hour,
            peak_cloud_hosts=self._peak_hosts,
        )
