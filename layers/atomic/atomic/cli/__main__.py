"""`python -m atomic.cli`."""

from atomic.cli.main import main

main(prog_name="atomic")
