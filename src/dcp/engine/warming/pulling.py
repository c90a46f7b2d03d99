"""One pull from the first copy that can give the image."""

from dcp.engine.context import log
from dcp.kernel.errors import DriverError, Unreachable
from dcp.orchestration.services.ports import ImageRuntime, PullOrder


async def pull_from_any(runtime: ImageRuntime, orders: tuple[PullOrder, ...]) -> int:
    """Pull by the first order that works and return the bytes that were transferred.

    A copy that is down, does not have the image yet or gives another one sends us to the next. What is wrong with the
    host itself (it cannot be reached, its disk is full) is wrong with every copy. Raises what the first copy said.
    """
    first: DriverError | None = None
    for order in orders:
        try:
            return await runtime.pull(order)
        except Unreachable:
            raise
        except DriverError as error:
            if "disk-full" in str(error):
                raise
            log.info("copy cannot give the image", image=order.image, registry=order.registry, error=str(error))
            first = first or error
    raise first or DriverError("registry-down: no registry is configured")
