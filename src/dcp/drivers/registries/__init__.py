"""Registries: `distribution` (any that speaks the registry API), `harbor`, and `fake`."""
