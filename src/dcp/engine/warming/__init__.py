"""Warming in the engine: a worker for each site brings images to hosts before instances start there."""
