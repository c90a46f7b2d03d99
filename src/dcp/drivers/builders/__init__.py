"""Builders of images: `engine`, the builder of a Docker Engine."""
