"""Builds: what was built from what, and on which of the four layers an image stands.

Images are made in four layers so that what changes often is small: `os`, `runtime`, `web` (its web container) and
`application`. An image says which it is with the label `dcp.layer`.
"""

from dataclasses import dataclass
from enum import StrEnum

LAYER_LABEL = "dcp.layer"
BASE_LABEL = "dcp.base"
"""Set by `dcp images build`: the base as the Dockerfile names it, with the digest it had."""


class ImageLayer(StrEnum):
    """The four layers, bottom first."""

    OS = "os"
    RUNTIME = "runtime"
    WEB = "web"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One build that was pushed."""

    id: str
    repository: str
    tag: str
    digest: str
    built_at: float
    built_by: str
    source: str
    """The folder or git address; with a commit where it came from git."""
    base: str = ""
    """The last `FROM`, pinned where its digest is known."""
    duration_s: float = 0.0
    size_bytes: int = 0
    new_bytes: int = 0
    """Bytes of layers that no earlier image of the repository had."""
