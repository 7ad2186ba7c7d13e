"""Definitions of trials of the twin: what comes with the package, and what is refused."""

import csv
import time
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from livingdrug.declared import declare
from livingdrug.errors import InputError
from livingdrug.sources import cite
from livingdrug.trials.endpoint_names import endpoints_of
from livingdrug.trials.protocol import Protocol, protocol_names
from livingdrug.trials.twin import run_twin

FOLDER = resources.files("livingdrug.trials") / "definitions"
ELIANA, ZUMA_7 = ((FOLDER / f"{name}.toml").read_text(encoding="utf-8") for name in ("eliana", "zuma-7"))
ASKED = {
    "eliana", "ensign", "juliet", "elara", "belinda", "zuma-1", "zuma-2", "zuma-3", "zuma-5", "zuma-7",
    "transcend-nhl-001", "transform", "transcend-cll-004", "karmma", "karmma-3", "cartitude-1", "cartitude-4", "felix",
}  # fmt: skip


def test_all_trials_are_there():
    assert set(protocol_names()) == ASKED
    calibration = {name for name in ASKED if Protocol.builtin(name).calibration}
    assert calibration == {"eliana", "juliet", "zuma-1", "transcend-nhl-001", "karmma", "cartitude-1"}
    with pytest.raises(InputError, match="did you mean 'eliana'"):
        Protocol.builtin("elliana")


@pytest.mark.parametrize("name", sorted(ASKED))
def test_every_number_has_a_source_or_a_mark(name):
    trial = Protocol.builtin(name)
    for place, stated in trial.stated():
        assert stated.source or stated.mark in ("assumed", "recalled"), place
        assert stated.source == "" or cite(stated.source).key == stated.source
    for key in (*trial.sources, trial.size.source):
        assert key == "" or cite(key).key == key
    assert {"os median", "crs any", "infused", "cmax"} <= set(endpoints_of(trial))
    assert trial.registration.startswith("NCT")


@pytest.mark.parametrize(("name", "printed"), [("eliana", "ELIANA"), ("juliet", "JULIET"), ("zuma-1", "ZUMA-1")])
def test_attrition_is_what_the_record_says(shared_data, name, printed):
    """Losses of the definition against the counts of pivotal_endpoints.csv, within rounding of the record."""
    with (shared_data / "clinical" / "pivotal_endpoints.csv").open(encoding="utf-8") as text:
        rows = [row for row in csv.DictReader(text) if row["trial"] == printed and row["endpoint"] == "infused"]
    shares = [float(row["n"]) / float(row["N"]) for row in rows if row["n"] and row["N"]]
    plan = Protocol.builtin(name).enrolment
    kept = 1 - plan.manufacturing_failure.value - sum(share.value for share in plan.lost.values())
    assert min(abs(kept - share) for share in shares) < 0.01


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (ELIANA, 'product = "tisa_cel"', 'product = "tisa_sel"', "line 24: arms.0.product: .*did you mean 'tisa_cel'"),
        (ELIANA, 'indication = "b_all"', 'indication = "lbcl"', "is an indication in lbcl, but the trial enrols b_all"),
        (ELIANA, 'disease = "b_all"', 'disease = "b_al"', "unknown disease 'b_al'; did you mean 'b_all'"),
        (ELIANA, "practice-eliana", "practice-elliana", r"line \d+: grading.rule: .*did you mean 'practice-eliana'"),
        (ELIANA, 'crs = "penn"', 'crs = "pen"', "did you mean 'penn'"),
        (ZUMA_7, "practice-zuma-1", "preemptive-tocilizumab",
         r"line \d+: grading.rule: .* asks for blasts in the marrow, which lbcl has not"),
        (ELIANA, "enrolled = 97", "enrolled = 70", "79 infused patients are more than 70 enrolled"),
        (ELIANA, "enrolled = 97", "enrolled = 0", "size.enrolled"),
        (ELIANA, "[28, 60", "[60, 28", "the days must rise, but 28 follows 60"),
        (ELIANA, "[28, 60", "[-28, 60", "visits.days.0"),
        (ELIANA, "[28, 60", "[0, 60", "the first visit must come after the infusion"),
        (ELIANA, "horizon_days = 1830", "horizon_days = 300", "lies after the horizon of 300 days"),
        (ELIANA, 'efs = "efs_b_all"', 'efs = "efs_ball"', "unknown endpoint rule 'efs_ball'; did you mean 'efs_b_all'"),
        (ELIANA, 'os = "os"', "", "survival needs the clock 'os'"),
        (ELIANA, 'os = "os"', 'os = "os"\nttp = "os"', "unknown clock 'ttp'"),
        (ELIANA, "value = 0.0825", "value = 0.95", "nobody is left"),
        (ELIANA, "value = 0.0825", "value = 1.2", "at most 1"),
        (ELIANA, 'unit = "copy/ug"\ndays', 'unit = "cell/uL"\ndays', "sampling"),
        (ELIANA, "[enrolment]", "[enrollment]", "unknown key 'enrollment'; did you mean 'enrolment'"),
        (ELIANA, "[[arms]]", "[arms]", "arms"),
        (ELIANA, 'phase = "2"', 'phase = "2"\nendpoints = ["scr"]', "unknown endpoint of a trial in b_all 'scr'"),
        (ELIANA, 'phase = "2"', 'phase = "2"\nendpoints = ["pfs 12 months"]', "did you mean 'rfs 12 months'"),
        (ZUMA_7, 'comparator = "lbcl_second_line"', 'comparator = "lbcl"', "unknown comparator 'lbcl'"),
        (ZUMA_7, 'comparator = "lbcl_second_line"\n', "", "needs either a product or a comparator"),
        (ZUMA_7, "share = 0.501393", "share = 0.7", "the shares must add up to 1"),
        (ZUMA_7, 'name = "standard"', 'name = "Axi-Cel"', r"line 33: arms.1.name: each arm needs a name of its own"),
        (ZUMA_7, 'name = "standard"', 'name = "axi-cel "', r"line 33: arms.1.name: .*without spaces at its ends"),
        (ZUMA_7, 'name = "standard"', 'name = ""', "arms.1.name: a name is expected"),
        (ZUMA_7, 'name = "standard"', 'name = "a\\u202Eb"', r"arms.1.name: the character U\+202E cannot be printed"),
        (ZUMA_7, 'comparator = "lbcl_second_line"', 'comparator = "myeloma_triple_exposed"',
         "line 34: arms.1.comparator: .* is a treatment of myeloma, but .* enrols lbcl; allowed: .*lbcl_second_line"),
        (ZUMA_7, 'comparator = "lbcl_second_line"', 'comparator = "lbcl_second_line"\nindication = "lbcl"',
         "line 32: arms.1: arm 'standard' is a comparator: it has no indication"),
        (ZUMA_7, 'indication = "lbcl_second_line"',
         'indication = "lbcl_second_line"\ncrossover = { value = 0.5, unit = "fraction", note = "x" }',
         "arms.0: arm 'axi-cel' has a product: crossover belongs to the comparator"),
        (ZUMA_7, "enrolled = 180", "enrolled = 90", "line 30: arms.0.enrolled: 90 of 359 enrolled are not the share"),
        (ZUMA_7, "enrolled = 180", "enrolled = 181", "line 22: size.enrolled: 359, but the arms have 360"),
        (ZUMA_7, "infused = 170", "infused = 200", "line 23: size.infused: 200, but only 180 are enrolled"),
        (ELIANA, "infused = 79", "infused = 10", "size.infused: 10, but of 97 enrolled the losses .* leave 79"),
        (ELIANA, "enrolled = 97", "enrolled = 9999999999999999999999", "line 18: size.enrolled"),
        (ELIANA, "response_by = 91", "response_by = 5", "response_by: day 5 comes before the first visit on day 28"),
        (ELIANA, 'os = "os"', 'os = "efs_b_all"', "clocks.os: unknown endpoint rule 'efs_b_all'. Allowed: os$"),
        (ELIANA, 'crs = "penn"', 'crs = "astct"', "line 39: grading.crs: .* 'astct'; did you mean 'astct-crs'"),
        (ELIANA, 'neuro = "ctcae-v4-neuro"', 'neuro = "penn"', "grading.neuro: unknown scale of neurotoxicity 'penn'"),
        (ELIANA, 'also = ["lee", "astct-crs"', 'also = ["lee", "lee"', "grading.also: each scale once"),
        (ELIANA, "lloq = { value = 50,", "lloq = { value = 1e300,", "line 47: sampling.lloq: must be from 0 to 1e.06"),
        (ELIANA, 'phase = "2"', 'phase = "2"\nendpoints = ["os median", "os median"]', "endpoints: each is named once"),
        (ELIANA, "[enrolment.lost]", '[enrolment.lost]\ndeaht = { value = 0.1, unit = "fraction", note = "x" }',
         r"line \d+: enrolment.lost.deaht: .*did you mean 'death'"),
        (ELIANA, '"adverse event" = { value = 0.0309', '"adverse event" = { value = -1',
         r"line 35: enrolment.lost.adverse event: must be at least 0"),
        (ELIANA, 'phase = "2"', 'phase = "2"\nspponsor = "x"', "line 8: unknown key 'spponsor'"),
        (ELIANA, 'infused = 79\nsource = "kymriahsmpc"', 'infused = 79\nsource = "kymriasmpc"',
         "line 20: size.source: unknown source 'kymriasmpc'; did you mean 'kymriahsmpc'"),
        (ELIANA, 'sources = ["', 'sources = ["maude2081", "', "line 11: sources.0: unknown source .*'maude2018'"),
        (ELIANA, 'source = "maude2018", mark = "read", note = "65', 'source = "maude2081", note = "65',
         "line 30: enrolment.bridging.source: unknown source 'maude2081'; did you mean 'maude2018'"),
        (ELIANA, 'indication = "b_all"\n', "", "line 22: arms.0.indication: unknown indication of tisa_cel ''"),
        (ELIANA, 'indication = "b_all"\n', 'indication = "b_all"\ndose = { levels = [{ cells = 1e300 }] }\n',
         r"line 26: arms.0.dose: 1e\+300 cells are more than"),
        (ELIANA, 'indication = "b_all"\n',
         'indication = "b_all"\ndose = { bands = [{ per_kg = { value = 1e12, unit = "cell/kg", note = "x" } }] }\n',
         "arms.0.dose: 1e.14 cells are more than"),
        (ELIANA, 'indication = "b_all"\n', 'indication = "b_all"\ndose = { levels = [{ cells = -5 }] }\n',
         r"arms.0.dose.levels.0.cells: Input should be greater than 0, got -5$"),
    ],
)  # fmt: skip
def test_mistakes_name_the_file_and_the_key(tmp_path, text, old, new, words):
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        Protocol.read(path)
    assert str(caught.value).startswith(str(path))


def test_the_line_is_that_of_the_second_arm(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(ZUMA_7.replace('comparator = "lbcl_second_line"', 'comparator = "none"'), encoding="utf-8")
    line = next(
        k for k, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text.startswith("comparator")
    )
    with pytest.raises(InputError, match=f"line {line}: arms.1.comparator"):
        Protocol.read(path)


def test_an_arm_without_patients(tmp_path):
    text = ZUMA_7.replace("share = 0.501393\nenrolled = 180", "share = 0.999").replace(
        "share = 0.498607\nenrolled = 179", "share = 0.001"
    )
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"line 35: arms.1.share: 0.001 of 359 enrolled is an arm without patients"):
        Protocol.read(path)


def test_a_trial_without_arms_with_a_product():
    design = tomllib.loads(ZUMA_7)
    design["arms"] = [{**design["arms"][1], "share": 1.0, "enrolled": 359}]
    with pytest.raises(InputError, match="at least one arm needs a product"):
        declare(Protocol, design, "mine")


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + ELIANA.replace("\n", "\r\n").encode())
    assert Protocol.read(path) == Protocol.builtin("eliana")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" + ".x" * 900_000 + " = 1", "line 1: a key of more than 30 names"),
        ("# a trial\n[" + '"x".' * 300_000 + "x]", "line 2: a key of more than 30 names"),
        ("x = " + "9" * 5_000, "a number has too many digits"),
        ("x = " + "[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ("#" * 2_000_001, "more than 2000000 bytes"),
        (ELIANA + "[[arms]]\n" * 200_000, "arms: at most 10 arms, got 200001"),
    ],
)
def test_bombs_do_not_go_off(tmp_path, text, words):
    """A few seconds at most; the first two took hours, since a key's time grows with the square of its names."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    begin = time.process_time()
    with pytest.raises(InputError, match=words):
        Protocol.read(path)
    assert time.process_time() - begin < 10


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_a_device_without_end_is_not_read_to_its_end():
    with pytest.raises(InputError, match="more than 2000000 bytes"):
        Protocol.read("/dev/zero")


def test_a_changed_copy_is_not_compared_with_what_was_published(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(ELIANA.replace('crs = "penn"', 'crs = "mskcc"').replace('also = ["lee", ', "also = ["), "utf-8")
    found = run_twin(Protocol.read(path), 4, days=30, replicates=5, threads=1)
    assert found.targets.empty
