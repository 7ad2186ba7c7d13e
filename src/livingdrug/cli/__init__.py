"""The command line: each command is one public function with the same words.

Example:
    >>> from livingdrug import cli
    >>> cli.models(as_json=True)  # doctest: +SKIP
"""

from livingdrug.cli.analyse import analyse
from livingdrug.cli.app import main
from livingdrug.cli.calibrate import calibrate
from livingdrug.cli.check import check
from livingdrug.cli.cite import cite
from livingdrug.cli.data import data
from livingdrug.cli.design import design
from livingdrug.cli.emerge import emerge
from livingdrug.cli.export import export
from livingdrug.cli.fit import fit
from livingdrug.cli.grade import grade
from livingdrug.cli.make import make
from livingdrug.cli.models import models
from livingdrug.cli.nca import nca
from livingdrug.cli.plant import plant
from livingdrug.cli.predict import predict
from livingdrug.cli.qualify import qualify
from livingdrug.cli.record import record
from livingdrug.cli.refit import refit
from livingdrug.cli.report import report
from livingdrug.cli.run import run
from livingdrug.cli.score import score
from livingdrug.cli.scoreboard import scoreboard
from livingdrug.cli.show import show
from livingdrug.cli.trial import trial

__all__ = [
    "analyse",
    "calibrate",
    "check",
    "cite",
    "data",
    "design",
    "emerge",
    "export",
    "fit",
    "grade",
    "main",
    "make",
    "models",
    "nca",
    "plant",
    "predict",
    "qualify",
    "record",
    "refit",
    "report",
    "run",
    "score",
    "scoreboard",
    "show",
    "trial",
]
