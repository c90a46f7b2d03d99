"""What dcp publishes to clients that find services by asking: entries, and the rule that they never vanish at once."""
