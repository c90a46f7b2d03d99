"""Balancer `haproxy`: one HAProxy beside the controller, told through its runtime API without a reload.

Split by meaning: `balancer` has the verbs, `directory` what is kept on disk, `configuration` what HAProxy is started
with, `servers` the commands that make its servers what they should be, `routing` the reload that changes routes,
`proxy` the processes, `runtime_api` the questions they answer, `answers` how those are read, `counters` what was
counted over reloads, `names` how services and instances are called inside it.
"""

from dcp.drivers.balancers.haproxy.balancer import HAProxyBalancer

__all__ = ["HAProxyBalancer"]
