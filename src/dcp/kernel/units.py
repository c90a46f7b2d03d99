"""Read the units that Compose files use: durations (`1m30s`), sizes (`512M`), processor shares (`0.5`)."""

import re

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(b|k|kb|kib|m|mb|mib|g|gb|gib|t|tb|tib)?", re.IGNORECASE)
# Compose reads every size suffix as a power of 1024 (compose-spec 11-extension, "Specifying byte values").
_SIZE_POWER = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_duration_s(text: str | int | float) -> float:
    """Return seconds. A bare number means seconds. Raises ValueError."""
    if isinstance(text, int | float):
        return float(text)
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = _DURATION_PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError(f"{text!r} is not a duration such as 10s, 1m30s or 250ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_bytes(text: str | int) -> int:
    """Return bytes; suffixes are powers of 1024. Raises ValueError."""
    if isinstance(text, int):
        return text
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size such as 64M or 1.5G")
    unit = (match.group(2) or "").lower()[:1]
    return int(float(match.group(1)) * 1024 ** _SIZE_POWER[unit])


def parse_cpu_millis(text: str | int | float) -> int:
    """Return thousandths of a processor. Raises ValueError."""
    try:
        return round(float(text) * 1000)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of processors such as 0.5") from None


def format_bytes(size: int) -> str:
    """Return `size` in the largest binary unit that keeps it at 1 or more."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
