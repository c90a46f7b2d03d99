"""Fixtures that tests of several folders share."""

from conformance.postgresql import empty_postgresql_url, postgresql_server, postgresql_url
from groups import pytest_xdist_make_scheduler
from lab_fixture import lab, whole_run_lab
from moto_server import moto_url

__all__ = [
    "empty_postgresql_url",
    "lab",
    "moto_url",
    "postgresql_server",
    "postgresql_url",
    "pytest_xdist_make_scheduler",
    "whole_run_lab",
]
