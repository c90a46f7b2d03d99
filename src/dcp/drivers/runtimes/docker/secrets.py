"""Secrets as files: an unnamed volume for each folder that has some, filled by an archive before the first start.

Such a volume is dropped by the engine together with its container, so nothing has to be remembered about it. The text
of a secret is in no configuration, label or environment that the engine shows.
"""

import io
import tarfile
from pathlib import PurePosixPath

from dcp.orchestration.services.container import SecretFile


def folders(secrets: tuple[SecretFile, ...]) -> tuple[str, ...]:
    """Return the folders that need a volume."""
    return tuple(sorted({str(PurePosixPath(secret.target).parent) for secret in secrets}))


def archive(secrets: tuple[SecretFile, ...], folder: str) -> bytes:
    """Return the files of one folder with their rights and owners, to be unpacked there."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for secret in secrets:
            target = PurePosixPath(secret.target)
            if str(target.parent) != folder:
                continue
            content = secret.value.value.encode()
            entry = tarfile.TarInfo(target.name)
            entry.size, entry.mode, entry.uid, entry.gid = len(content), secret.mode, secret.uid, secret.gid
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
