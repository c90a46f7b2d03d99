"""Archives of images: the same files are the same image; what was not asked for is not in it."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from dcp.kernel.errors import InvalidInput, Unavailable
from dcp.lab import image_files, images
from dcp.lab.archive import ImageConfig, ImageFile, build, is_archive, read_identifier


def test_the_same_files_give_the_same_identifier_in_any_order(tmp_path: Path):
    files = [ImageFile("etc/a", data=b"a"), ImageFile("bin/b", link="/etc/a"), ImageFile("tmp", mode=0o1777)]
    config = ImageConfig(("/bin/b",), {"PATH": "/bin"})
    first = build(tmp_path / "1.tar", "lab/x:1", [files], config)
    second = build(tmp_path / "2.tar", "lab/x:1", [reversed(files)], config)
    other = build(tmp_path / "3.tar", "lab/x:1", [[*files, ImageFile("etc/c", data=b"")]], config)
    assert first == second == read_identifier(tmp_path / "1.tar")
    assert other != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.tar", "2.tar", "3.tar"]


def test_an_archive_holds_its_layers_by_digest_and_folders_above_every_file(tmp_path: Path):
    build(tmp_path / "x.tar", "lab/x:1", [[ImageFile("a/b/c", data=b"hello", mode=0o600)]], ImageConfig())
    with tarfile.open(tmp_path / "x.tar") as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        document = json.load(archive.extractfile(manifest["Config"]))
        (layer,) = manifest["Layers"]
        assert document["rootfs"]["diff_ids"] == [f"sha256:{layer.split('/')[0]}"]
        with tarfile.open(fileobj=archive.extractfile(layer)) as inside:
            found = {member.name: (member.isdir(), member.mode, member.uid) for member in inside}
    assert found == {"a": (True, 0o755, 0), "a/b": (True, 0o755, 0), "a/b/c": (False, 0o600, 0)}


def test_ballast_has_its_size_does_not_compress_and_is_drawn_from_its_seed(tmp_path: Path):
    first = images.build_ballast(tmp_path / "1.tar", "lab/b:1", [300_000, 200_000], seed=7)
    again = images.build_ballast(tmp_path / "2.tar", "lab/b:1", [300_000, 200_000], seed=7)
    other = images.build_ballast(tmp_path / "3.tar", "lab/b:1", [300_000, 200_000], seed=8)
    assert first == again != other
    packed = subprocess.run(["gzip", "-c", tmp_path / "1.tar"], capture_output=True, check=True).stdout
    assert len(packed) > 500_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.tar", "2.tar", "3.tar"]


def test_a_folder_a_plain_tar_and_an_archive_become_images_and_nothing_else_does(tmp_path: Path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/run").write_text("x")
    (tree / "link").symlink_to("bin/run")
    with tarfile.open(tmp_path / "plain.tar", "w") as tar:
        tar.add(tree, ".")
    for path in (tree, tmp_path / "plain.tar"):
        archive, identifier = images.prepare(path, "shop/web:1", tmp_path)
        assert is_archive(archive) and read_identifier(archive) == identifier
        assert images.prepare(archive, "shop/web:1", tmp_path) == (archive, identifier)
    subprocess.run(["gzip", tmp_path / "plain.tar"], check=True)
    for wrong in (tmp_path / "plain.tar.gz", tmp_path / "absent"):
        with pytest.raises(InvalidInput):
            images.prepare(wrong, "x", tmp_path)


def test_the_files_of_a_package_come_with_what_it_requires():
    paths = {file.path for file in image_files.package_files(["aiohttp"])}
    assert f"{image_files.SITE}/aiohttp/__init__.py" in paths
    assert f"{image_files.SITE}/multidict/__init__.py" in paths
    assert not any(path.startswith(f"{image_files.SITE}/pytest/") for path in paths)
    with pytest.raises(Unavailable, match="no-such-package"):
        image_files.package_files(["no-such-package"])


def test_python_comes_with_its_libraries_and_without_its_tests():
    files = {file.path: file for file in image_files.python_files()}
    assert any("ld-linux" in path for path in files) and any("libc.so" in path for path in files)
    assert not any("/test/" in path or "/idlelib/" in path for path in files)
    assert files["usr/bin/python3"].link.startswith("/usr/local/bin/python3.")
