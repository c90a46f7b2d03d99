"""Machines that people take in with `dcp hosts add` and give back with `dcp hosts remove`."""
