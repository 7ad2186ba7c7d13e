"""Targets of León-Triana et al. 2021."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from livingdrug.engine.solve import Extreme, solve
from livingdrug.library.leon_triana2021 import LeonTriana2021
from livingdrug.qualification.target import Assessment, Expected, Target, between, outcome, printed, within

ASSESSMENT = Assessment(
    question="Can CAR T cells that also feed on B cells overcome a solid tumour that suppresses them?",
    context="Simulates glioblastoma after a product with one or with two targets.",
    influence="low: the paper calls itself a proof of concept; nothing was fitted to patients",
    consequence="low: research and teaching",
    applicability="relative comparison of products inside the published ranges of suppression, dose and tumour",
)

_HAND = "biomodelsleontriana2021: equations and values, written out by hand and solved with SciPy at 1e-11"
_EQUATIONS = "leontriana2021: appendix A, follows from the equations"
_ONE = {"blood_car_t_at_infusion": 0.0}
_LARGE = 3.35e10

TARGETS = (
    Target(
        "largest suppression under which 8e7 cells control the tumour", "1/day", "leontriana2021: section 3.1",
        between(0.03, 0.035, "0.03 is controlled and 0.035 is not in figure 1"), printed("0.0342"),
    ),
    Target(
        "smallest dose that controls the tumour, suppression 0.04", "cell", "leontriana2021: section 3.2, figure 3",
        between(1.5e8, 2e8, "1.5e8 fails and 2e8 controls in figure 3"), printed("1.708e8"),
    ),
    Target(
        "smallest dose that controls the tumour, suppression 0.1", "cell", "leontriana2021: section 3.3, figure 6c",
        within(0.1, 1.5e9, "printed with two digits and read off a map"), printed("1.906e9"), reproducible=False,
        note="controlled as the paper defines it: below a tenth of its peak on day 180",
    ),
    Target(
        "fall of the tumour in powers of ten, dose 4e8, suppression 0.04", "1", "leontriana2021: section 3.3",
        between(4.0, 5.0, "'more than four orders of magnitude'"), printed("2.702"), reproducible=False,
        note="even without suppression it is 4.2",
    ),
    *(
        Target(
            f"dose 4e8 fails at suppression {a:g}", "1", "leontriana2021: section 3.3, figure 4a", outcome(True)
        )
        for a in (0.07, 0.1)
    ),
    *(
        Target(
            f"small tumour (6.7e9) not controlled by {dose:g} cells at suppression {a:g}", "1",
            "leontriana2021: section 3.4, figures 4b and 4c", outcome(True),
        )
        for dose, a in ((8e7, 0.04), (4e8, 0.07), (4e8, 0.1))
    ),
    Target(
        "tumour back to a tenth of its start, dose 4e8, suppression 0.04", "day", "leontriana2021: section 4.1",
        between(228.0, 258.0, "'around eight months': half a month to either side"), printed("241.6"),
        note="the paper does not say at what size it relapses: a tenth is its measure of control",
    ),
    *(
        Target(f"dual product controls the tumour at suppression {a:g}", "1", source, outcome(True))
        for a, source in (
            (0.04, "leontriana2021: figure 5b"),
            (0.07, "leontriana2021: figure 5b"),
            (0.1, "leontriana2021: figure 6d against 6c"),
            (0.183, "biomodelsleontriana2021: BIOMD0000001014, in place of 0.2"),
        )
    ),
    Target(
        "tumour on day 180 over its start, dual product, suppression 0.2", "1", "leontriana2021: figure 5b, caption",
        between(0.0, 0.1, "shown as controlled"), printed("1.01"), reproducible=False,
        note="BioModels needed 0.183 to redraw the figure",
    ),
    Target(
        "dual product controls a small tumour (1e9) at suppression 0.8", "1", "leontriana2021: section 4.2, figure 6f",
        outcome(True),
    ),
    Target("tumour on day 7, single target", "cell", _HAND, recomputed=printed("2.986e9")),
    Target("CAR T cells on day 30, single target", "cell", _HAND, recomputed=printed("1.126e8")),
    Target("tumour on day 90, single target", "cell", _HAND, recomputed=printed("1.325e9")),
    Target("largest number of CAR T cells at the tumour, dual target", "cell", _HAND, recomputed=printed("4.969e9")),
    Target("day of that number, dual target", "day", _HAND, recomputed=printed("16.73")),
    Target("B cells on day 30, dual target", "cell", _HAND, recomputed=printed("1.3325e9")),
    Target("smallest number of CAR T cells that shrinks the tumour", "cell", "leontriana2021: section 3.1",
           Expected(8e7, 8e3, "zero of the rate, found by solving from just beside it"), note="exact: 8e7"),
    Target(
        "largest move away from the two states of coexistence in 10 days", "1", _EQUATIONS,
        recomputed=Expected(0, 1e-6, "zero rates; solved at 1e-9"),
    ),
    Target(
        "stability of the states as the appendix says: saddle and unstable spiral", "1",
        "leontriana2021: appendix A.2",
        outcome(True),
    ),
)  # fmt: skip


def controlled(parameters: Mapping[str, Any]) -> np.ndarray:
    """Whether the tumour is below a tenth of its peak on day 180, one value per patient: the paper's definition."""
    found = solve(LeonTriana2021, parameters, [180.0], extremes={"peak": Extreme("tumour_cells")}, rtol=1e-9)
    return found["tumour_cells"][:, 0] < 0.1 * found.extreme["peak"][1]


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    large = _ONE | {"tumour_at_infusion": _LARGE}
    alpha = np.linspace(0.03, 0.04, 2001)
    low = controlled(large | {"tumour_car_t_at_infusion": 8e7, "suppression": alpha})
    found = {
        "largest suppression under which 8e7 cells control the tumour": float(alpha[low].max()),
        "smallest dose that controls the tumour, suppression 0.04": _dose(large | {"suppression": 0.04}, 1e8, 3e8),
        "smallest dose that controls the tumour, suppression 0.1": _dose(large | {"suppression": 0.1}, 1e9, 3e9),
    }
    cases = {
        **{f"dose 4e8 fails at suppression {a:g}": (4e8, a, _LARGE) for a in (0.07, 0.1)},
        **{
            f"small tumour (6.7e9) not controlled by {dose:g} cells at suppression {a:g}": (dose, a, 6.7e9)
            for dose, a in ((8e7, 0.04), (4e8, 0.07), (4e8, 0.1))
        },
    }
    dose, suppression, tumour = (list(column) for column in zip(*cases.values(), strict=True))
    single = _ONE | {
        "tumour_car_t_at_infusion": dose, "suppression": suppression, "tumour_at_infusion": tumour,
    }  # fmt: skip
    found |= {name: float(not won) for name, won in zip(cases, controlled(single), strict=True)}
    return found | _dual() | _courses() | _states()


def _dose(parameters: Mapping[str, Any], low: float, high: float) -> float:
    """Smallest dose that controls the tumour, between one that does not and one that does: finer grids in turn."""
    for _ in range(3):
        doses = np.geomspace(low, high, 101)
        first = int(np.argmax(controlled({**parameters, "tumour_car_t_at_infusion": doses})))
        low, high = doses[first - 1], doses[first]
    return float(high)


def _dual() -> dict[str, float]:
    levels = [0.04, 0.07, 0.1, 0.183]
    won = controlled({"suppression": levels})
    at_02 = solve(LeonTriana2021, {"suppression": 0.2}, [180.0], rtol=1e-9)["tumour_cells"][0, 0]
    small = controlled({"suppression": 0.8, "tumour_at_infusion": 1e9})
    found = {
        f"dual product controls the tumour at suppression {a:g}": float(w) for a, w in zip(levels, won, strict=True)
    }
    return found | {
        "tumour on day 180 over its start, dual product, suppression 0.2": float(at_02 / _LARGE),
        "dual product controls a small tumour (1e9) at suppression 0.8": float(small[0]),
    }


def _courses() -> dict[str, float]:
    sets = LeonTriana2021.parameter_sets
    one = solve(LeonTriana2021, sets["single_target"], [7.0, 30.0, 90.0], rtol=1e-9)
    two = solve(
        LeonTriana2021, sets["dual_target"], [30.0], extremes={"peak": Extreme("car_t_tumour")}, rtol=1e-9
    )  # fmt: skip
    days = np.linspace(100.0, 300.0, 20_001)
    relapse = solve(
        LeonTriana2021, sets["single_target_large_tumour"], days, extremes={"nadir": Extreme("tumour_cells", "min")},
        rtol=1e-9,
    )  # fmt: skip
    beside = [8e7 * (1 - 1e-4), 8e7 * (1 + 1e-4)]
    frozen = {
        **_ONE,
        "tumour_car_t_at_infusion": beside,
        "car_t_growth": 0.0,
        "suppression": 0.0,
        "car_t_lifetime": 1e12,
    }
    rate = np.log(solve(LeonTriana2021, frozen, [1.0], rtol=1e-9)["tumour_cells"][:, 0] / _LARGE)
    return {
        "tumour on day 7, single target": float(one["tumour_cells"][0, 0]),
        "CAR T cells on day 30, single target": float(one["car_t_total"][0, 1]),
        "tumour on day 90, single target": float(one["tumour_cells"][0, 2]),
        "largest number of CAR T cells at the tumour, dual target": float(two.extreme["peak"][1][0]),
        "day of that number, dual target": float(two.extreme["peak"][0][0]),
        "B cells on day 30, dual target": float(two["b_cells_total"][0, 0]),
        "tumour back to a tenth of its start, dose 4e8, suppression 0.04": float(
            np.interp(0.1 * _LARGE, relapse["tumour_cells"][0], days)
        ),
        "fall of the tumour in powers of ten, dose 4e8, suppression 0.04": float(
            np.log10(_LARGE / relapse.extreme["nadir"][1][0])
        ),
        "smallest number of CAR T cells that shrinks the tumour": float(np.interp(0.0, -rate, beside)),
    }


def _states() -> dict[str, float]:
    """The two coexistence states of equation A8, and the eigenvalues of the right derivative there."""
    p = {name: item.value for name, item in LeonTriana2021.parameters.items()} | {"suppression": 0.04}
    car_t = p["tumour_growth"] / p["kill_rate"]
    a = p["suppression"] / (p["half_suppression_car_t"] + car_t)
    half, decay = p["half_growth_tumour"], 1 / p["car_t_lifetime"]
    middle = a * half - p["car_t_growth"] + decay
    root = np.sqrt(middle**2 - 4 * a * half * decay)
    states = np.array([(-middle + root) / (2 * a), (-middle - root) / (2 * a)])
    course = solve(
        LeonTriana2021, _ONE | {"suppression": 0.04}, [0.0, 5.0, 10.0],
        initial={"tumour_car_t": [car_t] * 2, "tumour": states}, outputs=["tumour_car_t", "tumour"], rtol=1e-9,
    ).values  # fmt: skip
    values = [np.linalg.eigvals(_slope(p, car_t, tumour)) for tumour in states]
    saddle = bool(np.all(np.isreal(values[0])) and values[0].real.max() > 0)
    spiral = bool(np.all(~np.isreal(values[1])) and values[1].real.min() > 0)
    return {
        "largest move away from the two states of coexistence in 10 days": float(
            np.abs(course / course[:, :1] - 1).max()
        ),
        "stability of the states as the appendix says: saddle and unstable spiral": float(saddle and spiral),
    }


def _slope(p: dict[str, float], car_t: float, tumour: float) -> np.ndarray:
    """Derivative of the two rates by CAR T cells and tumour, read off the model's own formulas at nearby points."""
    from livingdrug.model.expressions import evaluate

    model = LeonTriana2021
    states = [model.states["tumour_car_t"], model.states["tumour"]]
    fixed = {model.parameters[name]: value for name, value in p.items()}
    fixed |= {model.states["blood_car_t"]: 0.0, model.states["b_cells"]: 0.0}

    def rates(at: np.ndarray) -> np.ndarray:
        values = {**fixed, **dict(zip(states, at, strict=True))}
        return np.array([float(evaluate(model.rates[s], values)) for s in states])

    here = np.array([car_t, tumour])
    steps = np.diag(here) * 1e-6
    return np.stack([(rates(here + h) - rates(here - h)) / (2 * h.sum()) for h in steps], axis=1)
