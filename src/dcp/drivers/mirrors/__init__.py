"""Drivers that talk to mirrors."""
