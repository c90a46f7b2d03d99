"""Whatever stands in a file, reading it gives a specification or InvalidInput, never anything else."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp import compose
from dcp.compose.key_table import KEYS
from dcp.kernel.errors import InvalidInput

NAMES = sorted({part for key in KEYS for part in key.path.split(".")} - {"*"})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 100_000)
    | st.floats(allow_nan=True)
    | st.sampled_from(
        ["", "a", "b", "1s", "64M", "0.5", "8080:80", "$A", "${A:-b}", "${", "node.id==x", "/h", "\0", "x=y"]
    )
    | st.text(max_size=6)
)
KEY_NAMES = st.sampled_from([*NAMES, "a", "b", "x-note"]) | st.text(max_size=4)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY_NAMES, inner, max_size=4),
    max_leaves=12,
)
SERVICE_KEYS = sorted({key.path.split(".")[2] for key in KEYS if key.path.startswith("services.*.")})
SERVICES = st.dictionaries(
    st.sampled_from(["a", "b", "A.b"]) | st.text(max_size=3),
    st.dictionaries(st.sampled_from(SERVICE_KEYS), TREES, max_size=5) | TREES,
    max_size=3,
)


def read(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compose.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            result = compose.read(path, environment={"A": "1"}, profiles=("*",))
        except InvalidInput as error:
            assert error.problems
        else:
            assert result.spec.services


@settings(max_examples=300, deadline=None)
@given(
    SERVICES, st.dictionaries(st.sampled_from(["name", "networks", "version", "x-a"]) | KEY_NAMES, TREES, max_size=2)
)
def test_any_tree_is_read_or_refused(services: dict[str, Any], top: dict[str, Any]) -> None:
    read(yaml.safe_dump({**top, "services": services}, allow_unicode=True))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-{}[]&*!<'\"#|>%@,?$ \n\t1x", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)
    read(f"services:\n  a:\n    command: x\n    environment: {text}\n")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compose.yaml"
        path.write_bytes(content)
        (Path(folder) / ".env").write_bytes(content)
        try:
            compose.read(path, environment={})
        except InvalidInput as error:
            assert error.problems
