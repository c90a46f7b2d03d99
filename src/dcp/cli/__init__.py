"""The command line: a thin door. Every verb asks the API and prints; only `serve`, `demo` and `simulate` do more."""
