"""Enters what hosts cost, and answers what they cost."""
