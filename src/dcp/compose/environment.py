"""The environment of a service: what its files say, then what `environment` says, by the rules of Compose."""

from dataclasses import dataclass
from pathlib import Path as FilePath

from dcp.compose.env_file import EnvFile, parse_env, parse_raw
from dcp.compose.findings import Findings
from dcp.compose.interpolate import Lookup
from dcp.compose.schema import EnvFileEntry, Service, pairs
from dcp.compose.yaml_text import Path
from dcp.kernel.errors import Problem


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a file stands and which variables its reader has."""

    folder: FilePath
    lookup: Lookup
    findings: Findings


def environment_of(service: Service, at: Path, around: Surroundings) -> tuple[tuple[str, str], ...]:
    """Return the variables of a service, sorted by name."""
    values: dict[str, str] = {}
    for position, entry in enumerate(service.env_file):
        values |= _from_file(entry, around.findings.as_written((*at, "env_file", position)), around)
    for name, value in pairs(service.environment).items():
        inherited = around.lookup(name) if value is None else value
        if inherited is None:
            values.pop(name, None)
            hint = "set it, or give it a value here"
            words = f"{name} is not set where this file is read; it is left out"
            around.findings.warn((*at, "environment", name), words, hint)
        else:
            values[name] = inherited
    if "PORT" in values:
        hint = "the runtime gives every instance a port of its own in PORT; remove it here"
        around.findings.warn((*at, "environment", "PORT"), "PORT is replaced when an instance starts", hint)
    return tuple(sorted(values.items()))


def read_text(path: FilePath) -> str:
    """Return the text of a file. Raises OSError, or ValueError when it is not text."""
    return path.read_bytes().decode("utf-8-sig")


def _from_file(entry: EnvFileEntry, at: Path, around: Surroundings) -> dict[str, str]:
    try:
        text = read_text(around.folder / entry.path)
    except FileNotFoundError:
        if entry.required:
            hint = "create it, or write path: and required: false"
            around.findings.error(at, f"there is no file {entry.path}", hint)
        return {}
    except (OSError, ValueError) as error:
        around.findings.error(at, f"{entry.path} cannot be read: {why_unreadable(error)}", "it must be UTF-8 text")
        return {}
    parsed = parse_raw(text) if entry.format == "raw" else parse_env(text, around.lookup)
    note_file(parsed, entry.path, around.findings)
    return parsed.values


def note_file(parsed: EnvFile, name: str, findings: Findings) -> None:
    """Note what is wrong or missing in an environment file, under its own name and lines."""
    findings.elsewhere(
        (Problem(f"{name}:{fault.line}", fault.message, fault.hint) for fault in parsed.faults),
        (Problem(f"{name}:{unset.line}", *unset_words(unset.message)) for unset in parsed.unset),
    )


def unset_words(variable: str) -> tuple[str, str]:
    """Return the warning for a variable that is not set, and its hint."""
    hint = f"set it in the environment or in .env, or write ${{{variable}:-default}}"
    return f"the variable {variable} is not set; it is empty", hint


def why_unreadable(error: OSError | ValueError) -> str:
    """Return in words why a file could not be read."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {error.start})"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
