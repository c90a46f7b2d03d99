"""Endpoints, a module for each noun. They ask the engine or the store and shape the answer; they decide nothing."""

from dcp.api.routes import applications, events, fleet, metrics, plans, status

ROUTERS = (
    status.router,
    applications.router,
    fleet.router,
    events.router,
    plans.router,
)
METRICS = metrics.router
