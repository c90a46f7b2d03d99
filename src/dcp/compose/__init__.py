"""Compose files: what users write, read into the specification that everything else works with.

`read` is the only door. It honours the part of the Compose specification that means something here, plus `x-dcp`;
everything else is refused or warned about by the table in `key_table`, never dropped in silence.
"""

from dcp.compose.application import ComposeResult, read

__all__ = ["ComposeResult", "read"]
