"""``python -m livingdrug.cli`` is the command line."""

from livingdrug.cli import main

main()
