"""The production engine and its decisions on a virtual clock, with fake drivers, faults and invariants."""
