"""Machines that people take in and give back; see `dcp hosts add`."""

from fastapi import APIRouter
from pydantic import Field

from dcp.api.dependencies import Controller
from dcp.api.shapes import Shape
from dcp.engine import machines as engine
from dcp.engine.machines import MachineView
from dcp.hosts.adding.model import AddAsked, SetAside

router = APIRouter(prefix="/machines", tags=["machines"])


class AddBody(Shape):
    """Machines to add, all in the same way. What is left out is as the settings say; sizes are read on the machines.

    `key` is a name under `initialise.keys` or the path of a file on the controller, never a key.
    """

    addresses: list[str]
    user: str = ""
    port: int | None = None
    key: str = Field(default="", repr=False)
    engine: str = ""
    cluster: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    type: str = ""
    cpu_millis: int | None = None
    memory_bytes: int | None = None
    new_host_key: bool = False
    dry_run: bool = False

    def asked(self) -> AddAsked:
        """Return the frozen value."""
        told = self.model_dump(exclude={"addresses", "labels", "type", "dry_run"})
        labels = tuple(sorted(self.labels.items()))
        return AddAsked(addresses=tuple(self.addresses), labels=labels, type_name=self.type, **told)


class AddedShape(Shape):
    """What became of one machine: `added`, `taken-back`, or `unchanged`; and what was found there."""

    address: str
    outcome: str
    type: str
    cpu_millis: int
    memory_bytes: int
    system: str
    engine_version: str


class AddedList(Shape):
    """What became of every machine of the call."""

    machines: list[AddedShape]
    dry_run: bool

    @classmethod
    def of(cls, added: engine.Added) -> "AddedList":
        adding = added.adding
        groups = (("added", adding.add), ("taken-back", adding.back), ("unchanged", adding.same))
        found = [
            AddedShape(
                address=machine.address,
                outcome=outcome,
                type=machine.host_type.name,
                cpu_millis=machine.host_type.resources.cpu_millis,
                memory_bytes=machine.host_type.resources.memory_bytes,
                system=added.looks[machine.address].system,
                engine_version=added.looks[machine.address].engine,
            )
            for outcome, group in groups
            for machine in group
        ]
        return cls(machines=sorted(found, key=lambda one: one.address), dry_run=added.dry_run)


class MachineShape(Shape):
    """An added machine. `state`: `free`, `set-aside`, `leaving`, or the state of the host that it is now."""

    address: str
    user: str
    port: int
    key: str
    engine: str
    cluster: str
    labels: dict[str, str]
    type: str
    cpu_millis: int
    memory_bytes: int
    added_at: float
    leave_by: float | None
    host: str
    state: str
    words: str

    @classmethod
    def of(cls, view: MachineView) -> "MachineShape":
        machine = view.machine
        return cls(
            address=machine.address,
            user=machine.reach.user,
            port=machine.reach.port,
            key=machine.reach.key,
            engine=machine.engine_url,
            cluster=machine.cluster,
            labels=dict(machine.host_type.labels),
            type=machine.host_type.name,
            cpu_millis=machine.host_type.resources.cpu_millis,
            memory_bytes=machine.host_type.resources.memory_bytes,
            added_at=machine.added_at,
            leave_by=machine.leave_by,
            host=machine.host_id,
            state=view.state,
            words=view.words,
        )


class AsideShape(Shape):
    """A machine that could not be initialised; it is not offered until a person says so."""

    source: str
    address: str
    at: float
    words: str

    @classmethod
    def of(cls, one: SetAside) -> "AsideShape":
        return cls(source=one.source, address=one.address, at=one.at, words=one.words)


class MachineList(Shape):
    """Added machines, and those of all sources that are set aside."""

    machines: list[MachineShape]
    set_aside: list[AsideShape]


class RemoveBody(Shape):
    """By when the machines shall be empty, in seconds from now."""

    addresses: list[str]
    within_s: float = 600.0


class LeavingList(Shape):
    """Machines that still have to be emptied; all others are gone."""

    leaving: list[MachineShape]


class RetryBody(Shape):
    """Machines to offer again; `all`: every one that is set aside."""

    addresses: list[str] = Field(default_factory=list)
    all: bool = False


class RetriedList(Shape):
    """What is offered again."""

    retried: list[AsideShape]


@router.get("")
async def list_machines(controller: Controller) -> MachineList:
    """Machines that people have added, and what is set aside."""
    found, aside = await controller.database.read(engine.list_machines)
    return MachineList(
        machines=[MachineShape.of(one) for one in found], set_aside=[AsideShape.of(one) for one in aside]
    )


@router.post("")
async def add(body: AddBody, controller: Controller) -> AddedList:
    """Look at machines over SSH; take them in if each of them can be used, else change nothing."""
    parts = engine.parts_of(controller)
    return AddedList.of(await engine.add(controller, parts, body.asked(), dry_run=body.dry_run))


@router.post("/remove")
async def remove(body: RemoveBody, controller: Controller) -> LeavingList:
    """Have what runs there replaced elsewhere first, then forget the machines. Doing it again changes nothing."""
    parts = engine.parts_of(controller)
    left = await engine.remove(controller, parts, tuple(body.addresses), body.within_s)
    return LeavingList(leaving=[MachineShape.of(one) for one in left])


@router.post("/retry")
async def retry(body: RetryBody, controller: Controller) -> RetriedList:
    """Offer machines again that could not be initialised."""
    found = await engine.retry(controller, tuple(body.addresses), every=body.all)
    return RetriedList(retried=[AsideShape.of(one) for one in found])
