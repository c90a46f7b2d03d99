"""The images of a lab: busybox, Python, programs on top of Python, and ballast of any size.

Each function writes an archive and returns its identifier; `Lab.load` brings it to the hosts, skopeo to a registry
(`skopeo copy docker-archive:FILE docker://…`).
"""

import random
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dcp.kernel.errors import InvalidInput, Problem
from dcp.lab import archive, image_files
from dcp.lab.archive import ImageConfig, ImageFile, LayerFile

BUSYBOX = "lab/busybox:latest"
PYTHON = "lab/python:latest"
_CHUNK_BYTES = 1 << 20


def build_busybox(target: Path, tag: str = BUSYBOX) -> str:
    """Write an image of busybox alone (about 2 MB)."""
    return archive.build(target, tag, [image_files.busybox_files()], _config(("/bin/sh",)))


def build_python(
    target: Path,
    tag: str = PYTHON,
    *,
    packages: Sequence[str] = (),
    files: Iterable[ImageFile] = (),
    command: Sequence[str] = ("python3",),
    environment: Mapping[str, str] | None = None,
    working_directory: str = "/",
) -> str:
    """Write an image of the running Python: busybox, Python, `packages` as installed here, `files`; a layer each.

    Images of one Python share their lower layers. `image_files.tree_files(folder, "app")` gives the files of a folder.
    """
    layers: list[list[ImageFile]] = [image_files.busybox_files(), image_files.python_files()]
    if packages:
        layers.append(image_files.package_files(packages))
    if chosen := list(files):
        layers.append(chosen)
    config = _config(command, {**_PYTHON_ENVIRONMENT, **(environment or {})}, working_directory)
    return archive.build(target, tag, layers, config)


def build_tree(target: Path, tag: str, folder: Path, command: Sequence[str] = ("/bin/sh",)) -> str:
    """Write an image whose one layer is `folder`."""
    return archive.build(target, tag, [image_files.tree_files(folder, "")], _config(command))


def build_rootfs(target: Path, tag: str, tar: Path, command: Sequence[str] = ("/bin/sh",)) -> str:
    """Write an image whose one layer is the plain tar `tar`."""
    return archive.write_archive(target, tag, [LayerFile(tar)], _config(command))


def build_ballast(target: Path, tag: str, layer_bytes: Sequence[int], seed: int) -> str:
    """Write an image of busybox and layers of random bytes that do not compress: the same seed, the same image."""
    drawn = random.Random(seed)
    base = archive.write_layer(target.with_name(f".{target.name}.base"), image_files.busybox_files())
    layers = [base]
    try:
        for index, size in enumerate(layer_bytes):
            raw = target.with_name(f".{target.name}.raw")
            with raw.open("wb") as file:
                for start in range(0, size, _CHUNK_BYTES):
                    file.write(drawn.randbytes(min(_CHUNK_BYTES, size - start)))
            path = target.with_name(f".{target.name}.{index}")
            layers.append(archive.write_layer(path, [ImageFile(f"ballast/{index}", raw, mode=0o644)]))
            raw.unlink()
        return archive.write_archive(target, tag, layers, _config(("/bin/sh",)))
    finally:
        for layer in layers:
            layer.path.unlink(missing_ok=True)


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON_ENVIRONMENT = {
    # Libraries that stood in no folder where the loader looks stand beside Python's own.
    "LD_LIBRARY_PATH": f"/{image_files.PYTHON_HOME}/lib",
    "PYTHONPATH": f"/{image_files.SITE}",
    "PYTHONUNBUFFERED": "1",
}


def _config(
    command: Sequence[str], environment: Mapping[str, str] | None = None, working_directory: str = "/"
) -> ImageConfig:
    everything = {"PATH": _PATH, **(environment or {})}
    return ImageConfig(tuple(command), everything, working_directory, image_files.architecture())


def prepare(path: Path, name: str, folder: Path, command: Sequence[str] = ("/bin/sh",)) -> tuple[Path, str]:
    """Return an archive (in `folder`, unless `path` is one already) of the image in `path`, and its identifier.

    `path` is a folder, a plain tar of a file system, or an archive as `docker save` writes it. Raises InvalidInput.
    """
    if archive.is_archive(path):
        return path, archive.read_identifier(path)
    target = folder / f"{re.sub(r'[^a-z0-9._-]', '_', name)}.tar"
    if path.is_dir():
        return target, build_tree(target, name, path, command)
    try:
        with tarfile.open(path, "r:") as tar:
            tar.next()
    except (tarfile.TarError, OSError) as error:
        problem = Problem(str(path), f"neither a folder nor a plain tar: {error}", "unpack it, or gunzip it first")
        raise InvalidInput((problem,), subject="the image") from error
    return target, build_rootfs(target, name, path, command)
