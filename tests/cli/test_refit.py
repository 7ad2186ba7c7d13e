"""`livingdrug refit`: what it leaves behind, what it refuses, and that a journey takes its numbers."""

import tomllib

import pandas as pd
import pytest

from livingdrug.cli import app
from livingdrug.cli.refit import refit
from livingdrug.plant.refit import with_site
from livingdrug.therapy import Journey

SITE = """batch,car_positive_percent,seeded_cells,harvested_cells,culture_days,viability_percent,failed,failure_reason
A,31,2e8,4e9,8,91,0,
B,36,2.5e8,6e9,8,93,0,
C,29,2e8,3e9,9,88,0,
D,34,2e8,5e9,8,92,1,other
E,30,2e8,4.5e9,8,90,0,
"""
FILES = {"priors.toml", "table.csv", "failures.csv", "preview.csv", "figure.svg"}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    if refit not in app.COMMANDS:
        monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, refit))


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "clinic.csv"
    path.write_text(SITE)
    return path


def test_numbers_tables_and_figure_are_left(command, site, tmp_path):
    answer = command("refit", "making", site, "-o", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert "Not for clinical use." in answer.out
    assert "1 of 5" in answer.out
    table = pd.read_csv(tmp_path / "run" / "table.csv").set_index("quantity")
    assert table.loc["copies_per_cell", "batches"] == 5
    assert table.loc["efficiency", "batches"] == 0
    assert (tmp_path / "run" / "figure.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_journey_takes_the_numbers(command, site, tmp_path):
    assert command("refit", "making", site, "-o", tmp_path / "run", "--site", "Clinic A", "--json").code == 0
    path = tmp_path / "run" / "priors.toml"
    journey = with_site(Journey(infusion={"model": "kimmel2021"}), path)
    assert journey.engineering.copies_per_cell.mark == "computed"
    assert "Clinic A: 5 batches" in journey.engineering.copies_per_cell.note
    assert Journey(**tomllib.loads(path.read_text(encoding="utf-8")), infusion={"model": "kimmel2021"}) == journey


def test_json_says_the_same_and_nothing_else(command, site, tmp_path):
    answer = command("refit", "making", site, "-o", tmp_path / "run", "--json", "--device", "g-rex")
    assert answer.err == ""
    assert answer.json["batches"] == 5
    assert answer.json["device"] == "g-rex"
    found = {row["quantity"]: row for row in answer.json["quantities"]}["copies_per_cell"]
    assert found["low"] < 0.39 < found["high"]  # -ln(1 - 0.32)
    before, after = answer.json["preview"]
    assert before["car_positive"] > 0.5 > after["car_positive"]


def test_the_seed_belongs_to_the_preview(command, site, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert command("refit", "making", site, "-o", tmp_path / name, "--seed", seed).code == 0

    def content(name, file):
        return (tmp_path / name / file).read_bytes()

    assert all(content("a", file) == content("b", file) for file in FILES)
    assert content("a", "preview.csv") != content("c", "preview.csv")
    assert content("a", "priors.toml") == content("c", "priors.toml")


def test_finished_work_is_not_written_over_unasked(command, site, tmp_path):
    words = ("refit", "making", site, "-o", tmp_path / "run")
    assert command(*words).code == 0
    assert "--force" in command(*words).err
    assert command(*words, "--force").code == 0


@pytest.mark.parametrize(
    ("what", "text", "more", "told"),
    [
        ("makin", SITE, (), "did you mean 'making'"),
        (
            "making",
            SITE.replace("91", "120"),
            (),
            "line 2, batch 'A': viability_percent must be a number from 0 to 100",
        ),
        ("making", SITE, ("--device", "bucket"), "unknown device 'bucket'"),
        ("making", "", (), "the file is empty"),
    ],
)
def test_wrong_words_and_files_are_refused(command, tmp_path, what, text, more, told):
    path = tmp_path / "clinic.csv"
    path.write_text(text)
    answer = command("refit", what, path, "-o", tmp_path / "run", *more)
    assert answer.code == 2
    assert told in answer.err
    assert not (tmp_path / "run").exists()


def test_bad_rows_can_be_left_out(command, tmp_path):
    path = tmp_path / "clinic.csv"
    path.write_text(SITE.replace("91", "120"))
    answer = command("refit", "making", path, "-o", tmp_path / "run", "--leave-out-bad-rows")
    assert answer.code == 0
    assert "left out: line 2, batch 'A'" in answer.out


def test_hostile_names_do_no_harm(command, site, tmp_path):
    name = '"]\n[release]\nleast_viability = 0 # <script>'
    assert command("refit", "making", site, "-o", tmp_path / "run", "--site", name).code == 0
    assert "release" not in tomllib.loads((tmp_path / "run" / "priors.toml").read_text(encoding="utf-8"))
    assert "<script" not in (tmp_path / "run" / "figure.svg").read_text(encoding="utf-8")


def test_a_heading_without_rows_gives_the_prior_back(command, tmp_path):
    path = tmp_path / "clinic.csv"
    path.write_text("batch,culture_days\n")
    answer = command("refit", "making", path, "-o", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    assert tomllib.loads((tmp_path / "run" / "priors.toml").read_text(encoding="utf-8")) == {}
    before, after = answer.json["preview"]
    assert {**before, "numbers": ""} == {**after, "numbers": ""}
