"""Layer 4: services, the traffic they take, what they can carry, and how many instances that needs."""
