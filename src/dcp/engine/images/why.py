"""Why an image is where it is, in plain words."""

from sqlalchemy import Connection

from dcp.images.model import ImageRef
from dcp.images.replication.model import ImageCopy
from dcp.images.states import CopyState
from dcp.kernel.units import format_bytes
from dcp.store import images

_SAYS = {
    CopyState.WANTED: "shall have it",
    CopyState.COPYING: "is getting it",
    CopyState.PRESENT: "has it",
    CopyState.FAILED: "could not get it",
    CopyState.REMOVING: "is losing it",
}


def why_image(connection: Connection, text: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Return (subject, what it is now, why) for `repository:tag` or `repository@digest`; None for no image of ours."""
    try:
        ref = ImageRef.parse(text)
    except ValueError:
        return None
    head = None if ref.digest else images.head(connection, ref.repository, ref.reference)
    digest = ref.digest or (head.digest if head else "")
    copies = [copy for copy in images.copies(connection, ref.repository) if copy.digest == digest]
    if head is not None:
        copies = [copy for copy in copies if copy.tag == head.tag]
    if not copies:
        return None
    lines = [_line(copy) for copy in sorted(copies, key=lambda one: one.site)]
    if head is None:
        return copies[0].subject, f"{ref.repository}@{digest}", tuple(lines)
    who = f" by {head.pushed_by}" if head.pushed_by else ""
    known = "every master has it" if head.acknowledged_at else "not every master has it yet"
    now = f"{ref.repository}:{head.tag} is {digest}, pushed to {head.site}{who}; {known}"
    return f"image/{ref.repository}:{head.tag}", now, tuple(lines)


def _line(copy: ImageCopy) -> str:
    missing = f", {format_bytes(copy.missing_bytes)} to come" if copy.missing_bytes else ""
    tries = f", {copy.attempts} attempts" if copy.attempts else ""
    return f"{copy.site} {_SAYS[copy.state]} ({copy.reason or copy.state}{missing}{tries})"
