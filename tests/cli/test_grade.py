"""`livingdrug grade`: what it answers, what it leaves behind, what it refuses."""

import pandas as pd
import pytest

from livingdrug.cli import app
from livingdrug.cli.grade import grade

CHART = """patient,time,item,value,unit
P1,-1,oxygen_device,room_air,
P1,2,temperature,102.2,degF
P1,2,systolic_pressure,84,mmHg
P1,2,vasopressors,0,
P1,2,oxygen_device,nasal_cannula,
P1,2,oxygen_flow,2,L/min
P1,2,spo2,140,%
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    if grade not in app.COMMANDS:
        monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, grade))


@pytest.fixture
def chart(tmp_path):
    path = tmp_path / "observations.csv"
    path.write_text(CHART)
    return path


def test_a_chart_is_graded_and_its_mistakes_are_told(command, chart):
    answer = command("grade", chart, "--scale", "astct")
    assert answer.code == 0, answer.err
    assert "astct-crs" in answer.out
    assert "row 7: spo2 140" in answer.out
    assert "row 1: oxygen_device room_air" in answer.out
    assert "Not for clinical use." in answer.out


def test_json_holds_grades_findings_and_notices(command, chart):
    answer = command("grade", chart, "--scale", "astct-crs", "--json")
    assert answer.err == ""
    (time,) = answer.json["times"]
    assert (time["lowest"], time["highest"], time["mark"]) == (2, 2, "read")
    assert [finding["row"] for finding in answer.json["findings"]] == [1, 7]
    assert "PMC9327779" in answer.json["notices"][0]


def test_tables_are_written_once(command, chart, tmp_path):
    folder = tmp_path / "out"
    assert command("grade", chart, "-o", folder).code == 0
    assert {p.name for p in folder.iterdir()} == {
        "times.csv",
        "days.csv",
        "episodes.csv",
        "findings.csv",
        "notices.txt",
    }
    assert len(pd.read_csv(folder / "findings.csv")) == 2
    again = command("grade", chart, "-o", folder)
    assert (again.code, "--force" in again.err) == (2, True)
    assert command("grade", chart, "-o", folder, "--force").code == 0


def test_tables_hold_what_the_program_returns(command, chart, tmp_path):
    """CSV is written by Arrow: the same rows as in JSON, also where values are words, numbers and marks of text."""
    with chart.open("a") as more:
        more.write('"P, ""2""",1,temperature,"39,5",degC\nP1,3,consciousness,dazed,\n')
    folder = tmp_path / "out"
    assert command("grade", chart, "--scale", "all", "-o", folder).code == 0
    answer = command("grade", chart, "--scale", "all", "--json").json
    for name in ("times", "days", "episodes", "findings"):
        table = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, dtype=str)
        assert len(table) == len(answer[name]) > 0
        for column in table:
            told = ["" if row[column] is None else row[column] for row in answer[name]]
            told = [value if isinstance(value, str) else float(value) for value in told]
            wrote = [float(w) if isinstance(t, float) else w for w, t in zip(table[column], told, strict=True)]
            assert wrote == told, (name, column)


def test_assumptions_are_told(command, chart):
    names = "ice_score,consciousness,seizure,motor_weakness,oedema"
    answer = command("grade", chart, "--scale", "astct-icans", "--assume-absent", names, "--json")
    (time,) = answer.json["times"]
    assert (time["lowest"], time["highest"]) == (0, 0)
    assert "seizure" in time["assumed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scale", "astkt"], "unknown scale 'astkt'; did you mean 'astct'"),
        (["--assume-absent", "seizur"], "did you mean 'seizure'"),
        (["--strict"], "row 7: spo2 140"),
        (["--infusion", "today"], None),
    ],
)
def test_what_cannot_be_is_refused(command, chart, words, message):
    answer = command("grade", chart, *words)
    if message is None:
        assert answer.code == 0  # a chart in days does not need the time of infusion
    else:
        assert answer.code == 2
        assert message in answer.err
        assert "Traceback" not in answer.err


def test_a_missing_chart_is_refused(command, tmp_path):
    answer = command("grade", tmp_path / "none.csv")
    assert answer.code == 2
    assert "cannot be read" in answer.err
