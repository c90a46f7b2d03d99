"""Who takes requests: routes, endpoints, and what the balancer counted."""
