"""Servers of metrics."""
