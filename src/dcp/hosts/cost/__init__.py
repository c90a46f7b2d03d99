"""What host time costs: spans of time at one price, what a contract charges for them, and for which service."""
