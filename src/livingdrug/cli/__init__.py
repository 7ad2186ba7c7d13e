"""The command line: each command is one public function with the same words.

Example:
    >>> from livingdrug import cli
    >>> cli.models(as_json=True)  # doctest: +SKIP
"""

from livingdrug.cli.analyse import analyse
from livingdrug.cli.app import main
from livingdrug.cli.check import check
from livingdrug.cli.cite import cite
from livingdrug.cli.export import export
from livingdrug.cli.grade import grade
from livingdrug.cli.make import make
from livingdrug.cli.models import models
from livingdrug.cli.plant import plant
from livingdrug.cli.qualify import qualify
from livingdrug.cli.record import record
from livingdrug.cli.refit import refit
from livingdrug.cli.report import report
from livingdrug.cli.run import run
from livingdrug.cli.show import show
from livingdrug.cli.trial import trial

__all__ = [
    "analyse",
    "check",
    "cite",
    "export",
    "grade",
    "main",
    "make",
    "models",
    "plant",
    "qualify",
    "record",
    "refit",
    "report",
    "run",
    "show",
    "trial",
]
