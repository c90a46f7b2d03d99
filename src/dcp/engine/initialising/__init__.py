"""Initialisation in the engine: one worker finds bare hosts, starts runs and writes their results in batches."""
