"""Every registry keeps every promise of `registries`: the fake, and a real one with and without its own delete."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from registries import CASES, Both, Case
from registry_process import RegistryProcess

from dcp.drivers.registries.distribution import DistributionRegistry, RegistryAddress
from dcp.drivers.registries.fake import FakeRegistry
from dcp.kernel.clock import SystemClock


class FakeRig:
    def __init__(self) -> None:
        self.registry: Both = FakeRegistry(SystemClock())

    def again(self) -> Both:
        return self.registry


class ProcessRig:
    """The process is shared; each case has it with empty storage, because repositories have no end."""

    def __init__(self, process: RegistryProcess) -> None:
        self._process = process
        self._made: list[DistributionRegistry] = []
        self.registry: Both = self.again()

    def again(self) -> Both:
        address = RegistryAddress(self._process.url, upload_secret="of-this-test")
        registry = DistributionRegistry(address, SystemClock())
        self._made.append(registry)
        return registry

    async def close(self) -> None:
        for registry in self._made:
            await registry.aclose()


@pytest.fixture
async def process_rig(tmp_path: Path) -> AsyncIterator[ProcessRig]:
    process = RegistryProcess(tmp_path)
    process.start()
    rig = ProcessRig(process)
    try:
        yield rig
    finally:
        await rig.close()
        process.kill()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_contract_of_the_fake(case: Case) -> None:
    await case(FakeRig())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_contract_of_distribution(case: Case, process_rig: ProcessRig) -> None:
    await case(process_rig)
