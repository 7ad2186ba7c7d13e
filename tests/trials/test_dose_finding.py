"""Dose finding: exact 3+3, and numbers of the R packages BOIN, dfcrm and escalation as their documents print them."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate

from livingdrug.errors import InputError
from livingdrug.trials.dose_finding import (
    BOIN,
    CRM,
    ThreePlusThree,
    operating_characteristics,
    three_plus_three_exact,
)

TRUTH = [0.05, 0.12, 0.27, 0.44, 0.53]


def test_three_plus_three_of_one_dose():
    """One dose: six patients, recommended with at most one toxicity, unless two of the first three have one."""
    for p in (0.0, 0.1, 0.5, 1.0):
        chosen, patients = three_plus_three_exact([p])
        none, one = (1 - p) ** 3, 3 * p * (1 - p) ** 2
        assert chosen[0] == pytest.approx(none * (none + one) + one * none)
        assert patients[0] == pytest.approx(3 + 3 * (none + one))


def test_three_plus_three_by_every_path():
    """Two doses, every outcome of up to four cohorts written out, judged by the design itself."""
    truth, design = np.array([0.2, 0.35]), ThreePlusThree()
    chosen, patients = np.zeros(3), np.zeros(2)
    for cohorts in itertools.product(range(4), repeat=4):
        treated, toxic = np.zeros((1, 2), int), np.zeros((1, 2), int)
        dose, chance, used = np.array([0]), 1.0, 0
        for y in cohorts:
            p = truth[dose[0]]
            chance *= math.comb(3, y) * p**y * (1 - p) ** (3 - y)
            treated[0, dose[0]] += 3
            toxic[0, dose[0]] += y
            used += 1
            dose = design.next_dose(treated, toxic, dose)
            if dose[0] < 0:
                break
        assert dose[0] < 0  # four cohorts are enough for two doses
        chance /= 4 ** (4 - used)  # the cohorts that were not treated are counted 4 times each
        chosen[design.chosen(treated, toxic)[0]] += chance
        patients += chance * treated[0]
    exact, mean = three_plus_three_exact(truth)
    assert chosen == pytest.approx(exact)
    assert patients == pytest.approx(mean)


def test_simulated_three_plus_three_agrees_with_the_exact_one():
    chosen, patients = three_plus_three_exact(TRUTH)
    assert chosen.sum() == pytest.approx(1)
    found = operating_characteristics(ThreePlusThree(), TRUTH, seed=7, largest=60, replicates=6000)
    assert np.all(np.abs(found.chosen - chosen) < 4 * found.error)
    assert found.patients == pytest.approx(patients, abs=0.12)
    assert found.toxic == pytest.approx(patients * TRUTH, abs=0.06)


def test_boundaries_of_boin():
    """Target 0.3 as a public program of a BOIN variant has it; the odd one as R's get.boundary prints it."""
    assert BOIN(0.3).boundaries() == pytest.approx((0.2364907, 0.3585195), abs=5e-8)
    odd = BOIN(0.1838882, low=0.1546687, high=0.9994928, elimination=0.8685382)
    assert odd.boundaries() == pytest.approx((0.1689429, 0.8134795), abs=5e-8)


def test_decisions_of_boin():
    """Up and down at a dose in the middle, against the printed table of R's BOIN for target 0.3: 3 and 6 patients."""
    design = BOIN(0.3)
    moves = {}
    for n in (3, 6):
        for y in range(n + 1):
            step = design.next_dose(np.array([[9, n, 0]]), np.array([[0, y, 0]]), np.array([1]))[0] - 1
            moves[n, y] = int(step)
    assert [moves[3, y] for y in range(4)] == [1, 0, -1, -1]
    assert [moves[6, y] for y in range(7)] == [1, 1, 0, -1, -1, -1, -1]
    gone = design.eliminated(np.array([[3, 3, 3], [3, 3, 3], [6, 6, 6]]), np.array([[0, 3, 0], [0, 2, 0], [0, 4, 0]]))
    assert gone.tolist() == [[False, True, True], [False, False, False], [False, True, True]]
    assert design.next_dose(np.array([[3, 0, 0]]), np.array([[3, 0, 0]]), np.array([0])).tolist() == [-1]


def test_dose_that_boin_recommends():
    """The example of select.mtd in R's BOIN; its isotonic estimates of doses 2 to 4 straddle the target."""
    assert BOIN(0.3).chosen(np.array([[3, 3, 15, 9, 0]]), np.array([[0, 0, 4, 4, 0]])).tolist() == [2]
    assert BOIN(0.3).chosen(np.array([[3, 0]]), np.array([[3, 0]])).tolist() == [-1]
    assert BOIN(0.25).next_dose(np.array([[0, 3, 0, 0, 0]]), np.zeros((1, 5), int), np.array([1])).tolist() == [2]


def test_crm_as_in_r():
    """README of the R package escalation: dfcrm with this skeleton after '2NNN 3TTN 2TNN 2NNT', and after '2NNN'."""
    design = CRM((0.05, 0.1, 0.25, 0.4, 0.6), 0.25)
    chance, _ = design.chances([[0, 9, 3, 0, 0]], [[0, 2, 2, 0, 0]])
    # R's own quadrature leaves an error in the seventh digit
    assert chance[0] == pytest.approx([0.1845713, 0.2728713, 0.4575229, 0.5964102, 0.7496662], abs=2e-7)
    treated, toxic = np.array([[0, 3, 0, 0, 0]]), np.zeros((1, 5), int)
    assert np.abs(design.chances(treated, toxic)[0][0] - 0.25).argmin() == 3  # dose 4: R without a rule skips dose 3
    assert design.next_dose(treated, toxic, np.array([1])).tolist() == [2]  # dose 3: R told not to skip
    treated, toxic = np.array([[0, 6, 3, 0, 0]]), np.array([[0, 1, 2, 0, 0]])
    assert design.next_dose(treated, toxic, np.array([1])).tolist() == [1]


def test_crm_probability_that_the_lowest_dose_is_too_toxic():
    """Against adaptive quadrature of the same posterior."""
    design = CRM((0.1, 0.2, 0.3), 0.25)
    _, above = design.chances([[6, 3, 0]], [[2, 1, 0]])

    def density(b):
        p, q = 0.1 ** math.exp(b), 0.2 ** math.exp(b)
        return p**2 * (1 - p) ** 4 * q * (1 - q) ** 2 * math.exp(-b * b / 2.68)

    limit = math.log(math.log(0.25) / math.log(0.1))
    below, rest = (integrate.quad(density, *ends)[0] for ends in ((-12, limit), (limit, 12)))
    exact = below / (below + rest)
    assert above[0] == pytest.approx(exact, abs=1e-4)


def test_crm_stops_where_the_lowest_dose_is_too_toxic():
    design = CRM((0.1, 0.2, 0.3), 0.2)
    treated, toxic = np.array([[6, 0, 0]]), np.array([[6, 0, 0]])
    assert design.next_dose(treated, toxic, np.array([0])).tolist() == [-1]
    assert design.chosen(treated, toxic).tolist() == [-1]


@pytest.mark.parametrize("design", [BOIN(0.3), CRM((0.06, 0.14, 0.3, 0.45, 0.58), 0.3)])
def test_designs_find_the_right_dose_more_often_than_three_plus_three(design):
    truth = [0.05, 0.15, 0.3, 0.45, 0.6]
    found = operating_characteristics(design, truth, seed=1, replicates=1000)
    assert found.chosen.argmax() == 2
    assert found.chosen[2] - 4 * found.error[2] > three_plus_three_exact(truth)[0][2]
    assert np.all(found.size <= 30)
    again = operating_characteristics(design, truth, seed=1, replicates=1000)
    assert np.array_equal(found.picked, again.picked)


def test_replicates_do_not_depend_on_their_number_and_share_patients():
    few = operating_characteristics(BOIN(0.3), TRUTH, seed=5, replicates=20)
    many = operating_characteristics(BOIN(0.3), TRUTH, seed=5, replicates=60)
    assert np.array_equal(few.picked, many.picked[:20])
    # with one seed a truth that is everywhere more toxic harms the same patients and more: never a higher dose by 3+3
    mild, harsh = (
        operating_characteristics(ThreePlusThree(), truth, seed=5, replicates=300, largest=3).toxic[0]
        for truth in ([0.2, 0.3], [0.4, 0.5])
    )
    assert harsh > mild


def test_ensemble_of_truths():
    """Two sets in turn: the mean of what each gives."""
    both = operating_characteristics(ThreePlusThree(), [[0.0, 1.0], [1.0, 1.0]], seed=1, replicates=10)
    assert both.chosen.tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BOIN(0.3, low=0.4), "BOIN needs 0 <"),
        (lambda: BOIN(0.8), "BOIN needs 0 <"),
        (lambda: BOIN(0.3, elimination=2), "elimination"),
        (lambda: ThreePlusThree(4), "cohorts of 3"),
        (lambda: CRM((), 0.3), "at least one dose"),
        (lambda: CRM((0.3, 0.2), 0.3), "rises"),
        (lambda: CRM((0.2, math.nan), 0.3), "between 0 and 1"),
        (lambda: three_plus_three_exact([]), "chances of toxicity"),
        (lambda: three_plus_three_exact([1.2]), "chances of toxicity"),
        (lambda: operating_characteristics(BOIN(0.3), [0.1], seed=1, start=1), "a first dose"),
        (lambda: operating_characteristics(BOIN(0.3), [0.1], seed=1, largest=10**9), "patients"),
        (lambda: operating_characteristics(BOIN(0.3), [0.1], seed=1, replicates=0), "replicate"),
        (lambda: operating_characteristics(CRM((0.1, 0.2), 0.2), [0.1], seed=1), "as many doses"),
        (lambda: operating_characteristics(BOIN(0.3), [0.1], seed=-1), "seed"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(InputError, match=message):
        call()
