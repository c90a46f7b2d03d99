"""A fleet that grows by many hosts at once, as a scenario file says: clouds that throttle, run out and boot late."""
