"""What the ward measures: units and words of the clinic, noise as declared, and the order in which a body falls ill."""

import numpy as np
import pytest

from livingdrug.body.diseases import PATIENTS
from livingdrug.body.signs import AT_REST, LABORATORY, MEASURED, UNITS, VITAL, WORDS, Ward, bedside, read_body
from livingdrug.body.treatment import cells, lymphodepletion
from livingdrug.body.twin import TwinBody
from livingdrug.body.variability import draw_patients
from livingdrug.clinic.observations_items import ITEMS
from livingdrug.engine.solve import LOOSE, solve
from livingdrug.units import convert

ROUNDS = np.arange(0.25, 28.0, 1 / 3)


def resting(count, **changes):
    return {name: np.full(count, float(changes.get(name, value))) for name, value in AT_REST.items()}


def test_items_are_those_of_the_clinic():
    for name, unit in UNITS.items():
        assert ITEMS[name].unit == unit
    for name, words in WORDS.items():
        assert ITEMS[name].words == words


def test_states_at_rest_are_those_of_the_body(clinic):
    found = clinic.solve({"tumour_at_start": 0.0}, [], [0.0, 1.0], stochastic=False)
    for name, value in AT_REST.items():
        assert found["il6_effect" if name == "il6_acting" else name][0, 0] == pytest.approx(value), name


def test_at_rest_a_body_is_well():
    found = Ward(np.arange(4000), seed=1).measure(resting(4000), 0)
    assert (found["temperature"] >= 38.0).mean() < 0.001
    assert (found["systolic_pressure"] < 90).mean() < 0.01
    for name in ("oxygen_device", "vasopressors", "consciousness", "seizure", "motor_weakness", "oedema"):
        assert (found[name] > 0).mean() < 0.01
    assert (found["ice_score"] == 10).all()
    assert found["anc"] == pytest.approx(np.full(4000, 4000.0), rel=1.0)
    assert np.median(found["platelets"]) == pytest.approx(220, rel=0.02)


def test_values_are_possible():
    """Also in a body as ill as a body can be."""
    worst = {"il6": 1e5, "il6_acting": 1e5, "endothelium": 8.0, "macrophages": 1.0, "brain_injury": 20.0, "crp": 400.0}
    worst |= {"ferritin": 2e5, "neutrophils": 0.0, "platelets": 500.0, "haemoglobin": 5.0, "tumour_positive": 5e12}
    for body in (resting(500), resting(500, **worst), resting(500, **dict.fromkeys(AT_REST, 0.0))):
        found = Ward(np.arange(500), seed=2).measure(body, 7)
        assert sorted(found) == sorted(UNITS)
        for name, values in found.items():
            assert np.isfinite(values).all(), name
            assert values.min() >= ITEMS[name].least, name
            assert values.max() <= ITEMS[name].most, name


@pytest.mark.parametrize("worse", [{"il6_acting": 300.0}, {"macrophages": 1.0}])
def test_inflammation_brings_fever(worse):
    assert bedside({**AT_REST, **worse})["temperature"] > bedside(AT_REST)["temperature"] + 1


def test_worse_is_worse():
    levels = np.linspace(1.0, 6.0, 40)
    found = Ward(np.zeros(1, int), noise=False)
    ill = [found.measure({n: np.array([v]) for n, v in {**AT_REST, "endothelium": x}.items()}, 0) for x in levels]
    for name, sign in (
        ("vasopressors", 1),
        ("oxygen_device", 1),
        ("heart_rate", 1),
        ("creatinine", 1),
        ("fibrinogen", -1),
    ):
        assert (sign * np.diff([each[name][0] for each in ill]) >= 0).all(), name
    hurt = [
        found.measure({n: np.array([v]) for n, v in {**AT_REST, "brain_injury": 10 * x}.items()}, 0) for x in levels
    ]
    assert (np.diff([each["ice_score"][0] for each in hurt]) <= 0).all()
    assert (np.diff([each["consciousness"][0] for each in hurt]) >= 0).all()
    assert hurt[-1]["consciousness"][0] == 3


def test_antipyretics_and_steroids_lower_fever():
    ill = {**AT_REST, "il6_acting": 500.0}
    plain = bedside(ill)["temperature"]
    assert bedside(ill, antipyretic=1.0)["temperature"] < plain - 0.5
    assert bedside({**ill, "steroid_acting": 8.0})["temperature"] < plain - 0.5


def test_noise_is_as_declared():
    """Standard deviations within patients (500 rounds of 40) and between their means, against the table."""
    ward = Ward(np.arange(2000), seed=4)
    body = resting(2000)
    rounds = [ward.measure(body, number) for number in range(40)]
    for name in (*VITAL, *LABORATORY):
        if name in ("spo2",):  # cut at 100 per cent
            continue
        values = np.array([each[name] for each in rounds])
        values = values if MEASURED[name].added else np.log(values)
        if name == "systolic_pressure":  # low pressure is answered: those who are never low
            never = values[:, values.min(axis=0) > 98]
            assert never.std(axis=0, ddof=1).mean() == pytest.approx(MEASURED[name].within, rel=0.1)
            continue
        assert values.std(axis=0, ddof=1).mean() == pytest.approx(MEASURED[name].within, rel=0.05), name
        between = np.sqrt(max(values.mean(axis=0).var() - MEASURED[name].within ** 2 / 40, 0.0))
        assert between == pytest.approx(MEASURED[name].between, rel=0.08, abs=0.01), name


def test_noise_belongs_to_patient_item_and_round():
    ids = np.array([5, 9, 2**40])
    together = Ward(ids, seed=8).measure(resting(3), 12)
    for row, patient in enumerate(ids):
        alone = Ward([patient], seed=8).measure(resting(1), 12)
        assert {n: v[0] for n, v in alone.items()} == {n: v[row] for n, v in together.items()}
    again, other_seed = Ward(ids, seed=8).measure(resting(3), 13), Ward(ids, seed=9).measure(resting(3), 12)
    for name in ("temperature", "crp", "heart_rate", "il6"):
        assert (together[name] != again[name]).all()
        assert (together[name] != other_seed[name]).all()
    without = Ward(ids, seed=8).measure(resting(3), 12, laboratory=())
    assert "crp" not in without
    assert (without["temperature"] == together["temperature"]).all()


def test_platelets_are_in_thousands_per_microlitre():
    found = bedside({**AT_REST, "platelets": 150000.0})
    assert found["platelets"] == pytest.approx(convert(150000.0, "cell/uL", "cell/L") / 1e9)


class Watch:
    """A cohort on the ward: three rounds a day for four weeks."""

    def __init__(self, name, count=800, seed=11):
        patient, ids = PATIENTS[name], np.arange(count)
        self.ward, self.rounds = Ward(ids, seed=seed), []
        given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
        self.solution = solve(
            TwinBody, draw_patients(ids, patient.values(), seed=seed), [-6.0, 28.0], doses=given, patient_ids=ids,
            outputs=["tumour_cells"], rounds=ROUNDS, visit=self.visit, rtol=LOOSE, stochastic=False,
        )  # fmt: skip
        assert not self.solution.failures()

    def visit(self, body):
        self.rounds.append(
            self.ward.measure(read_body(body), body.number, laboratory=LABORATORY if body.number % 3 == 0 else ())
        )

    def __getitem__(self, item):
        return np.array([each[item] for each in self.rounds])

    @staticmethod
    def first_day(signs):
        return np.where(signs.any(axis=0), ROUNDS[signs.argmax(axis=0)], np.nan)


@pytest.fixture(scope="module", params=["lbcl_cd28", "lbcl_4_1bb", "b_all", "myeloma"])
def watch(request):
    return Watch(request.param)


def test_most_have_fever_fewer_need_support_and_most_within_14_days(watch):
    fever, low = watch["temperature"] >= 38, watch["fluids_for_pressure"] > 0
    pressors = watch["vasopressors"] > 0
    assert 0.5 < fever.any(axis=0).mean() <= 1.0
    assert 0.05 < (low & fever.any(axis=0)).any(axis=0).mean() < fever.any(axis=0).mean()
    assert 0.01 < pressors.any(axis=0).mean() < 0.5
    days = watch.first_day(fever)
    assert 0.5 < np.nanmedian(days) < 7
    assert np.nanmean(days[np.isfinite(days)] <= 14) > 0.95


def test_fever_comes_before_low_pressure(watch):
    fever, low = watch.first_day(watch["temperature"] >= 38), watch.first_day(watch["vasopressors"] > 0)
    both = np.isfinite(fever) & np.isfinite(low)
    assert both.sum() > 20
    assert (fever[both] <= low[both]).mean() > 0.95
    assert np.median((low - fever)[both]) > 0.5


def test_the_brain_follows_fever_mostly(watch):
    fever, brain = watch.first_day(watch["temperature"] >= 38), watch.first_day(watch["ice_score"] < 10)
    affected = np.isfinite(brain)
    assert 0.05 < affected.mean() < 0.7
    assert (fever[affected] <= brain[affected]).mean() > 0.9
    assert np.nanmedian(brain - fever) > 1.0
    assert (brain[affected] <= 14).mean() > 0.9


def test_in_a_few_the_brain_suffers_before_or_without_fever():
    watch = Watch("lbcl_4_1bb", 3000, seed=2)
    fever, brain = watch.first_day(watch["temperature"] >= 38), watch.first_day(watch["ice_score"] < 10)
    affected = np.isfinite(brain)
    unusual = affected & (np.isnan(fever) | (brain < fever))
    assert 0 < unusual.sum() < 0.1 * affected.sum()
