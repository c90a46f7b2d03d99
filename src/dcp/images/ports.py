"""What dcp asks of a registry: content by digest, tags, and the list of what there is."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from dcp.images.model import Manifest


@dataclass(frozen=True, slots=True)
class Upload:
    """A blob on its way into a registry. It may be kept and gone on with by another process.

    `location` is the registry's own word for it. `complete`: the registry has the blob already, nothing is to be sent.
    """

    repository: str
    digest: str
    location: str = ""
    offset_bytes: int = 0
    complete: bool = False
    pending_bytes: int = 0
    """Bytes that are sent next. Who goes on after a crash cannot know whether they arrived; the registry can."""


class Registry(Protocol):
    """The registry of one site, or one that stands alone.

    Every call may raise DriverError (Throttled: slow down; Rejected: never as it is) or Denied (no right to it), and
    returns within 60 s, except that a stream goes on as long as bytes come. What may be tried again is DriverError.
    Content is checked against its digest by whoever reads it.
    """

    async def resolve(self, repository: str, reference: str) -> str | None:
        """Return the digest of a tag or of a digest that is there; None if the registry does not have it."""
        ...

    async def get_manifest(self, repository: str, reference: str) -> Manifest:
        """Return the manifest of a tag or digest. Raises NotFound; Rejected where body and digest do not agree."""
        ...

    async def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Store `manifest` under a tag or its digest. The same again changes nothing.

        Raises Rejected while a blob that it names is missing.
        """
        ...

    async def blob_size(self, repository: str, digest: str) -> int | None:
        """Return the bytes of a blob that the repository has; None if it does not."""
        ...

    def read_blob(self, repository: str, digest: str, offset_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield the blob from `offset_bytes` on, in pieces of at most 1 MiB. Raises NotFound."""
        ...

    async def begin_upload(
        self, repository: str, digest: str, *, resume: Upload | None = None, mount_from: str = ""
    ) -> Upload:
        """Return an upload to append to: `resume` where the registry still knows it, else a new one at offset 0.

        `mount_from` names a repository of the same registry that has the blob: nothing is sent then (`complete`).
        """
        ...

    async def append_upload(self, upload: Upload, chunk: bytes) -> Upload:
        """Send the next bytes; return the upload after them. An old upload cannot be appended to any more.

        Raises NotFound or Rejected where the registry does not go on with this upload: begin a new one.
        """
        ...

    async def finish_upload(self, upload: Upload) -> None:
        """Make the blob of what was appended. Raises Rejected if it has another digest; then nothing is kept."""
        ...


class Catalogue(Protocol):
    """What a registry holds, and taking it out. Claimed apart, because registries differ most in this."""

    def repositories(self) -> AsyncIterator[str]:
        """Yield the name of every repository, in order."""
        ...

    async def tags(self, repository: str) -> tuple[str, ...]:
        """Return every tag of a repository, in order; none if there is no such repository."""
        ...

    async def delete_manifest(self, repository: str, digest: str) -> None:
        """Take a manifest and every tag on it out of a repository. What is absent is success.

        Blobs stay until the registry collects them itself. Raises Rejected where deleting is not enabled.
        """
        ...
