"""Freezing predictions: the twin's and the naive forecasts of the same numbers, with date, version and ensemble.

The naive forecasts know what the calibration trials reported, and nothing else; they stand in the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from livingdrug.population.products import product
from livingdrug.trials.endpoint_names import endpoints_of
from livingdrug.trials.ensemble import Ensemble
from livingdrug.trials.forecast import PERCENTAGES, Forecast, forecast_table
from livingdrug.trials.measures import Measure
from livingdrug.trials.naive import Traits, naive_forecasts
from livingdrug.trials.predict import predict_trials
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.targets import target_trials, targets

__all__ = ["freeze", "reported_numbers"]


def freeze(
    ensemble: Ensemble,
    protocols: Sequence[Protocol],
    *,
    seed: int = 3,
    workers: int = 2,
    progress: Callable[[int, int], Any] | None = None,
) -> Forecast:
    """Return the forecast of trials, ready to be written; arguments as for ``predict.predict_trials``."""
    twin = forecast_table(predict_trials(ensemble, protocols, seed=seed, workers=workers, progress=progress))
    traits = {each.label: traits_of(each) for each in (*protocols, *(Protocol.builtin(t) for t in target_trials()))}
    arms = {
        (each.label, arm.name): Traits("", each.disease, "")
        for each in protocols for arm in each.arms if arm.comparator
    }  # fmt: skip
    naive = naive_forecasts(twin, reported_numbers(), traits, arms=arms)
    rows = [*twin.to_dict("records"), *naive.to_dict("records")]
    return Forecast(forecast_table(rows), provenance(ensemble, seed))


def traits_of(protocol: Protocol) -> Traits:
    """Return what a trial treats and with what; its first arm with a product counts."""
    arm = next(arm for arm in protocol.arms if arm.product)
    return Traits(arm.product, protocol.disease, product(arm.product).receptor.costimulation)


def reported_numbers() -> Any:
    """Return what the calibration trials reported, in the words of the endpoints; a pandas table."""
    import pandas as pd

    rows = []
    for name in target_trials():
        trial = Protocol.builtin(name)
        known = endpoints_of(trial)
        for each in targets(name):
            words = next((key for key, measure in known.items() if _same(measure, each.measure)), None)
            if words is None:
                continue
            rows.append({
                "trial": trial.label, "endpoint": words.removesuffix(f" {each.measure.among[0]}"),
                "population": each.measure.among[0], "timepoint": "", "statistic": each.measure.statistic,
                "unit": "%" if each.measure.statistic in PERCENTAGES else each.measure.unit,
                "N": each.size, "observed": each.value,
                "cv": each.cv / 100 if each.cv else float("nan"),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _same(one: Measure, other: Measure) -> bool:
    fields = ("statistic", "of", "among", "at_least", "exactly", "day")
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def provenance(ensemble: Ensemble, seed: int) -> dict[str, str]:
    """Return when, by what code and from which ensemble a forecast was made."""
    import datetime as dt
    from importlib.metadata import version

    from livingdrug.body.twin import TwinBody

    return {
        "frozen": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "livingdrug": version("livingdrug"),
        "body": str(TwinBody.fingerprint), "ensemble": ensemble.name, "ensemble sha256": ensemble.hash,
        "members": str(len(ensemble)), "seed": str(seed),
        "note": "made before any comparison; nothing was adjusted; not for clinical use",
    }  # fmt: skip
