"""Garbage collection: which images nobody needs any more."""
