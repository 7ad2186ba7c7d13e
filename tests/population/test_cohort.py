import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.population import Population, read_values
from livingdrug.therapy.stated import Fixed, LogNormal, Normal


def population() -> Population:
    return Population(
        columns={"weight_kg": LogNormal(median=80, log_sd=0.2, unit="kg"), "age": Normal(mean=60, sd=9, unit="year")}
    )


def test_patients_do_not_depend_on_the_cohort():
    cohort = population().sample(100, seed=4)
    assert population().sample_ids([7], seed=4) == cohort.take(cohort.ids == 7)
    assert population().sample(50, seed=4, first_id=51) == cohort.take(cohort.ids > 50)
    assert population().sample(100, seed=5) != cohort


def test_another_column_leaves_the_others_as_they_are():
    more = population().with_values("sex", Fixed(value=1, unit="1"))
    assert np.array_equal(more.sample(9, seed=1)["weight_kg"], population().sample(9, seed=1)["weight_kg"])
    assert abs(np.corrcoef(*(population().sample(20_000, seed=1)[name] for name in ("weight_kg", "age")))[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Population(columns={}), "at least 1"),
        (lambda: Population(columns={"a b": Fixed(value=1)}), "letters, digits"),
        (lambda: Population(columns={"a": 3}), "columns.a: a number is stated as a table"),
        (lambda: population().sample(-1), "from 0 to"),
        (lambda: population().sample(1.5), "from 0 to"),
        (lambda: population().sample(True), "from 0 to"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()


def read(path):
    return read_values(path, "baseline_tumour_mL", "mL", least=1e-3, most=20_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.24\n9.21\n", (4.24, 9.21)),
        ("baseline_tumour_mL\n4.24\n\n9.21\n", (4.24, 9.21)),
        ("patient_index,metabolic_tumour_volume_mL\n1,4.24\n2,9.21\n", (4.24, 9.21)),
        ("a_mL,baseline_tumour_mL\n1,4.24\n2,9.21\n", (4.24, 9.21)),
        ("\ufeffvolume\r\n4.24\r\n9.21", (4.24, 9.21)),
    ],
)
def test_files_of_values(tmp_path, text, expected):
    path = tmp_path / "volumes.csv"
    path.write_text(text, encoding="utf-8")
    assert read(path).values == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"volume\n", "values are expected, found 0"),
        (b"volume\n4\nx\n", "line 3: baseline_tumour_mL must be a number .* got 'x'"),
        (b"4\nnan\n", "line 2: .*'nan'"),
        (b"4\n-3\n", "line 2: .*'-3'"),
        (b"4\n1e9\n", "line 2: .*'1e9'"),
        (b"4\n1_0\n", "line 2"),
        (b"a,b\n1,2\n", "a column named 'baseline_tumour_mL' is needed among several; the columns are: a, b"),
        (b"1,2\n3,4\n", "the columns are: none"),
        (b"a,v_mL\n1,2\n3\n", "line 3: .*got ''"),
        (b"\xff\xfe", "UTF-8"),
        (b'"4\n5', "not a CSV file"),
        (b"4\x00\n", "."),
        (b"9" * 11_000_000, "larger than"),
        (b"9" * 200_000, "not a CSV file|must be a number"),
    ],
)
def test_hostile_files_are_refused(tmp_path, content, words):
    path = tmp_path / "volumes.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read(path)


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("0123456789.,-e\n\"'_ naif", max_size=40).map(str.encode)))
def test_any_bytes_give_values_or_a_clear_error(tmp_path, content):
    path = tmp_path / "volumes.csv"
    path.write_bytes(content)
    try:
        values = read(path).values
    except InputError:
        return
    assert all(1e-3 <= value <= 20_000 for value in values)
