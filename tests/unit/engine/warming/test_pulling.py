"""One pull from the first copy that can give the image."""

import pytest

from dcp.engine.warming.pulling import pull_from_any
from dcp.kernel.errors import DriverError, Rejected, Unreachable
from dcp.orchestration.services.ports import PullOrder

IMAGE = "registry.example:5000/app/web@sha256:" + "a" * 64
ORDERS = tuple(PullOrder(IMAGE, registry) for registry in ("one:5000", "two:5000"))


class Host:
    """Says of each registry what a test wants; counts who was asked."""

    def __init__(self, **says: DriverError | int) -> None:
        self._says = says
        self.asked: list[str] = []

    async def pull(self, order: PullOrder) -> int:
        name = order.registry.partition(":")[0]
        self.asked.append(name)
        said = self._says[name]
        if isinstance(said, DriverError):
            raise said
        return said


async def test_the_first_copy_is_enough():
    host = Host(one=7)
    assert (await pull_from_any(host, ORDERS), host.asked) == (7, ["one"])


@pytest.mark.parametrize(
    "error", [DriverError("registry-down: x"), Rejected("image-missing: x"), Rejected("wrong-digest: x")]
)
async def test_the_next_copy_is_asked_when_one_cannot_give_it(error: DriverError):
    host = Host(one=error, two=5)
    assert (await pull_from_any(host, ORDERS), host.asked) == (5, ["one", "two"])


async def test_what_the_first_copy_said_is_raised_when_none_can():
    with pytest.raises(Rejected, match="image-missing"):
        await pull_from_any(Host(one=Rejected("image-missing: x"), two=DriverError("registry-down: y")), ORDERS)


@pytest.mark.parametrize("error", [DriverError("disk-full: x"), Unreachable("gone")])
async def test_what_is_wrong_with_the_host_is_not_tried_elsewhere(error: DriverError):
    host = Host(one=error, two=5)
    with pytest.raises(type(error)):
        await pull_from_any(host, ORDERS)
    assert host.asked == ["one"]


async def test_without_a_registry_it_is_down():
    with pytest.raises(DriverError, match="registry-down"):
        await pull_from_any(Host(), ())
