"""Write an image archive as `docker load` and skopeo read it: the same files give the same identifier on every host.

Layers are plain tars, ordered, owned by root; the configuration names them by digest and carries no date.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_CHUNK_BYTES = 1 << 20
_CREATED = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file, folder or link of an image. Exactly one of `source`, `data`, `link`; none: a folder."""

    path: str
    source: Path | None = None
    data: bytes | None = None
    link: str | None = None
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How containers of the image start, unless they are told otherwise."""

    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    architecture: str = "amd64"


class LayerFile:
    """One layer as a tar in a file of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        self.digest = digest.hexdigest()


def write_layer(target: Path, files: Iterable[ImageFile]) -> LayerFile:
    """Write the layer; folders above a file are made. A path given twice stands once, the later one."""
    chosen = {file.path.strip("/"): file for file in files}
    for path in list(chosen):
        for above in list(Path(path).parents)[:-1]:
            chosen.setdefault(str(above), ImageFile(str(above)))
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(chosen):
            _add(tar, path, chosen[path])
    return LayerFile(target)


def write_archive(target: Path, tag: str, layers: Sequence[LayerFile], config: ImageConfig) -> str:
    """Write the image `tag` made of `layers`, lowest first; return its identifier (`sha256:…`)."""
    document = json.dumps(
        {
            "architecture": config.architecture,
            "os": "linux",
            "created": _CREATED,
            "config": {
                "Cmd": list(config.command),
                "Env": [f"{key}={value}" for key, value in sorted(config.environment.items())],
                "WorkingDir": config.working_directory,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
            "history": [{"created": _CREATED, "created_by": "dcp lab"} for _ in layers],
        },
        sort_keys=True,
    ).encode()
    identifier = hashlib.sha256(document).hexdigest()
    names = list(dict.fromkeys(f"{layer.digest}/layer.tar" for layer in layers))
    paths = {f"{layer.digest}/layer.tar": layer.path for layer in layers}
    order = [f"{layer.digest}/layer.tar" for layer in layers]
    manifest: list[dict[str, Any]] = [{"Config": f"{identifier}.json", "RepoTags": [tag], "Layers": order}]
    new = target.with_name(f".{target.name}.new")
    with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            information = tarfile.TarInfo(name)
            information.size = paths[name].stat().st_size
            with paths[name].open("rb") as file:
                tar.addfile(information, file)
        _add_bytes(tar, f"{identifier}.json", document)
        _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
    new.replace(target)
    return f"sha256:{identifier}"


def build(target: Path, tag: str, layers: Sequence[Iterable[ImageFile]], config: ImageConfig) -> str:
    """Write an image from the files of its layers; return its identifier."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".layers.") as folder:
        written = [write_layer(Path(folder) / f"{index}.tar", files) for index, files in enumerate(layers)]
        return write_archive(target, tag, written, config)


def is_archive(path: Path) -> bool:
    """Return whether `path` is an image archive, not a tar of a file system."""
    try:
        with tarfile.open(path) as tar:
            return any(name.removeprefix("./") == "manifest.json" for name in tar.getnames())
    except (tarfile.TarError, OSError):
        return False


def read_identifier(path: Path) -> str:
    """Return the identifier of the (first) image in an archive."""
    with tarfile.open(path) as tar:
        file: IO[bytes] | None = tar.extractfile("manifest.json")
        assert file is not None
        name = str(json.load(file)[0]["Config"])
    return "sha256:" + Path(name).name.removesuffix(".json")


def _add(tar: tarfile.TarFile, path: str, file: ImageFile) -> None:
    information = tarfile.TarInfo(path)
    information.mode = file.mode
    if file.link is not None:
        information.type, information.linkname = tarfile.SYMTYPE, file.link
        tar.addfile(information)
    elif file.data is not None:
        information.size = len(file.data)
        tar.addfile(information, io.BytesIO(file.data))
    elif file.source is not None:
        about = file.source.stat()
        # Python finds compiled modules stale unless their source keeps its time.
        information.size, information.mtime = about.st_size, int(about.st_mtime)
        with file.source.open("rb") as content:
            tar.addfile(information, content)
    else:
        information.type = tarfile.DIRTYPE
        tar.addfile(information)


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    information = tarfile.TarInfo(name)
    information.size = len(data)
    tar.addfile(information, io.BytesIO(data))
