import pytest

from livingdrug.errors import InputError
from livingdrug.sources import cite
from livingdrug.trials import Trial, trial_names
from livingdrug.trials.design import resources
from livingdrug.trials.outcome import _sources

TEXT = (resources.files("livingdrug.trials") / "builtin" / "kimmel-zuma-1.toml").read_text(encoding="utf-8")


def test_builtin():
    trial = Trial.builtin("kimmel-zuma-1")
    assert (trial.registration, trial.enrolled, trial.size, trial.horizon_days) == ("NCT02348216", 111, 101, 2000)
    assert trial.model == "kimmel2021"
    assert trial_names() == ["kimmel-zuma-1"]
    assert len(trial.arms[0].journey.infusion.varied) == 9
    assert trial.published_survival is not None
    assert len(trial.published_survival.day) == 48
    with pytest.raises(InputError, match="did you mean 'kimmel-zuma-1'"):
        Trial.builtin("kimmel-zuma1")


def test_every_number_has_a_source_or_a_mark():
    trial = Trial.builtin("kimmel-zuma-1")
    for place, stated in trial.stated():
        assert stated.source or stated.mark in ("assumed", "recalled"), place
    for key in _sources(trial):
        assert cite(key).key == key


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "horizon_days = 2000",
            "horizon_day = 2000",
            "follow_up: unknown key 'horizon_day'; did you mean 'horizon_days'",
        ),
        ("horizon_days = 2000", "horizon_days = 20", "lies after the horizon"),
        ("horizon_days = 2000", "horizon_days = -1", "horizon_days"),
        ("horizon_days = 2000", "horizon_days = nan", "follow_up.horizon_days"),
        ('name = "kimmel-zuma-1"', 'name = "../x"', "name"),
        ('name = "kimmel-zuma-1"', "", "name: this key is missing"),
        ("infused = 101", "infused = 112", "112 infused patients are more than 111"),
        ("infused = 101", "infused = 1.5", "infused"),
        ("hazard = { value = 0.003556", "hazard = { value = -1", r"arms.0.journey.waiting.hazard: must be at least 0"),
        ('unit = "1/day", source = "manufacturing2021"', 'unit = "1/hour", source = "jo2023"', "unit must be '1/day'"),
        (
            'unit = "1/day", source = "manufacturing2021"',
            'unit = "1/day", source = "manufacturing2012"',
            r"line 76: arms.0.journey.waiting.hazard.source: unknown source .*'manufacturing2021'",
        ),
        ('endpoint = "infused"', 'endpoint = "infussed"', "published.0: unknown endpoint 'infussed'; did you mean"),
        ('baseline = "baseline_tumour_mL"', 'baseline = "tumour_mL"', "unknown column of the population"),
        ('tumour = "tumour_volume"', 'tumour = "volume"', "unknown output of the follow-up"),
        ('output = "car_t_blood"\nday = 7', 'output = "car_t_blod"\nday = 7', "unknown output of the follow-up"),
        ('output = "car_t_blood"\nday = 7', 'output = "car_t_blood"', "needs a day"),
        ('response = ["CR"]', 'response = ["XX"]', "response"),
        ('response = ["CR"]', "response = []", "needs its grades"),
        ("0.9908, 0.9835", "0.99, 0.995", "must not rise"),
        ("5.4192, 10.3457", "10.4192, 10.3457", "the days must rise"),
        ("baseline_tumour_mL = 2.3, dose", "dose", "published_cures.0.setting: the column 'baseline_tumour_mL'"),
        ("[response]", "[[response]]", "response"),
        ("[[arms]]", "[arms]", "arms"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path, old, new, words):
    assert old in TEXT
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        Trial.read(path)
    assert str(caught.value).startswith(str(path))
