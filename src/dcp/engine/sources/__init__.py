"""Sources in the engine: a worker for each drives its hosts through their life."""
