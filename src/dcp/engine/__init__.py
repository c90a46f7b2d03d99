"""The shell: load a snapshot, decide, apply. Workers hold a lease on one subject each."""
