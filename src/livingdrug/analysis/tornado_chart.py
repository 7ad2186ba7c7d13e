"""Tornado: how far a quantity moves when each parameter alone goes to the low and to the high end of its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.analysis import drawing
from livingdrug.analysis.measuring import follow_up, measure, require_solved
from livingdrug.analysis.quantities import Quantity, quantities_of
from livingdrug.analysis.ranges import Range, base_values, make_ranges
from livingdrug.analysis.results import Result
from livingdrug.engine.solve import TIGHT
from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.model.declaration import Model

__all__ = ["Tornado", "tornado"]


@dataclass(frozen=True)
class Tornado(Result):
    """A quantity at both ends of each parameter's range, all others at their typical value.

    Attributes:
        model: name of the model.
        quantity: what was measured, in ``unit``.
        typical: its value with all parameters at their typical value.
        ranges: the parameters, the one with the widest swing first.
        at_low, at_high: the quantity at the ends of the ranges, shape (parameter,); NaN where there is no number.
        note: what failed.
    """

    model: str
    quantity: Quantity
    unit: str
    typical: float
    ranges: tuple[Range, ...]
    at_low: NDArray[np.float64]
    at_high: NDArray[np.float64]
    note: str

    kind = "tornado"

    @property
    def title(self) -> str:
        """One line that says what was asked."""
        return f"{self.model}: how far each parameter moves {self.quantity.name}"

    @property
    def caption(self) -> str:
        """What is shown and what was left out."""
        missing = int(np.isnan(self.at_low).sum() + np.isnan(self.at_high).sum())
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"Each bar shows {self.quantity.name} when one parameter alone goes to the low or the high end of its "
            f"range; the line is the typical patient ({self.typical:.4g}{unit}). {self.note or 'No run failed'}."
            + (f" {missing} ends gave no number and have no bar." if missing else "")
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per parameter: ends of its range, the quantity there, its changes and the swing."""
        import pandas as pd

        return pd.DataFrame(
            {
                "parameter": [item.parameter for item in self.ranges],
                "unit": [item.unit for item in self.ranges],
                "low": [item.low for item in self.ranges],
                "high": [item.high for item in self.ranges],
                "at_low": self.at_low,
                "at_high": self.at_high,
                "change_low": self.at_low - self.typical,
                "change_high": self.at_high - self.typical,
                "swing": _swing(self.typical, self.at_low, self.at_high),
            }
        )

    @property
    def summary(self) -> pd.DataFrame:
        """The ends of the ranges and the quantity there."""
        return self.table.filter(["parameter", "low", "high", "at_low", "at_high"])

    def facts(self) -> dict[str, Any]:
        """Return the typical value and the unit."""
        return {"model": self.model, "quantity": self.quantity.name, "unit": self.unit, "typical": self.typical}

    def drawn(self) -> Any:
        """Return the bare chart: one bar to each side of the typical value."""
        import altair as alt

        names = [f"{drawing.words(item.parameter)} ({item.low:.3g} to {item.high:.3g})" for item in self.ranges]
        rows = [
            {"parameter": name, "end": end, "value": value, "typical": self.typical}
            for name, low, high in zip(names, self.at_low, self.at_high, strict=True)
            for end, value in (("low end", low), ("high end", high))
            if np.isfinite(value)
        ]
        both = np.array([row["value"] for row in rows] + [self.typical])
        log = both.min() > 0 and both.max() / both.min() > 100
        colour = alt.Color(
            "end:N", title=None, scale=alt.Scale(domain=["low end", "high end"], range=list(drawing.COLOURS[:2]))
        )
        scale = alt.Scale(type="log") if log else alt.Scale(zero=False, nice=True)
        x = alt.X("value:Q", title=drawing.axis_title(self.quantity.name, self.unit), scale=scale)
        y = alt.Y("parameter:N", sort=names, title=None)
        bars = alt.Chart(drawing.data(rows)).mark_bar(opacity=0.85).encode(x=x, x2="typical:Q", y=y, color=colour)
        line = alt.Chart(drawing.data(rows[:1])).mark_rule(color=drawing.INK).encode(x="typical:Q")
        return alt.layer(bars, line).properties(width=480, height=alt.Step(22))


def tornado(
    model: type[Model],
    quantity: str | Quantity,
    ranges: str | Mapping[str, Any],
    *,
    parameters: Mapping[str, float] | None = None,
    days: float | None = None,
    initial: Mapping[str, float] | None = None,
    doses: Sequence[Any] = (),
    rtol: float = TIGHT,
    threads: int | None = None,
) -> Tornado:
    """Move each parameter alone to both ends of its range and measure a quantity.

    Args:
        model: a declared model; populations that may die out follow their equation.
        quantity: words as for :func:`livingdrug.analysis.quantity`.
        ranges: as for :func:`livingdrug.analysis.make_ranges`; of a spread, its 5 % and 95 % quantiles.
        parameters: typical values where they are not the defaults.
        days: how long each run lasts; default the follow-up of the model.
        initial: states that start elsewhere than the model says.
        doses: doses and changes besides the model's own.
        rtol: relative tolerance of one step.
        threads: worker threads; any number gives the same result.

    Raises:
        InputError: an unknown name, a wrong range, or a quantity that has no number for the typical patient.
        SolveError: no run could be solved.

    Example:
        >>> from livingdrug.library import load_model
        >>> result = tornado(load_model("stein2019"), "max car_t_transgene_blood", {"peak": (1e4, 3e4)})
        >>> result.table[["at_low", "at_high"]].round().to_numpy().tolist()
        [[10000.0, 30000.0]]
    """
    asked = quantities_of([quantity], model)
    follow_up(model, asked, days)
    varied = make_ranges(model, ranges, parameters)
    base = base_values(model, parameters)
    columns = {item.parameter: np.full(2 * len(varied) + 1, base[item.parameter]) for item in varied}
    for k, item in enumerate(varied):
        columns[item.parameter][2 * k + 1 : 2 * k + 3] = item.low, item.high
    measured = measure(
        model, asked, {**base, **columns}, days=days, initial=initial, doses=doses, rtol=rtol, threads=threads
    )
    require_solved(measured, f"tornado of {model.name}")
    values = measured.values[:, 0]
    if not np.isfinite(values[0]):
        raise InputError(
            f"tornado of {model.name}: {asked[0].name!r} has no number for the typical patient"
            + (f" ({measured.failures()})" if measured.failed[0] else "; write '... else DAY' or another level")
        )
    low, high = values[1::2], values[2::2]
    order = np.argsort(-np.nan_to_num(_swing(values[0], low, high), nan=-1.0), kind="stable")
    ranges_sorted = tuple(varied[k] for k in order)
    return Tornado(
        model.name, asked[0], measured.units[0], float(values[0]), ranges_sorted, low[order], high[order],
        measured.failures(),
    )  # fmt: skip


def _swing(typical: float, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between the largest and the smallest value of each row; NaN if both ends are."""
    known = ~(np.isnan(low) & np.isnan(high))
    filled = np.stack([np.nan_to_num(low, nan=typical), np.nan_to_num(high, nan=typical)])
    everything = np.concatenate([filled, np.full((1, len(low)), typical)])
    return np.where(known, np.ptp(everything, axis=0), np.nan)
