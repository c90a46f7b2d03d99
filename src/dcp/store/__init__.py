"""What dcp remembers: tables, migrations and one module of guarded reads and writes per noun.

Statements that run often are built once, when their module is loaded: building one takes longer than running it.
"""
