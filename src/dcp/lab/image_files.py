"""Which files of this machine make a small image: busybox, the running Python, what its packages need.

No image can be pulled where tests run, so images are made of what is installed here.
"""

import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from dcp.kernel.errors import Unavailable
from dcp.lab.archive import ImageFile

BUSYBOX = (Path("/bin/busybox"), Path("/usr/bin/busybox"))
PYTHON_HOME = "usr/local"
SITE = "opt/site"
"""Where packages stand in an image; in its PYTHONPATH."""
_TESTS = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data")
_UNUSED = frozenset({*_TESTS, "__pycache__", "site-packages", "dist-packages"})
_ETC = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
}
_SYSTEM_LIBRARIES = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
_LIBRARY = re.compile(r"(?:=>\s+)?(/\S+)\s+\(0x[0-9a-f]+\)")
_REQUIRED = re.compile(r"[A-Za-z0-9._-]+")


def busybox_files() -> list[ImageFile]:
    """Return a file system of busybox alone, with a link for each of its programs. Raises Unavailable."""
    program = next((path for path in BUSYBOX if path.exists()), None)
    if program is None:
        raise Unavailable(
            "busybox is missing", hint="on Debian: apt-get install --no-install-recommends busybox-static"
        )
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    files = [ImageFile("bin/busybox", program)]
    files += [ImageFile(f"bin/{name}", link="busybox") for name in listed if name != "busybox"]
    files += [
        ImageFile("tmp", mode=0o1777),
        *(ImageFile(name) for name in ("proc", "sys", "dev", "root", "run", "var")),
    ]
    files.append(
        ImageFile("etc/passwd", data=b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", mode=0o644)
    )
    files.append(ImageFile("etc/group", data=b"root:x:0:\nnogroup:x:65534:\n", mode=0o644))
    return files + libraries([program])


def python_files() -> list[ImageFile]:
    """Return the running interpreter, its standard library without tests, and the libraries these load."""
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    standard = Path(sysconfig.get_path("stdlib"))
    files = [ImageFile(f"{PYTHON_HOME}/bin/{name}", program)]
    files += [ImageFile(f"{folder}/{link}", link=f"/{PYTHON_HOME}/bin/{name}") for folder, link in _links(name)]
    native = [program]
    for path in _walk(standard):
        if path.suffix == ".so":
            native.append(path)
        files.append(ImageFile(f"{PYTHON_HOME}/lib/{name}/{path.relative_to(standard)}", path, mode=_mode(path)))
        compiled = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
        if path.suffix == ".py" and compiled.exists():
            inside = f"{PYTHON_HOME}/lib/{name}/{compiled.relative_to(standard)}"
            files.append(ImageFile(inside, compiled, mode=0o644))
    return files + libraries(native)


def package_files(packages: Iterable[str]) -> list[ImageFile]:
    """Return installed packages with all that they require, for the folder `SITE`. Raises Unavailable."""
    files: list[ImageFile] = []
    native: list[Path] = []
    for name in _with_requirements(packages):
        for listed in distribution(name).files or ():
            path = Path(str(listed.locate()))
            if ".." in listed.parts or not path.is_file():
                continue
            native += [path] if ".so" in path.suffixes else []
            files.append(ImageFile(f"{SITE}/{listed}", path, mode=_mode(path)))
    return files + libraries(native)


def tree_files(folder: Path, inside: str) -> list[ImageFile]:
    """Return every file below `folder`, to stand below `inside`; links stay links."""
    files = []
    for path in sorted(folder.rglob("*")):
        target = f"{inside}/{path.relative_to(folder)}"
        if path.is_symlink():
            files.append(ImageFile(target, link=str(path.readlink())))
        elif path.is_dir():
            files.append(ImageFile(target, mode=path.stat().st_mode & 0o7777))
        elif path.is_file():
            files.append(ImageFile(target, path, mode=path.stat().st_mode & 0o7777))
    return files


def libraries(programs: Iterable[Path]) -> list[ImageFile]:
    """Return the shared libraries that `programs` load: where the loader looks for them, or beside Python's."""
    files = {}
    chosen = [str(path) for path in programs]
    for start in range(0, len(chosen), 100):
        said = subprocess.run(["ldd", *chosen[start : start + 100]], capture_output=True, text=True, check=False).stdout
        for found in _LIBRARY.findall(said):
            path = Path(found)
            system = found.startswith(_SYSTEM_LIBRARIES)
            inside = found.strip("/") if system else f"{PYTHON_HOME}/lib/{path.name}"
            files[inside] = ImageFile(inside, path.resolve())
    return list(files.values())


def architecture() -> str:
    """Return this machine's architecture as images name it."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _links(name: str) -> Iterator[tuple[str, str]]:
    for folder in (f"{PYTHON_HOME}/bin", "usr/bin"):
        for link in ("python3", "python"):
            yield folder, link
    yield "usr/bin", name


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in _UNUSED and not path.name.startswith("config-"):
                yield from _walk(path)
        elif path.suffix not in (".pyc", ".a", ".o"):
            yield path


def _with_requirements(packages: Iterable[str]) -> list[str]:
    wanted, waiting = [], list(packages)
    while waiting:
        name = waiting.pop()
        if name.lower().replace("_", "-") in wanted:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError as error:
            if name in packages:
                raise Unavailable(f"the Python package {name} is not installed here") from error
            continue
        wanted.append(name.lower().replace("_", "-"))
        for requirement in requirements:
            match = _REQUIRED.match(requirement)
            if match and "extra ==" not in requirement:
                waiting.append(match[0])
    return wanted


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644
