"""Runtime `process`: an instance is a process group on this machine, a host is a slice of it.

No container engine and no root needed. Split by meaning: `runtime` has the verbs, `directory` what is kept on disk,
`launch` the one moment in which an instance comes to be, `ending` how all of it goes away, `processes` what /proc
says, `cgroups` the limits, `port_range`, `logs` and `health` the rest.
"""

from dcp.drivers.runtimes.process.runtime import ProcessRuntime, orphans

__all__ = ["ProcessRuntime", "orphans"]
