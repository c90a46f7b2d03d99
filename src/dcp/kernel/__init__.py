"""What every layer shares: identifiers, units, the clock, errors and events. No I/O; imports nothing of ours."""
