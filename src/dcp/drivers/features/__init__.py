"""Drivers that tell instances which of their features are off."""
