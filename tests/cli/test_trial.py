"""`livingdrug trial`: what it leaves behind, and what happens when it is interrupted or cannot write."""

import json
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest


def hears_ctrl_c():
    """A process that was started in the background by a shell ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


LATEST = 0.5  # seconds in which an interrupt is answered


def test_a_run_leaves_report_tables_configuration_and_log(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert names == {
        "blocks", "citation.bib", "configuration.json", "endpoints.parquet", "patients.parquet", "report.html",
        "run.log",
    }  # fmt: skip
    assert len(pd.read_parquet(finished_run / "patients.parquet")) == 60
    assert "CAR T cells in blood, day 7" in set(pd.read_parquet(finished_run / "endpoints.parquet")["endpoint"])
    configuration = json.loads((finished_run / "configuration.json").read_text(encoding="utf-8"))
    assert configuration["patients"] == 60
    assert "Not for clinical use" in (finished_run / "report.html").read_text(encoding="utf-8")


def test_the_log_has_versions_seed_and_hashes_and_no_patient(finished_run):
    import hashlib

    log = (finished_run / "run.log").read_text(encoding="utf-8")
    assert "seed 1" in log
    assert re.search(r"versions: python [\d.]+.*numpy [\d.]+", log)
    for name in ("patients.parquet", "endpoints.parquet", "configuration.json"):
        assert f"{hashlib.sha256((finished_run / name).read_bytes()).hexdigest()} {name}" in log
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in log.splitlines())


def test_the_same_command_gives_the_same_numbers(command, small_trial, finished_run, tmp_path):
    assert command("trial", small_trial, "-n", 60, "--out", tmp_path / "again", "--json").code == 0
    for name in ("patients.parquet", "endpoints.parquet"):
        assert pd.read_parquet(tmp_path / "again" / name).equals(pd.read_parquet(finished_run / name))


def test_json_is_all_that_stands_on_standard_output(command, small_trial, tmp_path):
    answer = command("trial", small_trial, "-n", 20, "--out", tmp_path / "run", "--json")
    assert answer.json["patients"] == 20
    assert answer.json["endpoints"][0]["endpoint"]
    assert answer.err == ""


def test_people_see_the_results_and_where_the_report_lies(command, small_trial, tmp_path):
    answer = command("trial", small_trial, "-n", 20, "--out", tmp_path / "run")
    assert answer.code == 0
    assert "CAR T cells in blood, day 7" in answer.out
    assert "report.html" in "".join(answer.out.split())
    assert "Not for clinical use." in answer.out


def test_the_run_folder_has_a_name_of_its_own(command, small_trial, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("trial", small_trial, "-n", 20, "--seed", 7, "--json").json["folder"] == "runs/small-20-seed7"


@pytest.mark.parametrize("option", ["--patients", "--baseline-volumes"])
def test_baseline_volumes_come_from_a_file(command, small_trial, tmp_path, monkeypatch, option):
    volumes = tmp_path / "volumes.csv"
    volumes.write_text("baseline_tumour_mL\n50\n60\n")
    monkeypatch.setattr(sys.modules["livingdrug.cli.trial"], "PAPER_PATIENTS", 30)
    words = ("trial", small_trial, "--out", tmp_path / "run", "--json", option, volumes)
    more = () if option == "--patients" else ("--patients", 30)
    assert command(*words, *more).code == 0
    assert set(pd.read_parquet(tmp_path / "run" / "patients.parquet")["baseline_tumour_mL"]) == {50.0, 60.0}


def test_a_report_is_made_again_from_the_folder(command, finished_run, tmp_path):
    path = tmp_path / "again.html"
    assert command("report", finished_run, "--out", path, "--json").json == {"report": str(path)}
    assert path.read_text(encoding="utf-8") == (finished_run / "report.html").read_text()


def test_a_run_can_be_cited(command, finished_run):
    assert "@article{kimmel2021," in command("cite", finished_run).out


def test_a_folder_belongs_to_one_run(command, small_trial, finished_run):
    before = (finished_run / "patients.parquet").read_bytes()
    answer = command("trial", small_trial, "-n", 61, "--out", finished_run)
    assert answer.code == 2
    assert "another run" in answer.err
    assert (finished_run / "patients.parquet").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named(command, small_trial, tmp_path):
    (tmp_path / "file").write_text("")
    answer = command("trial", small_trial, "-n", 5, "--out", tmp_path / "file" / "run")
    assert answer.code == 2
    assert "file" in answer.err
    assert "--out" in answer.err


def test_a_full_disk_is_told(command, small_trial, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("livingdrug.storage.write_atomically", full)
    answer = command("trial", small_trial, "-n", 5, "--out", tmp_path / "run")
    assert answer.code == 1
    assert "full" in answer.err
    assert not (tmp_path / "run" / "report.html").exists()


def test_hostile_names_do_no_harm(command, small_trial, tmp_path):
    hostile = tmp_path / "hostile.toml"
    hostile.write_text(
        small_trial.read_text(encoding="utf-8").replace(
            '"A small trial"', '"<script>alert(1)</script>[bold]x[/nothing]\\u001b[31m"'
        )
    )
    answer = command("trial", hostile, "-n", 10, "--out", tmp_path / "run")
    assert answer.code == 0
    assert "<script" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_interrupted_run_stops_at_once_and_continues(command, small_trial, tmp_path):
    words = [
        sys.executable,
        "-m",
        "livingdrug.cli",
        "trial",
        str(small_trial),
        "-n",
        "200000",
        "--out",
        str(tmp_path / "run"),
    ]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": hears_ctrl_c}
    process = subprocess.Popen(words, **options)
    blocks = tmp_path / "run" / "blocks"
    deadline = time.monotonic() + 60
    while not list(blocks.glob("patients-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert time.monotonic() - asked < LATEST
    assert process.returncode == 130
    assert "same command continues" in told
    assert "Traceback" not in told
    kept = sorted(path.name for path in blocks.iterdir())
    assert all(name == "run.json" or re.fullmatch(r"patients-\d+-\d+\.parquet", name) for name in kept)
    assert not (tmp_path / "run" / "report.html").exists()
    first = {name: (blocks / name).stat().st_mtime_ns for name in kept}
    again = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(blocks.glob("patients-*.parquet"))) < len(kept) and time.monotonic() < deadline + 60:
        time.sleep(0.05)
    again.kill()
    again.wait()
    assert {name: (blocks / name).stat().st_mtime_ns for name in kept} == first
    assert command("report", tmp_path / "run").code == 2


@pytest.fixture(scope="module")
def twin_run(tmp_path_factory):
    """A finished run of a trial of the twin, and what the command printed."""
    import contextlib
    import io

    from livingdrug.cli import main

    folder, printed = tmp_path_factory.mktemp("twin") / "run", io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        main(["trial", "eliana", "-n", "30", "--replicates", "50", "--threads", "1", "--parameter-sets", "20", "--out",
              str(folder), "--json"])  # fmt: skip
    return folder, json.loads(printed.getvalue())


def test_a_trial_of_the_twin_leaves_a_report_and_tables(command, twin_run):
    folder, told = twin_run
    assert {path.name for path in folder.iterdir()} == {
        "blocks", "citation.bib", "configuration.json", "endpoints.parquet", "patients.parquet", "report.html",
        "run.log", "targets.parquet",
    }  # fmt: skip
    assert (told["patients"], told["failed_patients"], told["notice"]) == (30, 0, "Not for clinical use.")
    table = pd.read_parquet(folder / "endpoints.parquet")
    known = table.dropna(subset=["sets_low"])
    assert (known["sets_low"] <= known["sets_high"]).all()
    assert len(known) > 0.8 * len(table)
    assert json.loads((folder / "configuration.json").read_text(encoding="utf-8"))["parameter_sets"] == 20
    assert [row["endpoint"] for row in told["endpoints"]] == table["endpoint"].tolist()
    assert len(pd.read_parquet(folder / "patients.parquet")) == 30
    assert "@article{maude2018," in command("cite", folder).out


def test_a_trial_of_the_twin_is_told_to_people(command, twin_run):
    folder, _ = twin_run  # the same command again: everything is found in the folder
    words = ("trial", "eliana", "-n", 30, "--replicates", 50, "--threads", 1, "--out", folder)
    answer = command(*words, "--parameter-sets", 20)
    assert answer.code == 0
    assert "inside that of chance and parameters" in answer.out
    assert "crs >= 3" in answer.out
    assert "reported numbers lie inside" in answer.out
    assert "Not for clinical use." in answer.out


def test_the_report_of_a_twins_trial_is_made_again_from_its_tables(command, twin_run, tmp_path):
    folder, _ = twin_run
    assert command("report", folder, "--out", tmp_path / "again.html", "--json").code == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == (folder / "report.html").read_text()


def test_a_damaged_table_of_a_twins_trial_is_named(command, twin_run, tmp_path):
    import shutil

    shutil.copytree(twin_run[0], tmp_path / "copy")
    (tmp_path / "copy" / "endpoints.parquet").write_bytes(b"nothing")
    answer = command("report", tmp_path / "copy")
    assert answer.code == 2
    assert "a table is damaged" in answer.err


def test_sets_fit_trials_of_the_twin_and_must_be_enough(command, small_trial, tmp_path):
    answer = command("trial", small_trial, "-n", 5, "--parameter-sets", 20, "--out", tmp_path / "run")
    assert (answer.code, "a paper's model has one set" in answer.err) == (2, True)
    answer = command("trial", "nct07194980", "-n", 5, "--parameter-sets", 3, "--out", tmp_path / "run")
    assert (answer.code, "at least 20 sets, got 3" in answer.err) == (2, True)


def test_volumes_fit_papers_only(command, tmp_path):
    (tmp_path / "v.csv").write_text("baseline_tumour_mL\n50\n")
    answer = command("trial", "eliana", "--baseline-volumes", tmp_path / "v.csv", "--out", tmp_path / "run")
    assert answer.code == 2
    assert "paper's model only" in answer.err
    assert not (tmp_path / "run").exists()


def test_check_says_what_is_wrong_in_a_trial_of_the_twin(command, tmp_path):
    from importlib import resources

    text = (resources.files("livingdrug.trials") / "definitions" / "eliana.toml").read_text(encoding="utf-8")
    (tmp_path / "right.toml").write_text(text)
    assert command("check", tmp_path / "right.toml", "--json").json["model"] == "twin"
    (tmp_path / "wrong.toml").write_text(text.replace('"tisa_cel"', '"tisa_sel"'))
    answer = command("check", tmp_path / "wrong.toml")
    assert answer.code == 2
    assert "line 24" in answer.err
    assert "did you mean 'tisa_cel'" in answer.err
