"""CAR-T models ready to fit: structural model, what differs between patients, scatter, and first guesses in one name.

Every number is a first guess that data will move; those of stein2019, mueller_schoell2021 and kirouac2023 are the
published values. Change what you like: ``dataclasses.replace(ready("stein2019"), omega="full")``.

Example:
    >>> model = ready("stein2019")
    >>> model.random
    ('peak_day', 'peak', 'fold_expansion', 'persistent_fraction', 'contraction', 'decline')
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.residual import log_additive
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel
from livingdrug.model import lognormal

__all__ = ["READY", "SUBSETS", "ReadyModel", "ready"]

HELD = "recovery_width"
"""Of lymphodepletion_limited; it keeps its first guess, since only samples on most days about the peak tell it."""
TRANSGENE = "car_t_transgene_blood"
SUBSETS: dict[str, tuple[str, ...]] = {
    "expansion": ("expansion", "divisions"),
    "persistence": ("return_to_memory", "memory_death"),
    "tumour": ("kill_rate", "tumour_growth"),
}
"""Parameters of kirouac2023 that are estimated together, beside one of ``LOSSES``; the others are held at those of one
virtual patient."""
LOSSES = ("exhaustion", "expanded_death")
"""Ways of expanded cells to be lost: the faster one of that patient is estimated, the slower one leaves no trace."""
FIRST_CELLS = {"expanded": 0.01}
"""Start of kirouac2023, in cells: with none, killing by a power below one of them has no slope, and every derivative
would need difference quotients of long solves. A hundredth of a cell beside 1e8 infused ones is below any tolerance."""


@dataclass(frozen=True)
class ReadyModel:
    """One entry of the library of statistical models.

    Attributes:
        name: of the entry.
        about: what it says about the cells, in a sentence.
        origin: where structure and first guesses come from.
        measured: what the data have to hold.
        build: makes the statistical model; its keyword arguments are the options.
    """

    name: str
    about: str
    origin: str
    measured: str
    build: Callable[..., StatisticalModel]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options."""
        return tuple(inspect.signature(self.build).parameters)


def ready(name: str, **options: Any) -> StatisticalModel:
    """Return a statistical model by its name.

    Args:
        name: a key of ``READY``.
        **options: of that model, see its entry.

    Raises:
        InputError: an unknown name or option.
    """
    if name not in READY:
        raise InputError(unknown_name("model ready to fit", name, READY))
    for option in options:
        if option not in READY[name].options:
            raise InputError(unknown_name(f"option of {name}", option, READY[name].options))
    columns = options.get("columns")
    if not isinstance(columns or {}, Mapping):
        raise InputError(f"{name}: columns must be parameter -> column of the data, got {columns!r}")
    return READY[name].build(**options)


def _transgene(structure: Any, typical: Mapping[str, float], spreads: Mapping[str, float]) -> StatisticalModel:
    """A course of the transgene with log-normal parameters and a log-normal residual."""
    parameters = {
        name: Estimate(value, lognormal(spreads[name])) if name in spreads else Estimate(value)
        for name, value in typical.items()
    }
    return StatisticalModel(structure, parameters, Endpoint(TRANSGENE, log_additive(0.5)))


def _published() -> tuple[dict[str, float], dict[str, float]]:
    """Typical values and spreads of stein2019, table 1 (spreads read as standard deviations)."""
    from livingdrug.library.stein2019 import PRINTED_EFFECTS, Stein2019

    typical = {name: Stein2019.parameters[name].value for name in PRINTED_EFFECTS}
    return typical, {name: min(sd, 1.0) for name, sd in PRINTED_EFFECTS.items()}


def _piecewise() -> StatisticalModel:
    from livingdrug.inference.closed_form import expansion_contraction

    return _transgene(expansion_contraction(), *_published())


def _smooth() -> StatisticalModel:
    from livingdrug.inference.ready_forms import smooth

    typical, spreads = _published()
    return _transgene(smooth(), typical | {"width": 1.0}, spreads)


def _lagged() -> StatisticalModel:
    from livingdrug.inference.ready_forms import lagged
    from livingdrug.library.ogasawara2021 import Ogasawara2021

    typical, spreads = _published()
    lag = Ogasawara2021.parameters["lag"].value
    del typical["peak_day"]
    growing = Ogasawara2021.parameters["peak_day"].value - lag
    return _transgene(
        lagged(), typical | {"lag": lag, "growth_days": growing}, spreads | {"lag": 0.3, "growth_days": 0.3}
    )


def _saturable() -> StatisticalModel:
    from livingdrug.inference.ready_forms import saturable

    typical, spreads = _published()
    start = typical["peak"] / typical["fold_expansion"]
    growth = 1.1 * math.log(typical["fold_expansion"]) / typical["peak_day"]  # a little faster: it slows at the end
    guesses = {"start": start, "capacity": typical["peak"], "growth": growth, "contraction_day": typical["peak_day"]}
    rest = {name: typical[name] for name in ("contraction", "persistent_fraction", "decline")}
    own = {"start": 1.0, "capacity": spreads["peak"], "growth": 0.3}
    return _transgene(saturable(), guesses | rest, own | {name: spreads[name] for name in rest})


def _cause(cause: str) -> StatisticalModel:
    from livingdrug.inference.ready_forms import ExhaustionLimited, LymphodepletionLimited

    structure = ExhaustionLimited if cause == "exhaustion" else LymphodepletionLimited
    typical = {name: one.value for name, one in structure.parameters.items() if name != HELD}
    limit = "half_exhaustion" if cause == "exhaustion" else "recovery_day"
    spreads = {
        "start": 0.8,
        "growth": 0.2,
        limit: 0.6 if cause == "exhaustion" else 0.2,
        "contraction": 0.5,
        "conversion": 0.8,
    }
    return _transgene(structure, typical, spreads)


def _mueller_schoell(
    *, phenotypes: bool = False, tumour: bool = False, classes: bool = False, columns: Mapping[str, str] | None = None
) -> StatisticalModel:
    """Options: whether phenotypes and the tumour's volume were measured, a class of low expanders, own known values."""
    from livingdrug.inference.engine_model import EngineModel
    from livingdrug.library.mueller_schoell2021 import REFERENCE_SHARE
    from livingdrug.library.mueller_schoell2021 import MuellerSchoell2021 as Model

    # The spreads are the published ones, of expansion and killing. The sum of all cells tells no more than these two;
    # phenotypes tell how one becomes the next, and less of the killing, which the paper saw in tumour volumes.
    names, scatter = {"reference_expansion", "central_killing"}, {"car_t_blood": 0.7}
    if phenotypes:  # residual deviations of the paper, see the model's limits
        names = {"reference_expansion", "half_expansion_car_t", "naive_differentiation", "central_differentiation",
                 "memory_differentiation", "effector_death"}  # fmt: skip
        scatter = {"car_t_naive_blood": 0.547, "car_t_central_memory_blood": 0.743,
                   "car_t_effector_memory_blood": 0.944, "car_t_effector_blood": 0.636}  # fmt: skip
    if tumour:
        names |= {"central_killing", "half_kill_volume"}
        scatter["tumour_volume"] = 0.918
    parameters = {name: Estimate(one.value, one.spread) for name, one in Model.parameters.items() if name in names}
    ends = [Endpoint(output, log_additive(sd)) for output, sd in scatter.items()]
    mixture = None
    if classes:
        value = {name: Model.parameters[name].value for name in ("reference_expansion", "least_expansion")}
        shift = math.log(value["least_expansion"] / value["reference_expansion"])
        mixture = Mixture("reference_expansion", {"low": shift}, {"low": 1 - REFERENCE_SHARE})
    return StatisticalModel(EngineModel(Model, covariates=columns), parameters, ends, mixture=mixture)


def _kirouac(
    *, subset: str = "expansion", patient: str = "CR1", columns: Mapping[str, str] | None = None
) -> StatisticalModel:
    """Options: parameters estimated (SUBSETS), whose values hold the others, parameter -> column of the data."""
    from livingdrug.inference.engine_model import EngineModel
    from livingdrug.library.kirouac2023 import Kirouac2023 as Model

    if subset not in SUBSETS:
        raise InputError(unknown_name("subset of kirouac2023", subset, SUBSETS))
    if patient not in Model.parameter_sets:
        raise InputError(unknown_name("virtual patient of kirouac2023", patient, Model.parameter_sets))
    held = {name: one.value for name, one in Model.parameters.items()} | dict(Model.parameter_sets[patient])
    given, estimated = set(columns or {}), {*SUBSETS[subset], max(LOSSES, key=held.__getitem__)}
    parameters: dict[str, Any] = {
        name: Estimate(held[name], lognormal(0.3)) if name in estimated else held[name]
        for name in Model.parameters
        if name not in given
    }
    ends = [Endpoint("car_t_blood", log_additive(0.5))]
    if subset == "tumour":
        ends.append(Endpoint("tumour_blood", log_additive(0.5)))
    return StatisticalModel(EngineModel(Model, covariates=columns, initial=FIRST_CELLS), parameters, ends)


_COURSE = "CAR transgene in blood over time, copies per ug of DNA"
_OWN = "hypothesis of this project; first guesses near stein2019"
READY: dict[str, ReadyModel] = {
    one.name: one
    for one in (
        ReadyModel(
            "stein2019", "Exponential growth to a sharp peak, then a fast and a slow decline.",
            "stein2019, table 1 (spreads above 1 start at 1)", _COURSE, _piecewise,
        ),
        ReadyModel(
            "stein2019_smooth", "The same with a rounded peak: no kink, friendlier to searches by gradients.",
            "stein2019; the rounding is this project's", _COURSE, _smooth,
        ),
        ReadyModel(
            "stein2019_lag", "The same with a lag before growth begins.",
            "stein2019; lag and day of the peak of ogasawara2021, abstract", _COURSE, _lagged,
        ),
        ReadyModel(
            "saturable_expansion", "Growth slows as the cells fill their space; then the two declines.",
            _OWN, _COURSE, _saturable,
        ),
        ReadyModel(
            "exhaustion_limited", "Growth ends because the cells exhaust themselves: faster cells peak sooner.",
            _OWN, _COURSE, lambda: _cause("exhaustion"),
        ),
        ReadyModel(
            "lymphodepletion_limited", "Growth ends because the host's lymphocytes return: all peak at about one time.",
            _OWN, _COURSE, lambda: _cause("lymphodepletion"),
        ),
        ReadyModel(
            "mueller_schoell2021", "Four phenotypes grow on a lymphoma and kill it; solved on the engine.",
            "mueller_schoell2021, table 1",
            "CAR T cells per uL, of all or of four phenotypes, and the tumour's volume in mL", _mueller_schoell,
        ),
        ReadyModel(
            "kirouac2023", "Antigen switches cells between memory, expansion and exhaustion; a few parameters at a "
            "time.",
            "kirouac2023, one of its 36 virtual patients", "CAR T cells (and tumour cells) per uL of blood", _kirouac,
        ),
    )
}  # fmt: skip
