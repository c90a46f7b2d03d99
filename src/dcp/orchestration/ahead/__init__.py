"""What is known ahead of load: surges that a person planned."""
