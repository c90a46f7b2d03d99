"""What a change from one image to another moves, as lines."""

from typing import Any

from rich.table import Table

from dcp.cli.output import count, table
from dcp.kernel.units import format_bytes


def difference_table(found: dict[str, Any]) -> Table:
    """Return what a change moves, as lines."""
    lines = table("", "")
    lines.show_header = False
    shared = sum(layer["size_bytes"] for layer in found["shared"])
    lines.add_row("shared", f"{count(len(found['shared']), 'layer')}, {format_bytes(shared)}")
    added = sum(layer["size_bytes"] for layer in found["added"])
    lines.add_row("new", f"{count(len(found['added']), 'layer')}, {format_bytes(added)}")
    lines.add_row("to a host that has the old one", format_bytes(found["move_bytes"]))
    lines.add_row("to a host that has neither", format_bytes(found["whole_bytes"]))
    if found["base"]:
        lines.add_row("stands on", found["base"])
    if found["standing_on_old"]:
        lines.add_row("stand on the old one", ", ".join(found["standing_on_old"]))
    return lines
