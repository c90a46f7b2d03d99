"""Read and write the units that Compose files use: durations (`1m30s`), sizes (`512M`), processor shares (`0.5`).

Every reader takes what YAML may hand over, text or a number, and answers anything else with a ValueError whose text
can be shown to the user: never a negative amount, never infinity.
"""

import math
import re

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PLAIN_NUMBER = re.compile(r"\d+(\.\d+)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(b|k|kb|kib|m|mb|mib|g|gb|gib|t|tb|tib)?", re.IGNORECASE)
# Compose reads every size suffix as a power of 1024 (compose-spec 11-extension, "Specifying byte values").
_SIZE_POWER = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_duration_s(text: str | int | float) -> float:
    """Return seconds. A bare number means seconds. Raises ValueError."""
    fault = ValueError(f"{text!r} is not a duration such as 10s, 1m30s or 250ms")
    if isinstance(text, bool):
        raise fault
    if isinstance(text, int | float):
        return float(_amount(text, fault))
    stripped = text.strip().lower()
    if _PLAIN_NUMBER.fullmatch(stripped):
        return float(_amount(float(stripped), fault))
    parts = _DURATION_PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise fault
    # Rounded to the nanosecond: 1.1 s + 100 ms is 1.2 s, not 1.2000000000000002 s.
    seconds = math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)
    return float(_amount(round(seconds, 9) if math.isfinite(seconds) else seconds, fault))


def parse_bytes(text: str | int) -> int:
    """Return bytes; suffixes are powers of 1024. Raises ValueError."""
    fault = ValueError(f"{text!r} is not a size such as 64M or 1.5G")
    if isinstance(text, bool) or not isinstance(text, int | str):
        raise fault
    if isinstance(text, int):
        return int(_amount(text, fault))
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise fault
    unit = (match.group(2) or "").lower()[:1]
    return int(_amount(float(match.group(1)) * 1024 ** _SIZE_POWER[unit], fault))


def parse_cpu_millis(text: str | int | float) -> int:
    """Return thousandths of a processor, rounded. Raises ValueError."""
    fault = ValueError(f"{text!r} is not a number of processors such as 0.5")
    if isinstance(text, bool) or (isinstance(text, str) and not _PLAIN_NUMBER.fullmatch(text.strip())):
        raise fault
    return round(_amount(float(text) if isinstance(text, str) else text, fault) * 1000)


def format_bytes(size: int) -> str:
    """Return `size` in the largest binary unit that keeps it at 1 or more."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.0f} TiB" if value == int(value) else f"{value:.1f} TiB"


def format_cpu(cpu_millis: int) -> str:
    """Return processors as people write them: `0.25 CPU`."""
    return f"{cpu_millis / 1000:g} CPU"


def format_duration(seconds: float) -> str:
    """Return `seconds` as Compose writes durations: `1m30s`, `250ms`, `0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000, 3):g}ms" if seconds else "0s"
    hours, rest = divmod(round(seconds, 3), 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (round(rest, 3), "s"))
    return "".join(f"{value:g}{unit}" for value, unit in parts if value)


def _amount(value: int | float, fault: ValueError) -> int | float:
    """Return `value` unless it is negative or not finite."""
    try:
        usable = math.isfinite(value) and value >= 0
    except OverflowError:  # an integer past the range of floats
        usable = False
    if not usable:
        raise fault
    return value
