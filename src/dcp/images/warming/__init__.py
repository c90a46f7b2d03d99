"""Warming: which image must reach which host of a site, through which mirrors, in which order, how fast."""
