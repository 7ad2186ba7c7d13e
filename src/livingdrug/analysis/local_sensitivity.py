"""Local sensitivity: by how many per cent an output changes when a parameter changes by one per cent, day by day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.analysis import drawing
from livingdrug.analysis.measuring import follow_up
from livingdrug.analysis.quantities import output_unit
from livingdrug.analysis.ranges import base_values
from livingdrug.analysis.results import Result
from livingdrug.analysis.slopes import Slopes, slopes
from livingdrug.engine.solve import TIGHT
from livingdrug.errors import InputError, SolveError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.model.declaration import Model

__all__ = ["LocalSensitivities", "local_sensitivities"]

TIMES = 121
"""Days that are looked at unless others are given."""
DRAWN = 8
"""Parameters in the figure, those that matter most; the table has all."""


@dataclass(frozen=True)
class LocalSensitivities(Result):
    """Derivatives of outputs by parameters over time.

    Attributes:
        model: name of the model.
        times: days, shape (time,).
        outputs: names, and ``units`` of each.
        parameters: names -> values at which the derivatives hold.
        values: the outputs, shape (time, output).
        slopes: d output / d parameter in declared units, shape (parameter, time, output).
        exact: whether they are exact; else they are difference quotients (see :mod:`livingdrug.analysis.slopes`).
    """

    model: str
    times: NDArray[np.float64]
    outputs: tuple[str, ...]
    units: tuple[str, ...]
    parameters: Mapping[str, float]
    values: NDArray[np.float64]
    slopes: NDArray[np.float64]
    exact: bool

    kind = "local"

    @property
    def relative(self) -> NDArray[np.float64]:
        """d ln output / d ln parameter, shape (parameter, time, output); NaN where an output is zero."""
        sizes = np.fromiter(self.parameters.values(), float)
        with np.errstate(all="ignore"):
            found = self.slopes * sizes[:, None, None] / self.values
        return np.where(np.isfinite(found), found, np.nan)

    @property
    def title(self) -> str:
        """One line that says what was asked."""
        return f"{self.model}: what a small change of each parameter does"

    @property
    def caption(self) -> str:
        """What is shown and what was left out."""
        hidden = len(self.parameters) - DRAWN
        more = f" Of {len(self.parameters)} parameters the {DRAWN} that matter most are drawn." if hidden > 0 else ""
        how = "exact derivatives of the solution" if self.exact else "difference quotients with steps of 0.01 per cent"
        return (
            f"Per cent by which an output changes when a parameter grows by one per cent, day by day; {how}. Below "
            "zero: more of the parameter gives less of the output. A gap: the output is zero."
            f"{more}"
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per output, parameter and day: the output, the derivative, and the relative one."""
        import pandas as pd

        shape = self.slopes.shape
        p, t, o = (index.ravel() for index in np.indices(shape))
        names = np.array(list(self.parameters))
        return pd.DataFrame(
            {
                "output": np.array(self.outputs)[o],
                "parameter": names[p],
                "time_day": self.times[t],
                "value": self.values[t, o],
                "slope": self.slopes.ravel(),
                "relative": self.relative.ravel(),
            }
        )

    @property
    def summary(self) -> pd.DataFrame:
        """One row per output and parameter: the relative derivative at the end, and the largest one with its day."""
        import pandas as pd

        sizes = np.nan_to_num(np.abs(self.relative))
        at = sizes.argmax(axis=1)  # (parameter, output)
        largest = np.take_along_axis(self.relative, at[:, None, :], axis=1)[:, 0, :]
        places = [(o, p) for o in range(len(self.outputs)) for p in np.argsort(-sizes.max(axis=1)[:, o], kind="stable")]
        names = list(self.parameters)
        rows = [
            (self.outputs[o], names[p], self.relative[p, -1, o], largest[p, o], self.times[at[p, o]]) for o, p in places
        ]
        return pd.DataFrame(rows, columns=["output", "parameter", "at_the_end", "largest", "on_day"])

    def facts(self) -> dict[str, Any]:
        """Return the point at which the derivatives hold."""
        units = dict(zip(self.outputs, self.units, strict=True))
        return {"model": self.model, "parameters": dict(self.parameters), "units": units, "exact": self.exact}

    def drawn(self) -> Any:
        """Return the bare chart: one panel per output, one line per parameter."""
        import altair as alt

        largest = np.nanmax(np.nan_to_num(np.abs(self.relative)), axis=(1, 2))
        chosen = np.argsort(-largest, kind="stable")[:DRAWN]
        names = [drawing.words(list(self.parameters)[k]) for k in chosen]
        rows = [
            {"output": drawing.words(output), "parameter": name, "day": day, "relative": self.relative[k, t, o]}
            for o, output in enumerate(self.outputs)
            for name, k in zip(names, chosen, strict=True)
            for t, day in enumerate(self.times)
        ]
        colour = alt.Color(
            "parameter:N", title="parameter", sort=names, scale=alt.Scale(domain=names, range=list(drawing.COLOURS))
        )
        dash = alt.StrokeDash("parameter:N", title="parameter", sort=names, scale=alt.Scale(domain=names))
        y = alt.Y("relative:Q", title="% change per 1 % of the parameter")
        x = alt.X("day:Q", title="day", scale=alt.Scale(nice=False))
        lines = alt.Chart(drawing.data(rows)).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
        panel = lines.properties(width=330 if len(self.outputs) > 1 else 560, height=210)
        facet = alt.Facet("output:N", title=None, sort=list(map(drawing.words, self.outputs)))
        return panel.facet(facet=facet, columns=2).resolve_scale(y="independent")


def local_sensitivities(
    model: type[Model],
    parameters: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    *,
    values: Mapping[str, float] | None = None,
    days: float | None = None,
    initial: Mapping[str, float] | None = None,
    doses: Sequence[Any] = (),
    rtol: float = TIGHT,
) -> LocalSensitivities:
    """Differentiate outputs by parameters along the course of one patient.

    The derivatives are the engine's forward sensitivities, computed beside the step. Where a model has none (a power
    with an exponent below one at zero, a parameter that the model sets anew on a day), difference quotients stand in,
    and the result says so.

    Args:
        model: a declared model; populations that may die out follow their equation.
        parameters: names to differentiate by; default all.
        outputs: names of outputs or states; default all outputs.
        times: days; default 121 days over the follow-up.
        values: parameters of the patient where they are not the defaults.
        days: the follow-up, unless times are given.
        initial: states that start elsewhere than the model says.
        doses: doses and changes besides the model's own.
        rtol: relative tolerance of one step.

    Raises:
        InputError: an unknown name.
        SolveError: the course could not be solved.

    Example:
        >>> from livingdrug.library import load_model
        >>> found = local_sensitivities(load_model("stein2019"), ["peak"], times=[5.0, 28.0])
        >>> found.relative[0, :, 0].round(6).tolist()
        [1.0, 1.0]
    """
    by = list(dict.fromkeys(model.parameters if parameters is None else parameters))
    for name in by:
        if name not in model.parameters:
            raise InputError(unknown_name("parameter", name, model.parameters, place=model.name))
    names = tuple(dict.fromkeys(model.outputs if outputs is None else outputs))
    units = tuple(output_unit(model, name) for name in names)
    if not by or not names:
        raise InputError(f"{model.name}: name at least one parameter and one output")
    base = base_values(model, values)
    at = (
        np.linspace(0.0, follow_up(model, (), days), TIMES)
        if times is None
        else np.atleast_1d(np.asarray(times, float))
    )
    found = slopes(model, base, at, names, by, initial=initial, doses=doses, rtol=rtol)
    if not isinstance(found, Slopes):
        raise SolveError(f"local sensitivities of {model.name}: {found.failures()[0]}")
    return LocalSensitivities(
        model.name, at, names, units, {name: base[name] for name in by}, found.values, found.slopes, found.exact
    )
