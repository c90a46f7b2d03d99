"""Runtime `docker`: an instance is a container on a host that runs Docker Engine.

Split by meaning: `runtimes` keeps a session with every host, `session` one host's events, listing and silence, `seen`
what is known of one container, `runtime` the verbs, `starting` how one instance comes to be exactly once, `request`
what the engine is asked to make, `host_ports` which port is given, `api`, `reach` and `forwarding` the way to an
engine, `refusals` what its errors mean, `pulling`, `secrets`, `log_text`, `kept_logs` and `health` the rest.
"""

from dcp.drivers.runtimes.docker.runtimes import DockerRuntimes, engine_probe

__all__ = ["DockerRuntimes", "engine_probe"]
