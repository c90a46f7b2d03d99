"""A mirror: a pull-through cache of a registry that passes an image on while it is still arriving."""
