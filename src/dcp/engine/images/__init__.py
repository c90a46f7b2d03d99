"""Images in the engine: one worker copies them between sites, compares the sites with the ledger, and collects."""
