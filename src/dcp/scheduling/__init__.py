"""Layer 3: which host takes which instance, and why not the others."""
