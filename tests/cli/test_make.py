"""`livingdrug make`: what it leaves behind, what it refuses, what hostile names can do."""

import importlib

import pandas as pd
import pytest

from livingdrug.cli import app


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The command stands among the others also before it is entered in their list."""
    make = importlib.import_module("livingdrug.cli.make").make
    if make not in app.COMMANDS:
        monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, make))


@pytest.fixture
def cohort(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("patient,cd3_per_uL,weight_kg\n5,800,70\n6,600,80\n7,400,1000\n")
    return path


def test_a_process_leaves_report_and_tables(command, tmp_path):
    answer = command("make", "two_day", "-n", 60, "-o", tmp_path / "run", "--collected", "2026-01-05")
    assert answer.code == 0, answer.err
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"report.html", "batches.parquet", "batches.csv", "events.csv", "process.json"}
    found = pd.read_parquet(tmp_path / "run" / "batches.parquet")
    assert len(found) == 60
    assert len(pd.read_csv(tmp_path / "run" / "batches.csv")) == 60
    assert "date" in pd.read_csv(tmp_path / "run" / "events.csv")
    assert "Not for clinical use" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Not for clinical use." in answer.out


def test_json_says_the_same_and_nothing_else(command, tmp_path):
    answer = command("make", "-n", 50, "-o", tmp_path / "run", "--json")
    found = answer.json
    assert found["process"] == "standard"
    assert found["infused"] + sum(row["patients"] for row in found["left"]) == 50
    assert found["segments"][-1]["segment"] == "vein to vein"
    assert answer.err == ""


def test_the_same_command_gives_the_same_files_for_any_number_of_threads(command, tmp_path):
    for name, threads in (("a", 1), ("b", 2)):
        assert command("make", "-n", 80, "-o", tmp_path / name, "--threads", threads).code == 0
    for file in ("report.html", "batches.csv", "process.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_processes_stand_side_by_side(command, tmp_path):
    answer = command("make", "--compare", "standard", "two_day", "donor_bank", "-n", 60, "-o", tmp_path / "run")
    assert answer.code == 0, answer.err
    table = pd.read_csv(tmp_path / "run" / "processes.csv")
    assert table["process"].tolist() == ["standard", "two_day", "donor_bank"]
    assert "release and logistics dominate" in answer.out
    assert (tmp_path / "run" / "batches-two_day.parquet").exists()
    found = command("make", "--compare", "-n", 40, "-o", tmp_path / "all", "--json").json
    assert len(found["processes"]) == 5
    assert set(found["segments"]) == set(table["process"]) | {"next_day", "point_of_care"}


def test_a_cohort_from_a_file_and_its_bad_rows(command, cohort, tmp_path):
    answer = command("make", "-n", cohort, "-o", tmp_path / "run")
    assert answer.code == 2
    assert "line 4: weight_kg must be a number from 1 to 500 kg, got '1000'" in answer.err
    answer = command("make", "-n", cohort, "-o", tmp_path / "run", "--on-bad-row", "mark", "--batch", 6)
    assert answer.code == 0, answer.err
    table = pd.read_csv(tmp_path / "run" / "batches.csv").set_index("patient")
    assert table.loc[7, "left_stage"] == "cohort file"
    assert "batch of patient 6" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_records_of_the_infused_are_whole(command, cohort, tmp_path):
    pytest.importorskip("cryptography")
    answer = command("make", "-n", cohort, "--on-bad-row", "mark", "--records", "-o", tmp_path / "run")
    assert answer.code == 0, answer.err
    folder = tmp_path / "run" / "records"
    written = sorted(folder.glob("patient-*.jsonl"))
    table = pd.read_csv(tmp_path / "run" / "batches.csv")
    assert [path.stem for path in written] == [f"patient-{i}" for i in table.loc[table["left_stage"].isna(), "patient"]]
    assert written
    assert command("record", "verify", written[0], "--key", folder / "simulated.pem.pub").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("two-day",), "unknown process 'two-day'; did you mean 'two_day'"),
        (("standard", "two_day"), "are set side by side with --compare"),
        (("--compare", "standard", "standard"), "stands there twice"),
        (("--compare", "standard", "--records"), "belong to one process"),
        (("donor_bank", "--records"), "records of lots from donors are not simulated"),
        (("--on-bad-row", "skip"), "unknown way with bad rows (--on-bad-row) 'skip'"),
        (("-n", "many"), "neither a whole number nor a file"),
        (("-n", "0"), "number of patients must be a whole number from 1"),
        (("-n", "none.csv"), "cannot be read"),
        (("none.toml",), "cannot be read"),
        (("--key", "a.pem"), "add --records"),
        (("-n", "5", "--batch", "77"), "patient 77 is not among the 5 patients"),
        (("-n", "5", "--collected", "tomorrow"), "must be a date such as 2026-01-05"),
    ],
)
def test_wrong_words_are_refused(command, tmp_path, words, told):
    answer = command("make", *words, "-o", tmp_path / "run")
    assert answer.code == 2
    assert told in answer.err
    assert not (tmp_path / "run" / "report.html").exists()


def test_finished_work_is_not_written_over_unasked(command, tmp_path):
    words = ("make", "-n", 30, "-o", tmp_path / "run")
    assert command(*words).code == 0
    assert "--force" in command(*words).err
    assert command(*words, "--force").code == 0


def test_a_hostile_title_stays_text(command, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('title = "<script>alert(1)</script>"\n')
    assert command("make", plan, "-n", 30, "-o", tmp_path / "run").code == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_process_that_gives_nobody_a_product_is_told_as_such(command, tmp_path):
    plan = tmp_path / "strict.toml"
    plan.write_text('[release]\nleast_car_positive = { value = 1.0, unit = "fraction", note = "nothing passes" }\n')
    found = command("make", plan, "-n", 30, "-o", tmp_path / "run", "--json").json
    assert found["infused"] == 0
    assert sum(row["patients"] for row in found["left"]) == 30
    answer = command("make", "--compare", plan, "-n", 30, "-o", tmp_path / "other")
    assert answer.code == 2
    assert "strict: nobody is infused, so there is nothing to compare" in answer.err


def test_a_site_that_was_refitted_is_a_process(command, tmp_path):
    refit = importlib.import_module("livingdrug.cli.refit").refit
    if refit not in app.COMMANDS:
        pytest.skip("livingdrug refit is not registered")
    site = tmp_path / "site.csv"
    site.write_text("batch,car_positive_percent,failed\nA,31,0\nB,36,0\nC,29,0\nD,34,0\nE,30,0\n")
    assert command("refit", "making", site, "-o", tmp_path / "refit", "--json").code == 0
    found = command("make", tmp_path / "refit" / "priors.toml", "-n", 40, "-o", tmp_path / "run", "--json").json
    assert found["process"] == "priors"
    assert "5 batches" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_patient_without_t_cells_does_not_stop_the_others(command, tmp_path):
    file = tmp_path / "cohort.csv"
    file.write_text("patient,weight_kg,cd3_per_uL\n0,70,0\n5,70,900\n")
    answer = command("make", "-n", file, "-o", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "batch of patient 5" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    answer = command("make", "-n", file, "-o", tmp_path / "other", "--batch", 0)
    assert "no living T cell was seeded for patient 0" in answer.err


def test_a_bad_date_is_refused_before_anything_is_written(command, tmp_path):
    answer = command("make", "-n", 10, "-o", tmp_path / "run", "--collected", "2026-13-01")
    assert answer.code == 2
    assert "must be a date" in answer.err
    assert not (tmp_path / "run").exists()


def test_force_leaves_nothing_of_the_earlier_run(command, tmp_path):
    pytest.importorskip("cryptography")
    words = ("make", "-o", tmp_path / "run", "--records")
    assert command(*words, "-n", 12).code == 0
    (tmp_path / "run" / "report.html").unlink()  # as after a kill before the report was written
    assert "--force writes the records anew" in command(*words, "-n", 4).err
    assert command(*words, "-n", 4, "--force").code == 0
    kept = {path.name.split(".")[0] for path in (tmp_path / "run" / "records").glob("patient-*")}
    assert kept <= {f"patient-{number}" for number in range(1, 5)}
    assert command("make", "-o", tmp_path / "run", "-n", 5, "--compare", "standard", "two_day", "--force").code == 0
    assert not (tmp_path / "run" / "batches.csv").exists()
