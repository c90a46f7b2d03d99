"""Endpoints, a module for each noun. They ask the engine or the store and shape the answer; they decide nothing."""

from dcp.api.routes import (
    applications,
    capacity,
    cost,
    discovery,
    events,
    fleet,
    forecasts,
    hosts,
    images,
    leases,
    machines,
    metrics,
    plans,
    registry,
    registry_doors,
    status,
    surges,
)

ROUTERS = (
    status.router,
    applications.router,
    fleet.router,
    hosts.router,
    leases.router,
    machines.router,
    events.router,
    plans.router,
    surges.router,
    forecasts.router,
    capacity.router,
    cost.router,
    registry.router,
    discovery.router,
    images.router,
)
DISCOVERY = discovery.clients
"""Endpoints for clients of discovery; a token that opens nothing else opens them too."""
METRICS = metrics.router
DOORS = registry_doors.router
"""Endpoints that know other keys than the API's token, and ask for them themselves."""
