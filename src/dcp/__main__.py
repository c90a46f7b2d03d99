"""`python -m dcp` is `dcp`."""

from dcp.cli.main import main

main()
