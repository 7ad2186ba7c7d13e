import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.sources import cite
from livingdrug.therapy import (
    Attrition,
    CollectionPlan,
    ConditioningPlan,
    EngineeringPlan,
    Fixed,
    Journey,
    LogNormal,
    MultiplicationPlan,
    ReleasePlan,
    WaitingPlan,
    collect,
    condition,
    engineer,
    multiply,
    release,
    wait,
)
from livingdrug.therapy.engineering import car_positive_fraction, copies_per_positive_cell
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.stated import stated_values

UNITS = {"cd3_per_uL": "1/uL", "weight_kg": "kg"}


def cohort(n: int = 50, cd3=800.0, weight=80.0, first: int = 1) -> Patients:
    return Patients(
        np.arange(first, first + n), {"cd3_per_uL": np.full(n, cd3), "weight_kg": np.full(n, weight)}, UNITS
    )


def chain(patients: Patients, seed: int = 1, **plans):
    bag = collect(patients, plans.get("collection"), seed=seed)
    cells = engineer(bag, plans.get("engineering"), seed=seed)
    product = multiply(cells, plans.get("multiplication"), seed=seed)
    return bag, cells, product, release(product, plans.get("release"), seed=seed)


def fixed(value: float, unit: str) -> Fixed:
    return Fixed(value=value, unit=unit)


# --- formulas -------------------------------------------------------------------------------------------------------


def test_collection_formula_and_the_published_share_of_the_40_percent_rule():
    bag = collect(cohort(20_000), seed=3)
    efficiency = bag.patients["collection_efficiency"]
    assert bag.t_cells == pytest.approx(efficiency * 800e6 * 5.0)
    assert np.median(efficiency) == pytest.approx(0.60, abs=0.01)  # cytotherapy2023collection
    assert np.mean(efficiency >= 0.40) == pytest.approx(0.90, abs=0.01)


@pytest.mark.parametrize(
    ("positive", "copies"), [(0.20, 1.116), (0.40, 1.277), (0.60, 1.527), (0.86, 2.29)]
)  # identities of the research note, section 3
def test_poisson_gene_transfer(positive, copies):
    mean = -np.log(1 - positive)
    assert car_positive_fraction(mean) == pytest.approx(positive)
    assert copies_per_positive_cell(mean) == pytest.approx(copies, rel=2e-3)


def test_copy_numbers_keep_their_denominators():
    _, cells, _, _ = chain(cohort())
    per_cell, per_car = cells.patients["copies_per_cell"], cells.patients["copies_per_car_cell"]
    assert cells.patients["copies_per_haploid_genome"] * 2 == pytest.approx(per_cell)
    assert per_car * cells.car_positive == pytest.approx(per_cell)
    assert copies_per_positive_cell([0.0, 1e-12]).tolist() == pytest.approx([1.0, 1.0])


def test_tests_of_release_are_all_named():
    plans = {
        "engineering": EngineeringPlan(copies_per_cell=fixed(0.01, "copy/cell")),
        "multiplication": MultiplicationPlan(death_rate=fixed(1.0, "1/day"), growth_rate=fixed(0, "1/day")),
    }
    *_, dose = chain(cohort(2), **plans)
    assert len(dose) == 0
    reasons = set(dose.attrition.reasons)
    assert reasons == {"viability too low; too few CAR-positive cells; dose too small"}
    many = {"engineering": EngineeringPlan(copies_per_cell=fixed(6, "copy/cell"))}
    assert set(chain(cohort(400), **many)[-1].attrition.counts()) >= {("release", "too many gene copies")}


def test_dose_is_target_cap_or_what_was_made():
    *_, light = chain(cohort(20, weight=60))
    assert light.cells.tolist() == [1.2e8] * len(light)
    *_, heavy = chain(cohort(20, weight=130))
    assert heavy.cells.tolist() == [2e8] * len(heavy)
    *_, giant = chain(cohort(20, weight=250))  # the cap lies below the least dose per kg and is given
    assert giant.cells.tolist() == [2e8] * len(giant)
    small = {"multiplication": MultiplicationPlan(capacity=fixed(2e8, "cell"))}
    *_, product, scarce = chain(cohort(60, weight=80), **small)
    assert len(scarce) > 0
    rows = np.isin(product.patients.ids, scarce.patients.ids)
    assert np.all(scarce.cells <= product.car_t_cells[rows])
    assert scarce.cells_per_kg == pytest.approx(scarce.cells / 80)


def test_waiting_hazard_and_its_share():
    stage = Stage(cohort(40_000), Attrition.none())
    plan = WaitingPlan(duration=fixed(24, "day"), hazard=fixed(-np.log(1 - 9 / 110) / 24, "1/day"))
    waited = wait(stage, plan, seed=5)
    assert len(waited.attrition) / 40_000 == pytest.approx(9 / 110, abs=0.005)
    assert min(waited.attrition.days) > 0
    assert max(waited.attrition.days) <= 24
    assert len(wait(stage, WaitingPlan(), seed=5)) == 40_000


def test_conditioning_leaves_the_published_median():
    left = condition(cohort(20_000), seed=2).host_t_cells
    assert np.median(left) == pytest.approx(3e9, rel=0.005)  # kimmel2021: 6 per uL
    assert np.all(left > 0)


# --- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**64 - 1),
    st.lists(st.tuples(st.floats(0, 5000), st.floats(1, 400)), min_size=1, max_size=6),
    st.floats(0, 10),
    st.floats(0.01, 1),
)
def test_cells_are_never_negative_and_balance(seed, people, copies, viability):
    cd3, weight = np.array(people).T
    patients = Patients(np.arange(len(people)), {"cd3_per_uL": cd3, "weight_kg": weight}, UNITS)
    plans = {
        "engineering": EngineeringPlan(copies_per_cell=fixed(copies, "copy/cell")),
        "multiplication": MultiplicationPlan(death_rate=fixed(1 - viability, "1/day")),
    }
    bag, cells, product, dose = chain(patients, seed, **plans)
    for stage in (bag, cells, product, dose):
        for name in stage.COLUMNS:
            assert np.all(stage.patients[name] >= 0), name
            assert stage.patients.units[name] == stage.COLUMNS[name]
        assert len(stage) + len(stage.attrition) == len(people)
    c = cells.patients
    assert c["engineered_t_cells"] + c["preparation_loss"] == pytest.approx(c["collected_t_cells"])
    p = product.patients
    assert p["seeded_t_cells"] + p["kept_t_cells"] == pytest.approx(p["engineered_t_cells"])
    total = p["harvested_t_cells"] + p["harvested_dead_cells"]
    assert p["harvested_t_cells"] == pytest.approx(total * p["viability"])
    assert np.all(p["harvested_car_t_cells"] <= p["harvested_t_cells"])
    d = dose.patients
    assert d["dose_cells"] + d["left_over_car_t_cells"] == pytest.approx(d["harvested_car_t_cells"])
    assert np.all(d["dose_cells"] <= 2e8)


def journey() -> Journey:
    return Journey(
        infusion={"model": "any"},
        multiplication={"failure": {"value": 0.2, "unit": "fraction"}},
        waiting={"hazard": {"value": 0.01, "unit": "1/day"}},
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.permutations(list(range(12))))
def test_order_and_neighbours_do_not_matter(seed, order):
    patients = cohort(12)
    dose, ready = journey().prepare(patients, seed=seed)
    again, _ = journey().prepare(patients, seed=seed)
    assert again.patients == dose.patients
    mixed, _ = journey().prepare(patients.take(order), seed=seed)
    back = np.argsort(mixed.patients.ids)
    assert mixed.patients.take(back) == dose.patients
    changed = patients.with_columns({"cd3_per_uL": np.where(patients.ids == 3, 20.0, patients["cd3_per_uL"])})
    other, _ = journey().prepare(changed, seed=seed)
    keep, same = dose.patients.ids != 3, other.patients.ids != 3
    assert other.patients.take(same) == dose.patients.take(keep)
    assert np.array_equal(ready.patients.ids, dose.patients.ids)


def test_no_stage_is_without_these_properties():
    """A new stage must be added to the chain of these tests."""
    tested = {type(stage) for stage in chain(cohort(1))} | {type(condition(cohort(1)))}
    assert set(Stage.__subclasses__()) == tested


def test_twice_the_collected_cells_from_twice_the_count():
    assert collect(cohort(cd3=1600), seed=4).t_cells == pytest.approx(2 * collect(cohort(cd3=800), seed=4).t_cells)


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: collect(Patients([1])), "'cd3_per_uL'"),
        (lambda: collect(Patients([7], {"cd3_per_uL": [-1]}, UNITS | {})), "unknown column"),
        (lambda: collect(Patients([7], {"cd3_per_uL": [-1]}, {"cd3_per_uL": "1/uL"})), "-1 1/uL for patient 7"),
        (lambda: collect(Patients([7], {"cd3_per_uL": [1]}, {"cd3_per_uL": "1/L"})), "in 1/uL, got 1/L"),
        (lambda: chain(cohort(1, weight=0.0)), "above 0 kg, got 0 for patient 1"),
        (lambda: CollectionPlan(volume=fixed(0, "L")), "volume: must be above 0 L"),
        (lambda: CollectionPlan(volume=fixed(5, "mL")), "volume: the unit must be 'L'"),
        (lambda: CollectionPlan(efficiency=LogNormal(median=0.5, log_sd=1, unit="fraction")), "at most 1"),
        (lambda: ReleasePlan(least_viabilty=fixed(0.8, "fraction")), "did you mean 'least_viability'"),
        (lambda: MultiplicationPlan(growth_rate=fixed(-1.2, "1/day")), "growth_rate: must be at least 0"),
        (lambda: ConditioningPlan(host_t_cells=3e9), "table with value, unit and source"),
        (lambda: Journey(), "infusion: this key is missing"),
        (
            lambda: (
                Attrition.none()
                .leave(np.array([1], np.uint64), "x", ["y"], 0)
                .leave(np.array([1], np.uint64), "x", ["y"], 0)
            ),
            "left the therapy before",
        ),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_journey_from_toml(tmp_path):
    path = tmp_path / "journey.toml"
    path.write_text('[infusion]\nmodel = "kimmel2021"\n[waiting]\nhazard = { value = 0.01, unit = "1/day" }\n')
    assert Journey.from_toml(path).waiting.hazard.support == (0.01, 0.01)
    path.write_text('[infusion]\nmodel = "kimmel2021"\n[wating]\n')
    with pytest.raises(InputError, match=r"journey.toml: unknown key 'wating'; did you mean 'waiting'"):
        Journey.from_toml(path)
    path.write_text('[infusion]\nmodel = 3\n[collection]\nvolume = { value = "a", unit = "L" }\n')
    with pytest.raises(InputError, match=r"collection.volume.value: .*got 'a'.*infusion.model"):
        Journey.from_toml(path)
    for content in (b"\xff", b"[infusion", b"a = 1\na = 2", b"x" * 3_000_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"journey.toml"):
            Journey.from_toml(path)
    with pytest.raises(InputError, match="cannot be read"):
        Journey.from_toml(tmp_path / "absent.toml")


def test_every_default_says_where_it_comes_from():
    numbers = dict(stated_values(journey()))
    assert len(numbers) > 20
    for place, stated in numbers.items():
        if stated.source:
            assert cite(stated.source).key == stated.source, place
        else:
            assert stated.mark in ("assumed", "recalled"), place
