"""What a service can carry and how close it is to that: latency bands, weighted units, water level."""
