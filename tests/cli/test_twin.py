"""One default patient of the twin on the command line."""

import numpy as np
import pytest


def test_a_patient_is_graded_and_treated(command, tmp_path):
    path = tmp_path / "patient.html"
    answer = command("run", "lbcl_cd28", "--seed", 4, "--what-if", "none", "--save", path)
    assert answer.code == 0
    assert "Rule: asco-2021" in answer.out
    assert "Rule: none" in answer.out
    assert "given: nothing" in answer.out
    page = path.read_text(encoding="utf-8")
    assert "Not for clinical use" in page
    assert "the difference is the cause" in page
    assert "<svg" in page


def test_the_what_if_is_the_same_patient_until_the_first_dose(command):
    data = command("run", "lbcl_cd28", "--seed", 4, "--what-if", "none", "--json").json
    treated, untreated = data["course"], data["what_if"]
    first = min(dose["day"] for dose in treated["doses"])
    assert not untreated["doses"]
    same = [
        (a, b)
        for day, a, b in zip(treated["day"], treated["outputs"]["il6"], untreated["outputs"]["il6"], strict=True)
        if day <= first
    ]
    assert len(same) > 3
    assert all(a == b for a, b in same)
    assert treated["outputs"]["il6"] != untreated["outputs"]["il6"]


def test_no_tocilizumab_and_another_dose(command):
    data = command("run", "lbcl_cd28", "--seed", 4, "--rule", "asco-2021 without tocilizumab", "--json").json
    assert {dose["class"] for dose in data["course"]["doses"]} == {"steroid"}
    none = command("run", "lbcl_cd28", "--dose", 0, "--days", 30, "--json").json["course"]
    assert max(none["outputs"]["car_t_blood"]) == 0
    assert not none["doses"]


def test_rules_before_the_cells_and_with_findings_can_be_run(command):
    """Both courses of a what-if have the same rounds, with one before the cells where a rule asks for it."""
    data = command(
        "run", "lbcl_cd28", "--rule", "prophylactic-tocilizumab", "--what-if", "none", "--days", 30, "--json"
    ).json
    assert data["course"]["rounds"] == data["what_if"]["rounds"]
    assert data["course"]["doses"][0]["class"] == "tocilizumab"
    assert data["course"]["doses"][0]["day"] < 0
    assert command("run", "b_all", "--rule", "preemptive-tocilizumab", "--days", 30, "--json").code == 0


def test_support_is_given_when_asked_for(command):
    words = ("run", "b_all", "--days", 40, "--set", "marrow_sensitivity=3", "--json")
    plain, cared = (command(*words, *more).json["course"] for more in ((), ("--support",)))
    assert plain["support"] == {}
    assert sum(cared["support"]["g_csf"]) > 0
    assert "G-CSF" in command(*words[:-1], "--support").out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("lbcl_cd28", "--rule", "asco"), "asco-2021"),
        (("lbcl_cd28", "--dose", "-1"), "--dose"),
        (("lbcl_cd28", "--dose", "nan"), "--dose"),
        (("lbcl_cd28", "--dose", "1e30"), "--dose"),
        (("lbcl_cd28", "--save", "a.gif"), ".png"),
        (("lbcl_cd28", "--rule", "preemptive-tocilizumab"), "blasts in the marrow"),
        (("lbcl_cd28", "--rule", "asco-2021 without toci"), "tocilizumab"),
        (("lbcl_cd28", "--what-if", "non"), "did you mean 'none'"),
        (("lbcl_cd29",), "patient 'lbcl_cd28'"),
        (("kimmel2021", "--support"), "--support"),
        (("lbcl_cd28", "--days", "0"), "--days"),
        (("lbcl_cd28", "--preset", "b_all"), "--preset"),
        (("lbcl_cd28", "--set", "kill=1"), "kill_rate"),
        (("kimmel2021", "--rule", "none"), "--rule"),
    ],
)
def test_wrong_input_ends_with_2_and_one_clear_message(command, words, named):
    answer = command("run", *words)
    assert answer.code == 2
    assert named in answer.err


@pytest.mark.parametrize("name", ["kimmel2021", "lbcl_cd28"])
def test_nothing_is_written_over_without_force(command, tmp_path, name):
    path = tmp_path / "course.svg"
    path.write_text("mine")
    answer = command("run", name, "--days", 30, "--save", path)
    assert answer.code == 2
    assert "--force" in answer.err
    assert path.read_text(encoding="utf-8") == "mine"
    assert command("run", name, "--days", 30, "--save", path, "--force").code == 0
    assert path.read_text(encoding="utf-8").startswith("<svg")


def test_without_a_seed_it_is_the_default_patient(command):
    """Clinicians would expect of it: fever within days, a peak in the second week, no grade beyond 3 with treatment."""
    plain, again = (command("run", "lbcl_cd28", "--json").json for _ in range(2))
    assert plain == again
    drawn = command("run", "lbcl_cd28", "--seed", 0, "--json").json
    assert drawn["course"]["outputs"] != plain["course"]["outputs"]
    crs = np.array(plain["course"]["grades"]["astct-crs"])
    assert 1 <= crs.max() <= 3
    assert 1 < plain["course"]["rounds"][int((crs > 0).argmax())] < 7
    cells = np.array(plain["course"]["outputs"]["car_t_blood"])
    assert 7 <= plain["course"]["day"][int(cells.argmax())] <= 15
