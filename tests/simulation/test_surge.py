"""The production engine through a surge with faults, over many seeds. A failure names the seed: `make sim SEED=n`."""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
import structlog

from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine import service as service_worker
from dcp.orchestration.services import decide as service_decisions
from dcp.orchestration.services.model import GateCondition, Instance, Observation, StartOrder
from dcp.simulation.surge import SURGE_FACTOR, simulate_surge

BATCH = 25
SEEDS = int(os.environ.get("DCP_SIM_SEEDS", "1000" if os.environ.get("CI") else "100"))


@pytest.fixture(autouse=True)
def quiet_log() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_property_holds_and_all_comes_back(first: int) -> None:
    for seed in range(first, min(first + BATCH, SEEDS)):
        result = simulate_surge(seed)
        assert result.violation == "", f"seed {seed}: {result.violation}; replay with: make sim SEED={seed}"
        assert result.converged_s is not None
        assert result.checks > 100


def test_the_scenario_is_worth_its_name() -> None:
    results = [simulate_surge(seed) for seed in range(12)]
    assert SURGE_FACTOR == 6
    assert any(result.crashes >= 2 for result in results)
    assert sum(1 for result in results if result.lost_host) >= 10
    assert sum(1 for result in results if result.cut_off_host) > 6
    assert any(result.peak_cloud_hosts for result in results)
    assert max(result.peak_instances for result in results) >= 12


def test_the_same_seed_gives_the_same_log() -> None:
    assert simulate_surge(5).log_hash == simulate_surge(5).log_hash
    assert simulate_surge(5).log_hash != simulate_surge(6).log_hash


def test_the_log_does_not_depend_on_the_order_of_sets() -> None:
    program = "from dcp.simulation.surge import simulate_surge; print('hash', simulate_surge(3).log_hash)"
    found = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        found.add(run.stdout.rsplit("hash", 1)[1])
    assert len(found) == 1


def _always_open(
    gate: tuple[GateCondition, ...],
    serving: Mapping[str, int],
    targets: Mapping[str, int],
    attainable: Mapping[str, int] | None = None,
) -> str:
    return ""


def test_a_gate_that_opens_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_decisions, "gate_open", _always_open)
    monkeypatch.setattr(service_worker, "gate_open", _always_open)
    assert "passes its gate" in simulate_surge(1).violation


def test_a_runtime_that_starts_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = FakeRuntime.start

    async def forgetful(self: FakeRuntime, order: StartOrder) -> Observation:
        await honest(self, order)
        self._processes.pop(order.instance_id)
        return await honest(self, order)

    monkeypatch.setattr(FakeRuntime, "start", forgetful)
    assert "was started 2 times" in simulate_surge(1).violation


def test_stopping_before_draining_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_told(self: object, *args: object, **kwargs: object) -> None:
        worker = self
        if worker._acknowledged is None or not any(args[1]):  # type: ignore[attr-defined]
            await honest(worker, *args, **kwargs)  # type: ignore[arg-type]

    honest = service_worker.ServiceWorker._tell_balancer
    monkeypatch.setattr(service_worker.ServiceWorker, "_tell_balancer", never_told)
    assert simulate_surge(1).violation != ""


def test_taking_silence_for_an_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rash(self: service_worker.ServiceWorker, instance: Instance) -> tuple[Observation | None]:
        return await honest(self, instance) or (None,)

    honest = service_worker.ServiceWorker._look_at
    monkeypatch.setattr(service_worker.ServiceWorker, "_look_at", rash)
    found = {simulate_surge(seed).violation for seed in range(8)}
    assert any("cannot be asked" in violation for violation in found)
