"""dcp runs microservices in containers and carries them through traffic surges."""

__version__ = "0.1.0"
