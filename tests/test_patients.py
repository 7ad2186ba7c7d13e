import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.patients import Patients


def cohort() -> Patients:
    return Patients(
        [5, 3, 9], {"weight_kg": [60, 70, 80], "cure_day": [1, np.nan, 3]}, {"weight_kg": "kg"}, frozenset({"cure_day"})
    )


def test_columns_are_read_only_and_carry_units():
    patients = cohort()
    assert patients.units == {"weight_kg": "kg", "cure_day": "1"}
    with pytest.raises(ValueError, match="read-only"):
        patients["weight_kg"][0] = 1
    values = np.array([1.0, 2.0, 3.0])
    copied = patients.with_columns({"a": values})
    values[0] = 99
    assert copied["a"][0] == 1
    assert "a" not in patients


def test_take_by_mask_and_by_rows():
    patients = cohort()
    assert patients.take([True, False, True]).ids.tolist() == [5, 9]
    assert patients.take([2, 0])["weight_kg"].tolist() == [80, 60]
    assert len(patients.take([])) == 0
    assert patients.take([0, 1, 2]) == patients
    assert patients.take([1, 0, 2]) != patients
    assert patients.to_frame().columns.tolist() == ["patient", "weight_kg", "cure_day"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cohort()["wieght_kg"], "did you mean 'weight_kg'"),
        (lambda: cohort().take([True]), "1 entries"),
        (lambda: cohort().take([7]), "between 0 and 2"),
        (lambda: Patients([1, 1]), "1 stands there twice"),
        (lambda: Patients([-1]), "whole numbers"),
        (lambda: Patients([1.5]), "whole numbers"),
        (lambda: Patients([4], {"x": [np.nan]}), "nan for patient 4"),
        (lambda: Patients([4], {"x": ["a"]}), "must hold numbers"),
        (lambda: Patients([4], {"x": [1, 2]}), "one number for each of 1"),
        (lambda: Patients([4], {"x": [1]}, {"y": "kg"}), "unknown column"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=8))
def test_ids_survive(ids):
    patients = Patients(np.array(ids, np.uint64), {"x": np.arange(len(ids))})
    assert patients.ids.tolist() == ids
    assert patients.take(np.arange(len(ids))[::-1])["x"].tolist() == list(range(len(ids)))[::-1]
