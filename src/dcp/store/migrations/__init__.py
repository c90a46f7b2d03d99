"""The history of the tables.

A new revision: change `store/tables.py`, add `versions/revision_NNNN.py` with the same change in Alembic's words, raise
`schema.HEAD`. A test compares what the revisions build with what the tables say, on both databases.
"""
