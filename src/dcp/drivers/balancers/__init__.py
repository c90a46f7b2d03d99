"""Balancers: the proxy that spreads requests. `envoy` is real, `fake` is for simulation and tests."""
