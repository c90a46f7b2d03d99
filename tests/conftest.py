"""Fixtures that tests of several folders share."""

from conformance.postgresql import empty_postgresql_url, postgresql_server, postgresql_url

__all__ = ["empty_postgresql_url", "postgresql_server", "postgresql_url"]
