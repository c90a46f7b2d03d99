"""Balancer `envoy`: one Envoy beside the controller, told by files, so that it serves on when no controller runs.

Split by meaning: `balancer` has the verbs, `directory` what is kept on disk, `proxy` the process, `admin` the questions
it answers, `routing` how routes change, `documents` what Envoy is told, `counters` what it counted, `names` how
services are called inside it, `watches` the one limit of the machine that would end it.
"""

from dcp.drivers.balancers.envoy.balancer import EnvoyBalancer

__all__ = ["EnvoyBalancer"]
