"""Balancer `envoy`: any number of Envoys, told over xDS, that serve on when no controller runs.

Split by meaning: `balancer` has the verbs, `fleet` who is waited for, `routing` when routes are in force, `server` and
`session` the conversation with a proxy, `resources` and `documents` what it is told, `messages` how that is written,
`bootstrap` what it is started with, `certificates` who may take part, `proxy` the process beside the controller,
`directory` what is kept about it, `status` what a proxy is asked, `counters` what it counted, `names` how services are
called inside it.
"""

from dcp.drivers.balancers.envoy.balancer import EnvoyBalancer, bootstrap_of
from dcp.drivers.balancers.envoy.options import EnvoyOptions, ListenerTls, RemoteProxy

__all__ = ["EnvoyBalancer", "EnvoyOptions", "ListenerTls", "RemoteProxy", "bootstrap_of"]
