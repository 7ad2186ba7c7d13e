"""Targets of Swanson et al. 2022."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Extreme, solve
from livingdrug.library.swanson2022 import Swanson2022
from livingdrug.qualification.target import Assessment, Expected, Target, outcome, printed

ASSESSMENT = Assessment(
    question="What do cancer stem cells, regulatory T cells and TGF-beta do to a therapy with CAR T cells?",
    context="Simulates tumours of mice with the constants fitted to three experiments.",
    influence="low: describes mechanisms in mice; start and doses were read at second hand",
    consequence="low: research and teaching",
    applicability="untreated growth and the balance of TGF-beta; the treated courses only as far as the constants hold",
)

_PAPER = "swanson2022: equilibrium without treatment, Tang2020"
_HAND = "swanson2022: equations and values, written out by hand and solved with SciPy at 1e-12"
_UNTREATED = {"first_dose": 0.0, "second_dose": 0.0}
_SETS = ("Tang2020", "Han2021", "Zhang2019")
_GROWN = {"Tang2020": "3.921e8", "Han2021": "9.884e8", "Zhang2019": "9.623e8"}
_TREATED = {"Tang2020": "5.287e8", "Han2021": "9.862e8", "Zhang2019": "9.772e8"}
_TGF_BETA = {"Tang2020": ("55.70", "50.92"), "Han2021": ("128.7", "52.915"), "Zhang2019": ("128.7", "52.915")}
_REGULATORY = {"Tang2020": "2.123e5", "Han2021": "1.892e5", "Zhang2019": "1.892e5"}
_WITHOUT = ", production by regulatory T cells without TGF-beta"

TARGETS = (
    Target("TGF-beta at rest", "1", _PAPER, printed("845.3"), printed("845.3")),
    Target("tumour cells at rest", "cell", _PAPER, printed("9.9e8"), printed("9.898e8")),
    Target(
        "tumour and stem cells at rest over the capacity", "1", "swanson2022: follows from the equations",
        recomputed=Expected(1.0, 1e-6, "both grow until there is no room; solved at 1e-9"),
    ),
    *(
        Target(f"tumour cells on day 60 untreated, {name}", "cell", _HAND, recomputed=printed(value))
        for name, value in _GROWN.items()
    ),
    *(
        Target(f"tumour cells on day 80 after two doses of 5e6, {name}", "cell", _HAND, recomputed=printed(value))
        for name, value in _TREATED.items()
    ),
    *(
        Target(f"TGF-beta on day 80 after two doses of 5e6, {name}{reading}", "1", _HAND, recomputed=printed(value))
        for name, values in _TGF_BETA.items()
        for reading, value in zip(("", _WITHOUT), values, strict=True)
    ),
    *(
        Target(f"largest number of regulatory T cells, {name}", "cell", _HAND, recomputed=printed(value))
        for name, value in _REGULATORY.items()
    ),
    Target("smallest tumour after two doses of 5e6, Tang2020", "cell", _HAND, recomputed=printed("2.534e7")),
    Target("stem cells on day 80 after two doses of each product", "cell", _HAND, recomputed=printed("0.3143")),
    Target("tumour cells on day 80 after two doses of each product", "cell", _HAND, recomputed=printed("4.329e8")),
    Target(
        "TGF-beta helps the tumour: without its production the same doses leave less", "1",
        "swanson2022: title and text, inhibition of TGF-beta", outcome(True),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    sets = [Swanson2022.parameter_sets[name] for name in _SETS]
    cohort = {name: [values[name] for values in sets] for name in sets[0]}
    rest = solve(Swanson2022, _UNTREATED, [20_000.0], outputs=list(Swanson2022.states), rtol=1e-9)
    grown = solve(Swanson2022, cohort | _UNTREATED, [60.0], outputs=["tumour"], rtol=1e-9)["tumour"][:, 0]
    extremes = {"smallest": Extreme("tumour", "min"), "regulatory": Extreme("regulatory")}
    treated = solve(Swanson2022, cohort, [80.0], outputs=["tumour", "tgf_beta"], extremes=extremes, rtol=1e-9)
    scripts = solve(Swanson2022, cohort | {"self_enhancement": 0.0}, [80.0], outputs=["tgf_beta"], rtol=1e-9)
    both = solve(
        Swanson2022, {"first_stem_dose": 5e6, "second_stem_dose": 5e6}, [80.0], outputs=["stem", "tumour"], rtol=1e-9
    )
    inhibited = solve(Swanson2022, {"tgf_beta_production": [0.5917, 0.0]}, [30.0], rtol=1e-9)
    left = inhibited["tumour_cells"][:, 0]
    found = {
        "TGF-beta at rest": float(rest["tgf_beta"][0, 0]),
        "tumour cells at rest": float(rest["tumour"][0, 0]),
        "tumour and stem cells at rest over the capacity": float((rest["tumour"] + rest["stem"])[0, 0] / 1e9),
        "smallest tumour after two doses of 5e6, Tang2020": float(treated.extreme["smallest"][1][0]),
        "stem cells on day 80 after two doses of each product": float(both["stem"][0, 0]),
        "tumour cells on day 80 after two doses of each product": float(both["tumour"][0, 0]),
        "TGF-beta helps the tumour: without its production the same doses leave less": float(left[1] < left[0]),
    }
    regulatory = np.asarray(treated.extreme["regulatory"][1])
    for k, name in enumerate(_SETS):
        found[f"tumour cells on day 60 untreated, {name}"] = float(grown[k])
        found[f"tumour cells on day 80 after two doses of 5e6, {name}"] = float(treated["tumour"][k, 0])
        found[f"largest number of regulatory T cells, {name}"] = float(regulatory[k])
        for reading, run in (("", treated), (_WITHOUT, scripts)):
            found[f"TGF-beta on day 80 after two doses of 5e6, {name}{reading}"] = float(run["tgf_beta"][k, 0])
    return found
