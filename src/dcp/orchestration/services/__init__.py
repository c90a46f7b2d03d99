"""Applications, services and instances: what was asked for and the life of what runs."""
