"""Keys and secrets of cloud accounts, from a file that only the controller can read."""

from pathlib import Path
from typing import Any

import yaml

from dcp.kernel.errors import InvalidInput, Problem


def read_credentials(path: str, source: str, *, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what stands in a YAML file; `keys` have to. Raises InvalidInput that shows nothing of it."""
    where = f"sources.{source}.credentials_file"
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not YAML"
        raise InvalidInput((Problem(where, f"{path} cannot be read: {words}"),)) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InvalidInput((Problem(where, f"{path} is not a mapping of keys"),))
    missing = [key for key in keys if not found.get(key)]
    if missing:
        raise InvalidInput((Problem(where, f"{path} lacks {', '.join(missing)}"),))
    return found
