"""What the calibration trials reported: carried over without a change, and computed from outcomes."""

import csv

import pytest

from livingdrug.sources import cite
from livingdrug.trials.measures import Measure
from livingdrug.trials.targets import expanded, target_trials, targets

EVERY = [each for trial in target_trials() for each in targets(trial)]


def test_there_are_100_with_sources():
    assert len(EVERY) == 100
    for each in EVERY:
        assert cite(each.source).key == each.source
    with_spread = expanded(tuple(EVERY))
    assert len(with_spread) == 100 + sum(each.cv is not None or each.sd is not None for each in EVERY)
    assert sum(not each.counted for each in EVERY) == 5  # the five numbers of 4 to 11 non-responders


def test_every_number_is_that_of_the_record(shared_data):
    """Each row of calibration_targets.csv, word for word and number for number."""
    with (shared_data / "clinical" / "calibration_targets.csv").open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    words = ("trial", "population", "endpoint", "timepoint", "grading_scale")
    held = {tuple(getattr(each, word) for word in words): each for each in EVERY}
    assert len(rows) == len(held) == 100
    for row in rows:
        ours = held[tuple(row[word] for word in words)]
        assert ours.value == float(row["percent"] or row["value"])
        assert ours.statistic == row["statistic"].split(" (")[0]
        for name, column in (("low", "ci_low"), ("high", "ci_high"), ("range_low", "range_low"), ("sd", "sd")):
            assert getattr(ours, name) == (float(row[column]) if row[column] else None)
        assert (f"CV {ours.cv}%" in row["unit"]) if ours.cv else "CV" not in row["unit"]
        if row["N"]:
            assert ours.size == int(row["N"])


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.label())
def test_the_measure_says_what_the_words_say(each):
    measure = each.measure
    assert isinstance(measure, Measure)
    if each.statistic == "proportion":
        assert measure.statistic in ("proportion", "survival")
        assert 0 <= each.value <= 100
    elif each.unit == "months":
        assert (measure.statistic, measure.unit) == ("median time", "months")
    else:
        assert measure.statistic == each.statistic
    if "enrolled" in each.population or "apheresed" in each.population:
        assert measure.among == ("enrolled",)
    if each.population.startswith(("responders", "non-responders", "CR/CRi")):
        assert measure.among[-1] in ("responders", "non-responders")
    if "grade>=3" in each.endpoint or "grade 3-4" in each.endpoint:
        assert measure.at_least == 3 or measure.among[-1] == "with severe crs" or measure.of == "crs days to 3"
    if each.grading_scale:
        letters = {"Penn": "penn", "Lee 2014": "lee", "ASTCT (mapped)": "astct-crs"}
        assert measure.scale == letters.get(each.grading_scale, "ctcae-v4-neuro")
