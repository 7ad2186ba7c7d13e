"""Charts: what is read, what is converted, what is wrong and what was done about it."""

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.clinic.grading import grade
from livingdrug.clinic.observations import ITEMS, convert_observation, observe, units_of
from livingdrug.clinic.observations_fhir import read_bundle
from livingdrug.clinic.observations_files import read_observations
from livingdrug.errors import InputError

GOOD = ("P1", 2.0, "temperature", 39.1, "degC")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("P1", 2, "spo2", 140, "%"), "impossible value: 140 %, possible is 30 to 100 percent"),
        (("P1", 2, "temperature", 25, "degC"), "impossible value: 25 degC, possible is 30 to 45"),
        (("P1", 2, "temperature", "39,1", "degC"), "not a number: '39,1'"),
        (("P1", 2, "temperature", float("nan"), "degC"), "not a number: 'nan'"),
        (("P1", 2, "temperature", float("inf"), "degC"), "not a number: 'inf'"),
        (("P1", 2, "temprature", 39, "degC"), "unknown item 'temprature'; did you mean 'temperature'?"),
        (("P1", 2, "temperature", 39, "mmHg"), "unknown unit of temperature 'mmHg'"),
        (("P1", 2, "temperature", 39, ""), "no unit; allowed: degC, degF, K"),
        (("P1", 2, "consciousness", "asleep", ""), "impossible value: 'asleep', possible are alert, voice"),
        (("P1", 2, "consciousness", 7, ""), "impossible value: '7', possible are alert, voice"),
        (("P1", 2, "ice_score", 11, ""), "impossible value: 11, possible is 0 to 10"),
        (("P1", float("nan"), "temperature", 39, "degC"), "the time nan is not possible"),
        (("P1", 1e9, "temperature", 39, "degC"), "the time 1000000000 is not possible"),
        (("", 2, "temperature", 39, "degC"), "no patient"),
    ],
)
def test_what_cannot_be_is_set_aside_and_reported(row, problem):
    chart = observe([GOOD, row])
    assert chart.table["row"].tolist() == [1]
    (found,) = chart.findings.to_dict("records")
    assert (found["row"], found["item"], found["done"]) == (2, row[2], "set aside: not graded")
    assert found["value"] == row[3] or found["value"] != found["value"]  # as it was given; NaN is no number
    assert found["problem"].startswith(problem)
    with pytest.raises(InputError, match=f"row 2: {row[2]}"):
        observe([GOOD, row], strict=True)


def test_two_values_at_one_time_are_kept_and_reported():
    chart = observe([GOOD, ("P1", 2.0, "temperature", 36.5, "degC")])
    assert len(chart.table) == 2
    assert chart.findings["problem"].tolist() == ["two values at one time"] * 2
    with pytest.raises(InputError, match="two values at one time"):
        observe([GOOD, ("P1", 2.0, "temperature", 36.5, "degC")], strict=True)


def test_the_same_value_twice_is_kept_once_and_reported():
    chart = observe([GOOD, ("P1", 2.0, "temperature", 39.1, "degC")], strict=True)
    assert len(chart.table) == 1
    assert chart.findings[["row", "problem", "done"]].values.tolist() == [
        [2, "the same value twice at one time", "kept once"]
    ]


def test_times_before_infusion_are_kept_as_baseline_and_reported():
    chart = observe([GOOD, ("P1", -1, "oxygen_device", "cpap", "")], strict=True)
    assert chart.findings[["row", "item", "value", "problem"]].values.tolist() == [
        [2, "oxygen_device", "cpap", "time before infusion"]
    ]
    assert grade(chart, "astct-crs").scales[0].time.tolist() == [2.0]


def test_nothing_is_dropped_silently():
    """Every row is in the table, or in the findings with what was done."""
    rows = [GOOD, ("P1", 2, "spo2", 140, "%"), ("P2", -3, "crp", 5, "mg/dL"), ("P2", 1, "x", 1, ""), GOOD]
    chart = observe(rows)
    assert set(chart.table["row"]) | set(chart.findings["row"]) == set(range(1, len(rows) + 1))


# SI and IUPAC: degF = 9/5 degC + 32; 1 kPa = 7.50062 mmHg; molar masses creatinine 113.12, bilirubin 584.66 g/mol.
@pytest.mark.parametrize(
    ("name", "value", "unit", "expected"),
    [
        ("temperature", 102.2, "°F", 39.0),
        ("temperature", 102.2, "[degF]", 39.0),
        ("temperature", 312.15, "K", 39.0),
        ("temperature", 39, "Cel", 39.0),
        ("systolic_pressure", 12, "kPa", 90.0074),
        ("spo2", 0.93, "fraction", 93),
        ("systolic_pressure", 90, "mm[Hg]", 90),
        ("crp", 12, "mg/dL", 120),
        ("crp", 120, "ug/mL", 120),
        ("ferritin", 5, "mg/L", 5000),
        ("ferritin", 5000, "ng/mL", 5000),
        ("ferritin", 5000, "µg/L", 5000),
        ("creatinine", 100, "umol/L", 1.131),
        ("bilirubin", 20, "µmol/L", 1.1696),
        ("fibrinogen", 1.5, "g/L", 150),
        ("anc", 0.5, "10*9/L", 500),
        ("anc", 0.5, "10^9/L", 500),
        ("anc", 0.5, "x10^9/L", 500),
        ("anc", 0.5, "K/uL", 500),
        ("anc", 500, "/mm3", 500),
        ("anc", 0.5, "10*3/uL", 500),
        ("platelets", 20000, "/uL", 20),
        ("platelets", 20, "G/L", 20),
        ("haemoglobin", 80, "g/L", 8),
        ("haemoglobin", 5, "mmol/L", 8.057),
        ("il6", 1.5, "ng/mL", 1500),
        ("ast", 1, "ukat/L", 60),
        ("oxygen_flow", 6, "lpm", 6),
        ("weight", 154, "lb", 69.853),
        ("triglycerides", 3, "mmol/L", 265.71),
        ("age", 24, "months", 2),
        ("heart_rate", 80, "bpm", 80),
        ("vasopressor_dose", 1.2, "mg/h", 20),
    ],
)
def test_units_as_wards_write_them(name, value, unit, expected):
    if unit == "months":
        unit = "mo"
    assert convert_observation(value, unit, name) == pytest.approx(expected, rel=2e-4)
    assert observe([("P", 1, name, value, unit)]).table["value"][0] == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("name", ["ice_score", "capd_score", "cartox_score", "vasopressors", "organ_toxicity"])
def test_points_and_drugs_are_counted_in_whole_numbers(name):
    """An ICE score of 6.5 lies between two cells of the table: it is no score, and must not be graded as one."""
    chart = observe([("P", 1, name, 1.5, ""), ("P", 2, name, 2.0, "")])
    assert chart.table["value"].tolist() == [2.0]
    assert "in whole numbers" in chart.findings["problem"][0]


def test_unknown_units_and_items_are_refused_with_names():
    with pytest.raises(InputError, match="unknown unit of crp 'mmol/L'"):
        convert_observation(1, "mmol/L", "crp")
    with pytest.raises(InputError, match="did you mean 'crp'"):
        units_of("crpp")


def test_dates_with_zones_become_days_since_infusion():
    rows = [("P1", "2026-01-01T08:00:00+01:00", "infusion", 1, ""), ("P1", "2026-01-03T08:00:00+02:00", *GOOD[2:])]
    assert observe(rows).table["time"].tolist() == [pytest.approx(2 - 1 / 24)]
    for infusion in ("2026-01-01T07:00:00Z", datetime(2026, 1, 1, 7, tzinfo=UTC), {"P1": "2026-01-01T07:00:00Z"}):
        assert observe(rows[1:], infusion=infusion).table["time"].tolist() == [pytest.approx(2 - 1 / 24)]


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        ("2026-01-03T08:00:00", "neither a number of days nor a date with time and zone"),
        ("2026-01-03", "neither a number of days nor a date with time and zone"),
        ("yesterday", "neither a number of days nor a date with time and zone"),
        ("2026-13-45T08:00:00Z", "cannot be read"),
        ("2026-01-03T08:00:00Z", "time of the infusion is not known"),
    ],
)
def test_times_that_cannot_be_used_are_reported(time, problem):
    chart = observe([("P1", time, *GOOD[2:])])
    assert len(chart) == 0
    assert problem in chart.findings["problem"][0]


def test_an_infusion_without_zone_is_refused():
    with pytest.raises(InputError, match="needs a zone"):
        observe([("P1", "2026-01-03T08:00:00Z", *GOOD[2:])], infusion="2026-01-01T08:00:00")
    with pytest.raises(InputError, match="must be a date"):
        observe([("P1", "2026-01-03T08:00:00Z", *GOOD[2:])], infusion="soon")


def test_csv_and_parquet_give_the_same_chart(tmp_path):
    table = pd.DataFrame(
        [GOOD, ("P1", 2.0, "oxygen_device", "cpap", "")], columns=["patient", "time", "item", "value", "unit"]
    )
    table["value"] = table["value"].astype(str)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    found = [read_observations(tmp_path / name).table for name in ("a.csv", "a.parquet")]
    assert found[0]["value"].tolist() == found[1]["value"].tolist() == [39.1, 7.0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "not a table in CSV"),
        ("a.csv", b"patient,time,item\nP1,1,temperature\n", "'value' is missing"),
        ("a.csv", b"\xff\xfe\x00garbage,\x00\n1,2\n3,4,5,6,7,8", "a.csv"),
        ("a.parquet", b"not parquet", "not a table in Parquet"),
        ("a.txt", b"x", "a chart is a file that ends in"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[1]", "not a FHIR Bundle"),
        ("a.json", b'{"resourceType":"Bundle","entry":NaN}', "NaN is not a number"),
        ("a.json", b"[" * 100_000, "too deeply|not JSON"),
        ("a.json", b'{"resourceType":"Bundle","entry":{}}', "must be a list"),
    ],
)
def test_files_that_are_no_charts_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_observations(tmp_path / name)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_observations(tmp_path / "none.csv")


# --- FHIR -------------------------------------------------------------------------------------------------------------

SUBJECT = {"reference": "Patient/p7"}


def observation(code, value, when="2026-01-03T07:00:00Z", **more):
    coding = (
        {"system": "http://loinc.org", "code": code} if "-" in code else {"system": "urn:livingdrug:item", "code": code}
    )
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [coding]},
        "subject": SUBJECT,
        "effectiveDateTime": when,
        **value,
        **more,
    }


def quantity(value, unit):
    return {"valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}}


def given_r4(name, start, end=None):
    when = {"effectivePeriod": {"start": start, "end": end}} if end else {"effectiveDateTime": start}
    return {
        "resourceType": "MedicationAdministration",
        "status": "completed",
        "subject": SUBJECT,
        "medicationCodeableConcept": {"text": name},
        **when,
    }


def given_r5(name, start):
    return {
        "resourceType": "MedicationAdministration",
        "status": "completed",
        "subject": SUBJECT,
        "medication": {"concept": {"coding": [{"display": name}]}},
        "occurenceDateTime": start,
    }


def bundle(*resources):
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]})


PANEL = observation(
    "85354-9",
    {},
    component=[
        {"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, **quantity(84, "mm[Hg]")},
        {"code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]}, **quantity(50, "mm[Hg]")},
    ],
)


@pytest.mark.parametrize("drug", [given_r4, given_r5], ids=["R4", "R5"])
def test_a_bundle_is_graded_like_any_chart(drug):
    chart = read_bundle(
        bundle(
            drug("tisagenlecleucel", "2026-01-01T07:00:00Z"),
            observation("8310-5", quantity(102.2, "[degF]")),
            PANEL,
            observation(
                "oxygen_device",
                {"valueCodeableConcept": {"coding": [{"system": "urn:livingdrug:item", "code": "mask"}]}},
            ),
            observation("consciousness", {"valueString": "voice"}),
            observation("motor_weakness", {"valueBoolean": False}),
            observation("ice_score", {"valueInteger": 5}),
            drug("Tocilizumab 8 mg/kg", "2026-01-03T08:00:00Z"),
            given_r4("norepinephrine", "2026-01-03T07:00:00Z", "2026-01-03T13:00:00Z"),
            given_r4("vasopressin", "2026-01-03T07:00:00Z", "2026-01-03T10:00:00Z"),
        )
    )
    assert chart.findings.empty
    table = chart.table.set_index(["item", "time"])["value"]
    assert table["temperature", 2.0] == 39.0
    assert table["systolic_pressure", 2.0] == 84
    assert [table["vasopressors", t] for t in (2.0, 2.125, 2.25)] == [1, 1, 0]
    assert [table["vasopressin", t] for t in (2.0, 2.125, 2.25)] == [1, 0, 0]
    at_two = grade(chart, "astct").by_time().query("time == 2.0").set_index("scale")
    assert at_two.loc["astct-crs", ["lowest", "highest"]].tolist() == [3, 3]
    assert at_two.loc["astct-icans", "lowest"] == 2


def test_what_a_bundle_holds_beside_is_reported_by_entry():
    chart = read_bundle(
        bundle(
            observation("8310-5", quantity(39, "Cel"), status="entered-in-error"),
            observation("8310-5", {"dataAbsentReason": {"text": "unknown"}}),
            observation("1-1", quantity(1, "g")),
            observation("2276-4", {"valueQuantity": {"value": 500, "comparator": ">", "code": "ng/mL"}}),
            {"resourceType": "Condition"},
            given_r4("aspirin", "2026-01-03T08:00:00Z"),
            observation("8310-5", quantity("hot", "Cel")),
            {"resourceType": "Observation", "status": "final"},
            7,
        ),
        infusion="2026-01-01T07:00:00Z",
    )
    assert len(chart) == 0
    assert chart.findings["row"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    with pytest.raises(InputError, match="cannot be used"):
        read_bundle(bundle({"resourceType": "Condition"}), strict=True)


def test_what_cannot_be_used_is_reported_with_item_and_value():
    chart = read_bundle(
        bundle(
            observation("8310-5", quantity(44, "Cel"), status="entered-in-error"),
            observation("9999-9", quantity(3, "g")),
            observation("2276-4", {"valueQuantity": {"value": 500, "comparator": ">", "unit": "ng/mL"}}),
        ),
        infusion="2026-01-01T07:00:00Z",
    )
    told = chart.findings[["row", "patient", "item", "value", "unit"]].to_numpy().tolist()
    assert told == [
        [1, "p7", "temperature", "44", "Cel"],
        [2, "p7", "9999-9", "3", "g"],
        [3, "p7", "ferritin", ">500", "ng/mL"],
    ]


def referred(place, **more):
    """An administration that names its drug by reference, in R4 and in R5."""
    base = {"resourceType": "MedicationAdministration", "status": "completed", "subject": SUBJECT}
    r4 = base | {"medicationReference": place, "effectiveDateTime": "2026-01-03T08:00:00Z"}
    r5 = base | {"medication": {"reference": place}, "occurenceDateTime": "2026-01-03T08:00:00Z"}
    return [r4 | more, r5 | more]


TOCILIZUMAB = {"resourceType": "Medication", "id": "m1", "code": {"text": "Tocilizumab 20 mg/mL"}}


@pytest.mark.parametrize("version", [0, 1], ids=["R4", "R5"])
@pytest.mark.parametrize(
    ("place", "inside", "beside"),
    [
        ({"reference": "#m1"}, [TOCILIZUMAB], []),
        ({"reference": "Medication/m1"}, [], [TOCILIZUMAB]),
        ({"reference": "Medication/other", "display": "tocilizumab"}, [], []),
    ],
    ids=["contained", "in the bundle", "by its words"],
)
def test_a_drug_may_be_named_by_reference(version, place, inside, beside):
    """MedicationAdministration.medication[x] may be a Reference(Medication) in R4, a CodeableReference in R5."""
    given_drug = referred(place, contained=inside)[version]
    chart = read_bundle(bundle(given_drug, *beside), infusion="2026-01-01T08:00:00Z")
    assert chart.table[["item", "time", "value"]].to_numpy().tolist() == [["tocilizumab", 2.0, 1.0]]
    assert chart.findings.empty


def test_a_drug_without_a_name_is_reported():
    chart = read_bundle(bundle(referred({"reference": "Medication/none"})[0]), infusion="2026-01-01T08:00:00Z")
    assert len(chart) == 0
    assert "without a name" in chart.findings["problem"][0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "status",
        "code",
        "subject",
        "effectiveDateTime",
        "valueQuantity",
        "component",
        "medication",
        "valueInteger",
        "effectivePeriod",
        "medicationCodeableConcept",
        "medicationReference",
        "contained",
        "occurenceDateTime",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(keys, json_values, max_size=5), st.booleans())
def test_hostile_resources_are_reported_and_never_break(broken, drug):
    base = given_r4("tocilizumab", "2026-01-02T07:00:00Z") if drug else observation("8310-5", quantity(39, "Cel"))
    chart = read_bundle(bundle(base | broken), infusion="2026-01-01T07:00:00Z")
    assert len(chart.table) + len(chart.findings) >= 1


rows = st.tuples(
    st.sampled_from(["P1", "P2", "", None]),
    st.one_of(st.floats(), st.text(max_size=6)),
    st.one_of(st.sampled_from(sorted(ITEMS)), st.text(max_size=6)),
    st.one_of(st.floats(), st.text(max_size=6), st.booleans(), st.none()),
    st.one_of(st.sampled_from(["degC", "mg/L", "", "%"]), st.text(max_size=6)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=8))
def test_whatever_stands_in_a_chart_is_used_or_reported(given_rows):
    chart = observe(given_rows)
    assert set(chart.table["row"]) | set(chart.findings["row"]) == set(range(1, len(given_rows) + 1))
    assert np.isfinite(chart.table["value"].to_numpy(float)).all()
    grade(chart, "all").by_time()


PARTS = {"ice_orientation": 4, "ice_naming": 3, "ice_command": 1, "ice_writing": 1, "ice_attention": 1}


def test_parts_of_an_ice_score_add_up_to_it():
    """ASTCT 2019, the ICE tool: orientation 4, naming 3, command, writing and attention 1 each; 10 in all."""
    assert sum(PARTS.values()) == 10 == ITEMS["ice_score"].most
    assert {name: ITEMS[name].most for name in PARTS} == PARTS
    rows = [("A", 2.0, name, points, "") for name, points in PARTS.items()]
    rows += [("B", 2.0, name, 0 if name == "ice_writing" else points, "") for name, points in PARTS.items()]
    chart = observe(rows)
    assert not len(chart.findings)
    score = chart.table[chart.table["item"] == "ice_score"]
    assert dict(zip(score["patient"], score["value"], strict=True)) == {"A": 10, "B": 9}


def test_parts_that_were_not_asked_leave_the_score_open():
    rows = [("A", 2.0, name, points, "") for name, points in PARTS.items() if name != "ice_orientation"]
    chart = observe(rows)
    assert sorted(chart.table.loc[chart.table["item"] == "ice_score", "value"]) == [6, 10]
    assert chart.findings["problem"].tolist() == ["parts of the ICE score were not asked"]
    graded = grade(
        chart, "astct-icans", assume_absent=["consciousness", "seizure", "motor_weakness", "oedema"]
    ).by_time()
    assert graded[["lowest", "highest"]].to_numpy().tolist() == [[0, 2]]


def test_a_charted_score_that_its_parts_contradict_is_reported():
    rows = [("A", 2.0, name, points, "") for name, points in PARTS.items()] + [("A", 2.0, "ice_score", 6, "")]
    found = observe(rows)
    assert found.findings["problem"].tolist() == ["the parts add up to another ICE score than is charted"]
    assert sorted(found.table.loc[found.table["item"] == "ice_score", "value"]) == [6, 10]
    agrees = observe([*rows[:-1], ("A", 2.0, "ice_score", 10, "")])
    assert (agrees.table["item"] == "ice_score").sum() == 1
