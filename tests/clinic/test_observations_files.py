"""Charts as they come out of spreadsheets and databases: what stands in the file is read, or reported with its row."""

import json

import numpy as np
import pandas as pd
import pytest

from livingdrug.clinic.grading import grade
from livingdrug.clinic.observations import observe
from livingdrug.clinic.observations_fhir import read_bundle
from livingdrug.clinic.observations_files import read_observations
from livingdrug.errors import InputError

HEAD = "patient,time,item,value,unit\n"


def read(tmp_path, text, **options):
    file = tmp_path / "chart.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_observations(file, **options)


def told(chart):
    return dict(zip(chart.findings["row"], chart.findings["problem"], strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEAD + "P1,1.5,temperature,38.6,degC\n",  # a mark of the byte order
        (HEAD + "P1,1.5,temperature,38.6,degC").replace("\n", "\r\n"),
        "patient;time;item;value;unit\nP1;1,5;temperature;38,6;degC\n",  # decimal commas, as in Zurich or Paris
        "patient;time;item;value;unit\nP1;1,5;temperature;38.6;degC\nP1;1,5;temperature;38,6;degC\n",
        "patient\ttime\titem\tvalue\tunit\nP1\t1.5\ttemperature\t38.6\tdegC\n",
        "Patient,Time,Item,Value,Unit\nP1,1.5,temperature,38.6,degC\n",
        "patient, time, item, value, unit\nP1, 1.5, temperature, 38.6, degC\n",
        "unit,note,value,item,time,patient\ndegC,x,38.6,temperature,1.5,P1\n",
        HEAD + "\nP1,1.5,temperature,38.6,degC\n\n",
        '"patient","time","item","value","unit"\n"P1","1.5","temperature","38.6","degC"\n',
    ],
)
def test_the_same_chart_in_many_spellings(tmp_path, text):
    chart = read(tmp_path, text)
    assert chart.table[["patient", "time", "item", "value"]].astype(object).to_numpy().tolist() == [
        ["P1", 1.5, "temperature", 38.6]
    ]


def test_rows_of_wrong_length_do_not_move_their_neighbours(tmp_path):
    """An unquoted decimal comma makes six fields: that row is reported, the others keep their columns and numbers."""
    chart = read(tmp_path, HEAD + "P1,1,temperature,38,6,degC\nP1,2,temperature\nP1,3,temperature,39,degC\n")
    assert chart.table[["patient", "time", "value", "row"]].to_numpy().tolist() == [["P1", 3.0, 39.0, 3]]
    assert told(chart) == {1: "6 fields under a heading of 5", 2: "no unit; allowed: degC, degF, K"}
    assert chart.findings[["patient", "item", "value"]].to_numpy().tolist()[0] == ["P1", "temperature", "38"]
    with pytest.raises(InputError, match="6 fields"):
        read(tmp_path, HEAD + "P1,1,temperature,38,6,degC\n", strict=True)


def test_a_column_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="'value' stands 2 times"):
        read(tmp_path, "patient,time,item,value,value,unit\nP1,1,temperature,39,38,degC\n")


def test_names_of_patients_stay_as_they_are(tmp_path):
    """Leading zeros, more digits than a number holds, other alphabets."""
    names = ["007", "7", "9" * 40, "Zoë 😀", "П1"]
    chart = read(tmp_path, HEAD + "".join(f"{name},1,temperature,39,degC\n" for name in names))
    assert chart.table["patient"].tolist() == names
    assert set(grade(chart, "astct-crs").by_time()["patient"]) == set(names)


def test_every_row_is_graded_or_reported(tmp_path):
    lines = [
        ",1,temperature,39,degC", "P1,,temperature,39,degC", "P1,nan,temperature,39,degC", "P1,1,temperature,,degC",
        "P1,1,temperature,NaN,degC", "P1,1,temperature,1e400,degC", "P1,1e9,temperature,39,degC",
        "P1,1,temprature,39,degC", "P1,1,,39,degC", "P1,1,temperature,39,foo", "P1,1,temperature,0x27,degC",
        "P1,1,temperature,３９,degC", 'P1,1,temperature,"38,6",degC', "P1,2026-01-31 08:00,temperature,39,degC",
        "P1,1,temperature,39,degC", "P1,1,temperature,102.2,degF", "P1,1,temperature,38,degC",
    ]  # fmt: skip
    chart = read(tmp_path, HEAD + "\n".join(lines))
    assert set(chart.table["row"]) | set(chart.findings["row"]) == set(range(1, len(lines) + 1))
    assert sorted(chart.table["row"]) == [15, 17]
    last = chart.findings[chart.findings["row"] >= 15]
    two = "two values at one time"
    assert last["problem"].tolist() == [two, two, "the same value twice at one time", two]
    assert chart.findings["problem"].map(type).eq(str).all()


def test_zones_may_be_mixed(tmp_path):
    """Midnight in Berlin, New York and Greenwich on the day after an infusion at midnight in Greenwich."""
    rows = [f"P1,2026-01-02T00:00:00{zone},temperature,39,degC" for zone in ("+01:00", "-05:00", "Z")]
    chart = read(tmp_path, HEAD + "P1,2026-01-01T00:00:00Z,infusion,1,\n" + "\n".join(rows) + "\nP1,2,crp,9,mg/L")
    assert chart.table["time"].tolist() == pytest.approx([23 / 24, 29 / 24, 1.0, 2.0])


@pytest.mark.parametrize(
    ("times", "expected", "problem"),
    [
        (pd.to_datetime(["2026-01-02T00:00Z", "2026-01-03T12:00Z"]), [1.0, 2.5], ""),
        (pd.to_datetime(["2026-01-02", "2026-01-03"]), [], "neither a number of days nor a date with time and zone"),
        (pd.to_timedelta([1, 2.5], "D"), [1.0, 2.5], ""),
        ([True, False], [], "neither a number"),
        ([10**400, 2.0], [2.0], "neither a number"),
        (pd.array([None, 2.0], dtype="Float64"), [2.0], "not possible"),
        (pd.Categorical([None, "2"]), [2.0], "neither a number"),
    ],
)
def test_times_in_columns_of_any_kind(tmp_path, times, expected, problem):
    table = pd.DataFrame({"patient": "P", "time": times, "item": "temperature", "value": 39.0, "unit": "degC"})
    chart = observe(table, infusion="2026-01-01T00:00:00Z")
    assert chart.table["time"].tolist() == expected
    assert len(chart.findings) == 2 - len(expected)
    assert all(problem in text for text in chart.findings["problem"])


@pytest.mark.parametrize("value", [10**400, [1], None, "x"])
def test_values_of_any_kind(value):
    chart = observe([("P", 1.0, "temperature", value, "degC"), ("P", 2.0, "temperature", 39.0, "degC")])
    assert chart.table["row"].tolist() == [2]
    assert "not a number" in chart.findings["problem"][0]


@pytest.mark.parametrize("rows", [5, None, "abc", {"a": 1}, [()], [("P",)], [("P", 1.0, "temperature", 39, "degC", 1)]])
def test_what_is_no_table_is_refused(rows):
    with pytest.raises(InputError, match=r"of a chart is|a chart is a table"):
        observe(rows)


def test_a_parquet_file_with_times_of_a_database(tmp_path):
    table = pd.DataFrame(
        {"patient": [1, 1], "time": pd.to_datetime(["2026-01-02T00:00Z", "2026-01-03T00:00Z"]), "item": "temperature",
         "value": [39.0, 37.0], "unit": "degC"}
    )  # fmt: skip
    table.to_parquet(tmp_path / "chart.parquet")
    chart = read_observations(tmp_path / "chart.parquet", infusion="2026-01-01T00:00:00+00:00")
    assert chart.table["time"].tolist() == [1.0, 2.0]


def test_text_and_numbers_give_the_same_grades(tmp_path):
    """The way of a file, where text that is repeated is read once, against the way of a table of numbers."""
    random = np.random.default_rng(4)
    count = 3000
    items = random.choice(["temperature", "systolic_pressure", "vasopressors", "ice_score", "oxygen_flow"], count)
    units = {"temperature": "degC", "systolic_pressure": "mmHg", "oxygen_flow": "L/min"}
    table = pd.DataFrame({
        "patient": random.integers(0, 40, count).astype(str), "time": np.round(random.uniform(-2, 30, count), 1),
        "item": items, "value": np.round(random.uniform(-1, 130, count), 1),
        "unit": [units.get(item, "") for item in items],
    })  # fmt: skip
    one, other = observe(table), read(tmp_path, table.to_csv(index=False))
    assert one.findings[["row", "done"]].equals(other.findings[["row", "done"]])
    assert np.array_equal(one.table["value"], other.table["value"])
    pd.testing.assert_frame_equal(grade(one, "astct").by_time(), grade(other, "astct").by_time())


def test_many_vasopressors_in_one_bundle():
    """Each begin and end counts those of its own patient."""

    def given(patient, drug, start, end):
        return {"resource": {
            "resourceType": "MedicationAdministration", "status": "completed", "subject": {"reference": patient},
            "medicationCodeableConcept": {"text": drug},
            "effectivePeriod": {"start": f"2026-01-02T{start:02}:00:00Z", "end": f"2026-01-02T{end:02}:00:00Z"},
        }}  # fmt: skip

    entries = [given(f"P{k}", "norepinephrine", 1, 9) for k in range(300)]
    entries.append(given("P7", "phenylephrine", 3, 5))
    bundle = json.dumps({"resourceType": "Bundle", "entry": entries})
    chart = read_bundle(bundle, infusion="2026-01-01T00:00:00Z")
    counts = chart.table[chart.table["item"] == "vasopressors"].groupby("patient")["value"].agg(["size", "max"])
    assert counts.loc["P7"].tolist() == [4, 2]
    assert counts.drop("P7").drop_duplicates().to_numpy().tolist() == [[2, 1]]
