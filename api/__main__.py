"""`python -m api`: the command, for environments where the installed script is not on the path."""

from api.cli.main import run

run()
