"""The entry point: puts the commands together and turns errors into one clear message and an exit code."""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from livingdrug.cli.analyse import analyse
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
from livingdrug.errors import DeclarationError, InputError, LivingDrugError, MissingExtra

__all__ = ["main"]

COMMANDS = (
    trial, design, emerge, calibrate, predict, score, scoreboard, fit, data, nca, make, plant, refit, run, grade,
    models, show, check, analyse, qualify, export, record, report, cite,
)  # fmt: skip
FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130
ABOUT = "An open digital twin of CAR-T therapy: simulate trials and single patients. Not for clinical use."
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted. With --json, a program can read the answer."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit with its code; ``arguments`` are those of the process unless given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    application = _application(debug, as_json="--json" in given)
    try:
        application([word for word in given if word != "--debug"], prog_name="livingdrug")
    except SystemExit as end:
        if end.code == INTERRUPTED and arguments is None:
            sys.stdout.flush()
            os._exit(INTERRUPTED)  # at once: taking a big process down in order takes longer than a user's patience
        raise


def _application(debug: bool, as_json: bool) -> typer.Typer:
    application = typer.Typer(
        help=ABOUT,
        epilog=EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help appears at once; Rich would take as long again to load
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_root)
    for command in COMMANDS:
        application.command()(_guarded(command, debug, as_json))
    return application


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and stop.", callback=lambda value: _version(value), is_eager=True
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"livingdrug {version('livingdrug')}")
        raise typer.Exit


def _guarded(command: Callable[..., None], debug: bool, as_json: bool) -> Callable[..., None]:
    """Return the command with its errors told as a message on standard error, and as JSON where that was asked."""

    @functools.wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as interrupt:
            _tell("interrupted", str(interrupt) or "Interrupted.", INTERRUPTED, as_json)
        except typer.Exit:
            raise
        except Exception as error:
            if debug:
                raise
            _tell(type(error).__name__, _message(error), _code(error), as_json)

    return guarded


def _code(error: Exception) -> int:
    return WRONG_INPUT if isinstance(error, InputError | DeclarationError | MissingExtra) else FAILED


def _message(error: Exception) -> str:
    if isinstance(error, LivingDrugError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.filename or 'while writing'}); free some space and start the same command again"
        )
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    return (
        f"unexpected {type(error).__name__}: {error}. This is a defect of livingdrug; --debug shows where it happened"
    )


def _tell(kind: str, message: str, code: int, as_json: bool) -> None:
    """Print an error and leave with its code."""
    if as_json:
        sys.stdout.write(
            json.dumps({"error": {"kind": kind, "message": message, "code": code}}, ensure_ascii=False) + "\n"
        )
        sys.stdout.flush()
    label = "" if code == INTERRUPTED else "error: "
    sys.stderr.write(f"{label}{message}\n")
    sys.stderr.flush()
    raise typer.Exit(code)
