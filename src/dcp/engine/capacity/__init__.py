"""Capacity tests on live traffic: begun by a person or in quiet hours, run by the worker of the service."""
