"""What is wrong in a data set is told all at once, with row, column and value."""

from __future__ import annotations

import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.inference.data import EventData
from livingdrug.inference.data_building import check_table, examine
from livingdrug.inference.data_columns import MEANINGS


def table(text):
    lines = [line.split() for line in text.strip().splitlines()]
    return pd.DataFrame(lines[1:], columns=lines[0])


def found(text, **options):
    """Return (row, column, value, first words) of every finding."""
    records = check_table(table(text), **options).table.to_dict("records")
    return [(one["row"], one["column"], one["value"], one["problem"], one["kind"]) for one in records]


E, W = "error", "warning"
CASES = {
    "time backwards": ("ID TIME DV\n1 2 3\n1 1 3", (2, "TIME", "1", "time runs back", E)),
    "dose after last sample": ("ID TIME AMT DV\n1 1 . 3\n1 9 5 .", (2, "TIME", "9", "the subject's first dose", E)),
    "no logarithm": ("ID TIME DV\n1 1 0", (1, "DV", "0", "not above zero", E)),
    "CENS without limit": ("ID TIME DV CENS\n1 1 . 1", (1, "CENS", "1", "censored without a limit", E)),
    "CENS unknown": ("ID TIME DV CENS\n1 1 4 3", (1, "CENS", "3", "must be 1", E)),
    "BLQ unknown": ("ID TIME DV BLQ\n1 1 4 -1", (1, "BLQ", "-1", "must be 1", E)),
    "BLQ without LLOQ": ("ID TIME DV BLQ\n1 1 . 1", (1, "BLQ", "1", "censored without a limit", E)),
    "spellings contradict": ("ID TIME DV CENS BLQ\n1 1 4 1 0", (1, "BLQ", "0", "contradicts CENS", E)),
    "interval upside down": ("ID TIME DV CENS LIMIT\n1 1 4 1 5", (1, "LIMIT", "5", "the lower end", E)),
    "interval upside down, right": ("ID TIME DV CENS LIMIT\n1 1 4 -1 3", (1, "LIMIT", "3", "the upper end", E)),
    "censored above LLOQ": ("ID TIME DV CENS LLOQ\n1 1 4 1 2", (1, "DV", "4", "a value below the limit", E)),
    "zero as limit": ("ID TIME DV CENS\n1 1 0 1", (1, "DV", "0", "the value of a censored row", W)),
    "unmarked below": ("ID TIME DV CENS LLOQ\n1 1 1 0 2", (1, "DV", "1", "below its LLOQ", W)),
    "covariate missing": ("ID TIME DV WT\n1 1 2 .", (1, "WT", "", "the covariate is missing", E)),
    "covariate gap": ("ID TIME DV WT\n1 1 2 .\n1 2 2 70", (1, "WT", "", "missing in some rows", W)),
    "covariate code": ("ID TIME DV WT\n1 1 2 -99", (1, "WT", "-99", "looks like a code", W)),
    "covariate no number": ("ID TIME DV WT\n1 1 2 70\n1 2 2 71\n1 3 2 7o", (3, "WT", "7o", "not a number", E)),
    "ADDL without II": ("ID TIME AMT DV ADDL\n1 0 5 . 3\n1 1 . 2 .", (1, "ADDL", "3", "further doses without time", E)),
    "ADDL broken": ("ID TIME AMT DV ADDL II\n1 0 5 . 1.5 1\n1 1 . 2 . .", (1, "ADDL", "1.5", "must be a whole", E)),
    "negative rate": ("ID TIME AMT DV RATE\n1 0 5 . -3\n1 1 . 2 .", (1, "RATE", "-3", "a negative rate", E)),
    "rate and duration": ("ID TIME AMT DV RATE DUR\n1 0 5 . 3 1\n1 1 . 2 . .", (1, "DUR", "1", "rate and duration", E)),
    "negative amount": ("ID TIME AMT DV\n1 0 -5 .\n1 1 . 2", (1, "AMT", "-5", "a negative amount", E)),
    "II in vain": ("ID TIME AMT DV II\n1 0 5 . 7\n1 1 . 2 .", (1, "II", "7", "time between doses", W)),
    "SS without II": ("ID TIME AMT DV SS\n1 0 5 . 1\n1 1 . 2 .", (1, "SS", "1", "steady state without", E)),
    "SS unknown": ("ID TIME AMT DV SS II\n1 0 5 . 3 1\n1 1 . 2 . .", (1, "SS", "3", "must be 0, 1 or 2", E)),
    "EVID unknown": ("ID TIME AMT DV EVID\n1 0 5 . 7\n1 1 . 2 0", (1, "EVID", "7", "must be 0", E)),
    "dose without amount": ("ID TIME AMT DV EVID\n1 0 . . 1\n1 1 . 2 0", (1, "AMT", "0", "a dose without", E)),
    "sample with amount": ("ID TIME AMT DV EVID\n1 0 5 3 0", (1, "AMT", "5", "an observation (EVID 0)", E)),
    "reset with amount": ("ID TIME AMT DV EVID\n1 0 5 . 3\n1 1 . 2 0", (1, "AMT", "5", "only EVID 1 and 4", E)),
    "MDV unknown": ("ID TIME DV MDV\n1 0 5 2", (1, "MDV", "2", "must be 0", E)),
    "MDV on a dose": ("ID TIME AMT DV MDV\n1 0 5 . 0\n1 1 . 2 0", (1, "MDV", "0", "a dose or event", W)),
    "no value": ("ID TIME DV\n1 0 .\n1 1 3", (1, "DV", "", "no measured value", E)),
    "no time": ("ID TIME DV\n1 . 4\n1 1 3", (1, "TIME", "", "no time", E)),
    "no subject": ("ID TIME DV\n. 0 4", (1, "ID", "", "no subject", E)),
    "subject again": ("ID TIME DV\n1 0 4\n2 0 4\n1 1 4", (3, "ID", "1", "comes again", E)),
    "same time twice": ("ID TIME DV\n1 0 4\n1 0 5", (2, "TIME", "0", "a second value", W)),
    "same dose twice": ("ID TIME AMT DV\n1 0 4 .\n1 0 4 .\n1 1 . 3", (2, "TIME", "0", "a second dose", W)),
    "no endpoint": ("ID TIME DV DVID\n1 0 4 .\n1 1 4 1", (1, "DVID", "", "no endpoint", E)),
    "not a number": ("ID TIME DV\n1 0 high", (1, "DV", "high", "not a number", E)),
    "decimal comma": ("ID TIME DV\n1 0 3,5", (1, "DV", "3,5", "not a number: write a", E)),
    "formula": ("ID TIME DV\n1 0 =A1", (1, "DV", "=A1", "a formula", E)),
    "clock": ("ID TIME DV\n1 08:30 4", (1, "TIME", "08:30", "a clock time", E)),
    "less than": ("ID TIME DV\n1 0 <50", (1, "DV", "<50", "not a number: write the limit in DV", E)),
    "words for below": ("ID TIME DV\n1 0 BLQ", (1, "DV", "BLQ", "not a number: write CENS", E)),
    "endless": ("ID TIME DV\n1 0 inf", (1, "DV", "inf", "not a finite number", E)),
    "too large": ("ID TIME DV\n1 0 1e999", (1, "DV", "1e999", "not a finite number", E)),
    "programmer's number": ("ID TIME DV\n1 0 1_000", (1, "DV", "1_000", "not a number", E)),
    "broken occasion": ("ID TIME DV OCC\n1 0 4 1.5", (1, "OCC", "1.5", "must be a whole", E)),
    "occasion too large": ("ID TIME DV OCC\n1 0 4 1e308", (1, "OCC", "1e+308", "must be a whole", E)),
    "no sample": ("ID TIME AMT DV\n1 0 4 .\n2 0 4 .\n2 1 . 3", (1, "", "", "the subject has no measured", W)),
    "no dose": ("ID TIME AMT DV\n1 0 4 .\n1 1 . 3\n2 1 . 3", (3, "", "", "the subject has no dose", W)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_problem_is_found_with_row_column_and_value(name):
    text, (row, column, value, words, kind) = CASES[name]
    options = {"log": True} if name == "no logarithm" else {}
    hits = [one for one in found(text, **options) if one[3].startswith(words)]
    assert [(*one[:3], one[4]) for one in hits] == [(row, column, value, kind)]


@pytest.mark.parametrize("name", CASES)
def test_an_error_refuses_the_data_and_a_warning_is_a_note(name):
    text, (row, *_, words, kind) = CASES[name]
    options = {"log": True} if name == "no logarithm" else {}
    if kind == "error":
        with pytest.raises(InputError, match=f"row {row}"):
            EventData.from_frame(table(text), **options)
    else:
        assert any(note.startswith(words) for note in EventData.from_frame(table(text), **options).notes)


def test_a_clean_table_gives_no_finding():
    text = """ID TIME AMT DV EVID MDV CMT RATE ADDL II SS DVID CENS LIMIT WT
    1 0 100 . 1 1 1 0 1 7 . . . . 70
    1 1 . 12 0 0 . . . . . 1 0 . 70
    1 8 . 5 0 0 . . . . . 1 1 0 70"""
    assert found(text, log=True) == []


def test_all_problems_come_at_once_and_the_message_names_the_first():
    text = "ID TIME DV\n" + "\n".join(f"1 {50 - row} x{row}" for row in range(25))
    findings = check_table(table(text))
    assert len(findings.errors) == 25 + 24  # every value, and every time but the first
    with pytest.raises(InputError, match=r"49 problems:\n  row 1, subject 1, DV = x0: not a number(.|\n)*39 more"):
        EventData.from_frame(table(text))


def test_an_unknown_endpoint_gets_the_nearest_name():
    text = "ID TIME DV DVID\n1 0 4 qpcr\n1 1 4 qpcrr"
    (hit,) = found(text, endpoints=["qpcr", "flow"])
    assert hit[:3] == (2, "DVID", "qpcrr")
    assert "did you mean 'qpcr'" in hit[3]


def test_endpoints_by_compartment_where_there_is_no_dvid():
    data = EventData.from_frame(table("ID TIME AMT DV CMT\n1 0 5 . 1\n1 1 . 2 2\n1 1 . 3 3"))
    assert data.endpoints == ("2", "3")
    one = EventData.from_frame(table("ID TIME AMT DV CMT\n1 0 5 . 1\n1 1 . 2 2"))
    assert one.endpoints == ("DV",)


def test_the_columns_themselves():
    for frame, words in (
        (pd.DataFrame({"ID": [1], "TIME": [0]}), "no column DV"),
        (pd.DataFrame([[1, 0, 2, 3]], columns=["ID", "TIME", "DV", "DV"]), "twice"),
        (pd.DataFrame([[1, 0, 2, 3]], columns=["ID", "TIME", "DV", "dv"]), "both mean DV"),
        (pd.DataFrame({"ID": [], "TIME": [], "DV": []}), "no rows"),
    ):
        with pytest.raises(InputError, match=words):
            check_table(frame)
    frame = pd.DataFrame({"ID": [1], "TIME": [0], "DV": [2]})
    for options, words in (
        ({"columns": {"DOSE": "DV"}}, "meaning of a column"),
        ({"columns": {"DV": "CONC"}}, "column for DV"),
        ({"covariates": ["WT"]}, "covariate in the table"),
        ({"lloq": {"flow": 3}}, "endpoint of lloq"),
        ({"lloq": float("nan")}, "finite number"),
        ({"log": ["flow"]}, "endpoint of log"),
        ({"time_unit": "fortnight"}, "fortnight"),
    ):
        with pytest.raises(InputError, match=words):
            EventData.from_frame(frame, **options)  # pyright: ignore


def test_findings_as_csv_cannot_run_in_a_spreadsheet():
    findings, data = examine(table("ID TIME DV\n=cmd 0 @SUM(A1)"))
    assert data is None
    text = findings.to_csv()
    assert "'=cmd" in text
    assert "'@SUM" in text


def test_values_in_findings_are_short_and_on_one_line():
    frame = pd.DataFrame({"ID": [1], "TIME": [0], "DV": ["x\n" * 1000]})
    (line,) = check_table(frame).lines()
    assert "\n" not in line
    assert len(line) < 120


def test_every_meaning_is_in_the_how_to():
    from pathlib import Path

    page = Path(__file__).parents[2] / "docs" / "how-to" / "fit-data.md"
    text = page.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in MEANINGS)


@pytest.mark.parametrize("column", ["ID", "DVID", "CMT", "SEX"])
def test_no_word_of_ours_runs_in_a_spreadsheet(column):
    frame = pd.DataFrame({"ID": ["A"], "TIME": [0], "DV": [1], "DVID": ["x"], "CMT": ["y"], "SEX": ["F"]})
    frame[column] = "=HYPERLINK(1)"
    (hit,) = check_table(frame).errors.to_dict("records")
    assert hit["column"] == column
    assert "formula" in hit["problem"]


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\nb", "x" * 300])
def test_headings_are_names(name):
    with pytest.raises(InputError, match="heading of column 4") as told:
        check_table(pd.DataFrame({"ID": [1], "TIME": [0], "DV": [1], name: [3]}))
    assert len(str(told.value)) < 200
    assert str(told.value).isprintable()


def test_types_that_parquet_brings():
    frame = pd.DataFrame(
        {"ID": pd.Categorical(["A", "A"]), "TIME": pd.array([0, 1], "Int64"), "DV": pd.array([1.5, None], "Float64"),
         "MDV": pd.array([False, True], "boolean"), "DAY": pd.to_datetime(["2026-01-01", "2026-01-02"])}
    )  # fmt: skip
    assert EventData.from_frame(frame, covariates=()).observations.value.tolist() == [1.5]
    (line,) = check_table(frame.assign(TIME=frame["DAY"]), covariates=()).lines()[:1]
    assert "a clock time or date" in line
