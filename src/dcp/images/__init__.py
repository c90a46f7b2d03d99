"""Layer 1: images where they are needed. References, sites and their registries, replication, collection; pure."""
