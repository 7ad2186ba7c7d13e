"""Score a frozen forecast against what trials reported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, say
from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["score"]

NOTICE = "Not for clinical use."
ROWS_SHOWN = 60


def score(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Frozen forecast (CSV) of livingdrug.")],
    observed: Annotated[
        Path, typer.Argument(metavar="OBSERVED", help="CSV: trial, endpoint and percent, value or n of N; more helps.")
    ],
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write every score to this CSV.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the file of --save.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Score a frozen forecast against what trials reported, beside the naive forecasts in the same file.

    Every reported number that fits no line of the forecast, or several, is listed with the reason.
    """
    from livingdrug.storage import write_atomically
    from livingdrug.trials.forecast import read_forecast
    from livingdrug.trials.scoring import against_twin, read_observed, summary
    from livingdrug.trials.scoring import score as score_forecast

    if save is not None and save.exists() and not force:
        raise InputError(f"{save} is there already; --force writes over it, or choose another name")
    forecast = read_forecast(predictions)
    scored = score_forecast(forecast, read_observed(observed))
    totals, compared = summary(scored), against_twin(scored)
    if save is not None:
        write_atomically(save, scored.to_csv(index=False))
    if as_json:
        tables = {"scores": scored, "summary": totals, "against_twin": compared}
        records = {name: table.astype(object).to_dict("records") for name, table in tables.items()}
        print_json({"provenance": dict(forecast.provenance), **records, "file": save, "notice": NOTICE})
    else:
        _tell(forecast.provenance, scored, totals, compared, save)


def _tell(
    provenance: Any, scored: pd.DataFrame, totals: pd.DataFrame, compared: pd.DataFrame, save: Path | None
) -> None:
    from livingdrug.trials.forecast import TWIN

    for key, value in provenance.items():
        say(f"{key}: {value}")
    twin = scored.loc[scored["forecaster"] == TWIN]
    done = twin.loc[twin["in90"].notna()]
    heads = ("Trial", "Patients", "Endpoint", "Time", "Reported", "Forecast", "90 %", "Inside", "Log score")
    print_table("", heads, [_row(one) for one in done.head(ROWS_SHOWN).to_dict("records")], (4, 5, 6, 8))
    if len(done) > ROWS_SHOWN:
        say(f"... {len(done) - ROWS_SHOWN:,} more numbers; --save FILE writes them all")
    left = twin.loc[twin["in90"].isna()]
    for one in left.head(ROWS_SHOWN).to_dict("records"):
        say(f"line {one['line']}: {one['trial']}, {one['endpoint']}: {one['note']}")
    if len(left) > ROWS_SHOWN:
        say(f"... {len(left) - ROWS_SHOWN:,} more without a score")
    heads = ("Forecaster", "Scored", "Not scored", "In 50 %", "In 90 %", "Mean log score")
    print_table("", heads, [_total(one) for one in totals.to_dict("records")], range(1, 6))
    if len(compared):
        heads = ("Twin against", "Both scored", "Log score better by", "+-", "Twin closer (CRPS)")
        print_table("", heads, [_duel(one) for one in compared.to_dict("records")], range(1, 5))
    say(f"{save}: scores written. {NOTICE}" if save is not None else NOTICE)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    ends = f"{_plain(one['low90'])} to {_plain(one['high90'])}"
    inside = "50 %" if one["in50"] else "90 %" if one["in90"] else "no"
    reported = f"{_plain(one['observed'])} {one['unit']}".strip()
    keys = (one["trial"], one["population"], one["endpoint"], one["timepoint"])
    return (*keys, reported, _plain(one["median"]), ends, inside, _plain(one["log_score"]))


def _total(one: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(one["scored"]), str(one["not_scored"]))
    return (one["forecaster"], *counts, _share(one["in50"]), _share(one["in90"]), _plain(one["log_score"]))


def _duel(one: dict[str, Any]) -> tuple[str, ...]:
    gain = (_plain(one["log_gain"]), _plain(one["log_gain_error"]))
    return (one["forecaster"], str(one["both"]), *gain, _share(one["closer"]))


def _plain(value: float) -> str:
    return "" if value != value else "not reached" if value == float("inf") else f"{value:.3g}"


def _share(value: float) -> str:
    return "" if value != value else f"{100 * value:.0f} %"
