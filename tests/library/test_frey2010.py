"""frey2010: what was declared, doses, balances, random effects. The paper's numbers are in the qualification."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Dose
from livingdrug.engine.solve import solve as solve_cohort
from livingdrug.errors import InputError
from livingdrug.library.frey2010 import CORRELATIONS, PRINTED_CV, Frey2010, draw_patients

P = {name: p.value for name, p in Frey2010.parameters.items()}

# Tables II and III as transcribed in nlmixr2lib.
TABLE = {
    "clearance": 0.3, "central_volume": 3.5, "exchange": 0.2, "peripheral_volume": 2.9, "saturable_maximum": 7.5,
    "half_saturation": 2.7, "surface_on_clearance": 0.7, "female_on_clearance": -0.16, "hdl_on_clearance": -0.2,
    "factor_on_clearance": 0.1, "protein_on_volume": -1.1, "albumin_on_volume": 0.7, "albumin_on_maximum": -0.4,
    "creatinine_on_maximum": 0.2, "smoking_on_maximum": 0.11,
}  # fmt: skip


def solve(values, days, **options):
    found = solve_cohort(Frey2010, values, days, rtol=1e-9, **options)
    assert not found.failures()
    return found


def test_values_are_those_of_the_tables():
    assert {name: P[name] for name in TABLE} == TABLE
    for covariate, reference in (
        ("body_surface", "reference_surface"),
        ("hdl_cholesterol", "reference_hdl"),
        ("log_rheumatoid_factor", "reference_factor"),
        ("serum_protein", "reference_protein"),
        ("albumin", "reference_albumin"),
        ("creatinine_clearance", "reference_creatinine"),
    ):
        assert P[covariate] == P[reference]


def test_nothing_is_lost_without_elimination_and_all_goes_in_the_end():
    closed = solve(
        {"clearance": 0.0, "saturable_maximum": 0.0}, [0.5 / 24, 1.0, 100.0], outputs=["central", "peripheral"]
    )
    assert closed.values.sum(axis=2)[0] == pytest.approx([280.0, 560.0, 560.0], rel=1e-8)  # half the hour, then all
    assert closed["peripheral"][0, 2] / closed["central"][0, 2] == pytest.approx(2.9 / 3.5, rel=1e-3)
    assert solve({}, [0.0, 600.0])["tocilizumab"][0, 1] < 1e-6


@pytest.mark.parametrize(
    ("weight", "milligrams"),
    [(20.0, 240.0), (29.9, 358.8), (30.0, 240.0), (70.0, 560.0), (100.0, 800.0), (140.0, 800.0)],
)
def test_doses_of_cytokine_release(weight, milligrams):
    """8 mg/kg, 12 mg/kg below 30 kg, at most 800 mg (label of Kymriah, table 1)."""
    kept = {"clearance": 0.0, "saturable_maximum": 0.0, "exchange": 0.0, "body_weight": weight}
    assert solve(kept, [1.0])["tocilizumab"][0, 0] == pytest.approx(milligrams / 3.5, rel=1e-8)


def test_covariates_that_the_qualification_does_not_show():
    """Central concentration just after the infusion, and slopes: table III by hand."""
    alone = {"saturable_maximum": 0.0, "exchange": 0.0}
    cases = {"hdl_cholesterol": [54.0, 108.0, 54.0], "log_rheumatoid_factor": [4.7, 4.7, 9.4]}
    course = solve(alone | cases, [1.0, 2.0])["tocilizumab"]
    slope = np.log(course[:, 0] / course[:, 1])
    assert slope[1:] / slope[0] == pytest.approx([2**-0.2, 2**0.1], rel=1e-7)
    # Far below saturation the other path clears V_M/K_M.
    linear = {"clearance": 0.0, "exchange": 0.0, "saturable_maximum": 7.5e6, "half_saturation": 2.7e6}
    cases = {"creatinine_clearance": [106.0, 53.0, 106.0], "albumin": [38.0, 38.0, 19.0]}
    course = solve(linear | cases, [1.0, 2.0])["tocilizumab"]
    slope = np.log(course[:, 0] / course[:, 1])
    # albumin also changes the central volume
    assert slope[1:] / slope[0] == pytest.approx([0.5**0.2, 0.5**-0.4 / 0.5**0.7], rel=1e-4)


def test_terminal_slopes_when_saturated_and_when_not():
    """Slow eigenvalue of two compartments by hand: with CL alone when high, with CL + V_M/K_M when low."""

    def slow(clearance):
        rates = [[-(clearance + 0.2) / 3.5, 0.2 / 2.9], [0.2 / 3.5, -0.2 / 2.9]]
        return -np.linalg.eigvals(rates).real.max()

    days = np.array([150.0, 151.0])
    high, low = solve({"saturable_maximum": [0.0, 7.5]}, days)["tocilizumab"]
    assert low.max() < 0.01 * 2.7
    assert np.log(high[0] / high[1]) == pytest.approx(slow(0.3), rel=1e-6)
    assert np.log(low[0] / low[1]) == pytest.approx(slow(0.3 + 7.5 / 2.7), rel=2e-3)


def test_further_doses_go_into_the_central_compartment():
    """Four doses, one every 8 hours, as the label allows: concentration rises by dose/V1 each time."""
    kept = {"clearance": 0.0, "saturable_maximum": 0.0, "exchange": 0.0}
    more = [Dose("central", 560.0, at=1 / 3, every=1 / 3, count=3, duration=1 / 24)]
    course = solve(kept, [0.3, 0.6, 0.9, 1.3], doses=more)["tocilizumab"][0]
    assert course == pytest.approx(160.0 * np.arange(1, 5), rel=1e-7)


def test_random_effects_have_the_printed_spread_and_correlation():
    """40,000 draws: CV of 39, 37, 66 and 54 % and the six correlations of Table II, within sampling error."""
    drawn = draw_patients(np.arange(40_000), seed=3)
    for name, cv in PRINTED_CV.items():
        values = drawn[name]
        assert np.median(values) == pytest.approx(P[name], rel=0.02)
        assert values.std() / values.mean() == pytest.approx(cv, rel=0.05)
        spread = Frey2010.parameters[name].spread
        assert spread is not None
        assert spread.sd == pytest.approx(np.sqrt(np.log(1 + cv**2)))
    found = np.corrcoef(np.log([drawn[name] for name in PRINTED_CV]))
    assert found == pytest.approx(np.array(CORRELATIONS), abs=0.02)  # four standard errors of 40,000


def test_a_patient_stays_the_same_in_any_company():
    many, alone = draw_patients(np.arange(50), seed=9), draw_patients([17], seed=9)
    assert all(alone[name][0] == pytest.approx(many[name][17], rel=1e-14) for name in alone)


def test_bad_values_are_refused():
    with pytest.raises(InputError, match="female"):
        solve({"female": -1.0}, [0.0, 1.0])
    with pytest.raises(InputError, match="body_weight"):
        solve({"body_weigth": 70.0}, [0.0, 1.0])
    with pytest.raises(InputError, match="identifiers"):
        draw_patients([-1])
