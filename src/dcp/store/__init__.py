"""What dcp remembers: tables, migrations and one module of guarded reads and writes per noun."""
