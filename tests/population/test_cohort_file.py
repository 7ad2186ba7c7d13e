"""A cohort from a CSV file: what is read, and how hostile files are refused."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.population.cohort_file import COLUMNS, read_cohort

GOOD = "patient,cd3_per_uL,weight_kg,haematocrit_fraction\n7,800,70,0.4\n9,500.5,82,0.35\n"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "cohort.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_columns_become_those_of_the_stages(file):
    people, left = read_cohort(file(GOOD))
    assert people.ids.tolist() == [7, 9]
    assert people["haematocrit"].tolist() == [0.4, 0.35]
    assert dict(people.units) == {"cd3_per_uL": "1/uL", "weight_kg": "kg", "haematocrit": "fraction"}
    assert len(left) == 0
    assert read_cohort(file("weight_kg,cd3_per_uL\n70,900\n"))[0].ids.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found 0 rows"),
        ("weight_kg\n", "found 1 rows"),
        ("cd3_per_uL\n800\n", "line 1: the column 'weight_kg' is missing"),
        ("weight_kg,cd3_per_ul\n70,1\n", "line 1: unknown column 'cd3_per_ul'; did you mean 'cd3_per_uL'"),
        ("weight_kg,weight_kg\n70,70\n", "line 1: the column 'weight_kg' stands there twice"),
        (GOOD + "1,800,-3,0.4\n", "line 4: weight_kg must be a number from 1 to 500 kg, got '-3'"),
        (
            GOOD + "1,800,70,1.2\n",
            "line 4: haematocrit_fraction must be a number from 0.05 to 0.75 fraction, got '1.2'",
        ),
        (GOOD + "1,nan,70,0.4\n", "line 4: cd3_per_uL must be a number from 0 to 100000 1/uL, got 'nan'"),
        (GOOD + "1,,70,0.4\n", "line 4: cd3_per_uL must be a number from 0 to 100000 1/uL, got ''"),
        (GOOD + "1,8_0,70,0.4\n", "line 4: cd3_per_uL .* got '8_0'"),
        (GOOD + "1,800,70\n", "line 4: 4 cells are expected, got 3"),
        (GOOD + "7,800,70,0.4\n", "line 4: patient 7 stands there twice, first in line 2"),
        (GOOD + "-1,800,70,0.4\n", "line 4: patient must be a whole number"),
        (GOOD + "=cmd(),800,70,0.4\n", "line 4: patient must be a whole number"),
        (b"weight_kg\n\xff\n", "not a text in UTF-8"),
    ],
)
def test_a_hostile_file_is_refused_with_line_column_value_and_range(file, text, told):
    with pytest.raises(InputError, match=told):
        read_cohort(file(text))


def test_bad_rows_can_be_set_aside_but_not_bad_identifiers(file):
    people, left = read_cohort(file(GOOD + "11,800,-3,0.4\n"), "mark")
    assert people.ids.tolist() == [7, 9]
    assert left.ids.tolist() == [11]
    assert left.stages == ("cohort file",)
    assert left.reasons == ("bad input: line 4: weight_kg must be a number from 1 to 500 kg, got '-3'",)
    with pytest.raises(InputError, match="stands there twice"):
        read_cohort(file(GOOD + "7,800,70,0.4\n"), "mark")
    with pytest.raises(InputError, match="unknown way with bad rows"):
        read_cohort(file(GOOD), "skip")  # type: ignore[arg-type]


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_cohort(tmp_path / "none.csv")


WORDS = st.one_of(st.sampled_from([*COLUMNS, "patient", "1", "70"]), st.text(max_size=8))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.one_of(st.sampled_from([*COLUMNS, "patient", "1", "70"]), st.text(max_size=8)), max_size=4))
)
def test_any_file_is_read_or_refused(tmp_path, rows):
    path = tmp_path / "any.csv"
    path.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8", errors="replace")
    with contextlib.suppress(InputError):
        people, left = read_cohort(path, "mark")
        assert len(people) + len(left) >= 1


def test_phenotypes_that_do_not_add_up_are_a_bad_row(file):
    names = "blood_naive_fraction,blood_central_memory_fraction,blood_effector_memory_fraction,blood_effector_fraction"
    path = file(f"cd3_per_uL,weight_kg,{names}\n800,70,0.9,0.3,0.1,0.1\n800,70,0.1,0.2,0.3,0.4\n")
    with pytest.raises(InputError, match=r"line 2: .*must add up to 1, got 1.4"):
        read_cohort(path)
    people, left = read_cohort(path, "mark")
    assert people.ids.tolist() == [2]
    assert left.ids.tolist() == [1]


def test_a_file_of_bad_rows_only_is_refused_with_the_first_reason(file):
    with pytest.raises(InputError, match=r"none of the 2 rows can be used: .*line 2: weight_kg"):
        read_cohort(file("cd3_per_uL,weight_kg\n800,0\n800,-1\n"), "mark")
