"""Scores with closed forms, joins by the words of reports, naive forecasts from known numbers, hostile tables."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from scipy.special import expit, logit

from livingdrug.errors import InputError
from livingdrug.trials.forecast import LEVELS, QUANTILES, Forecast, forecast_row, forecast_table
from livingdrug.trials.naive import NAIVE, Traits, naive_forecasts
from livingdrug.trials.scoring import against_twin, crps, log_score, read_observed, score, summary
from livingdrug.trials.wording import plain, plain_keys, plain_unit

Z = stats.norm.ppf(LEVELS)


@pytest.mark.parametrize("y", [-3.0, -0.5, 0.0, 1.0, 2.5])
def test_crps_of_a_normal(y):
    """The closed form, itself held against the integral of (F - step)^2; 99 quantiles come within two thousandths."""
    exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / math.sqrt(math.pi)
    below = integrate.quad(lambda x: stats.norm.cdf(x) ** 2, -12, y)[0]
    above = integrate.quad(lambda x: stats.norm.sf(x) ** 2, y, 12)[0]
    assert exact == pytest.approx(below + above, abs=1e-9)
    assert crps(Z, y) == pytest.approx(exact, rel=2e-3)
    assert crps(10 * Z + 4, 10 * y + 4) == pytest.approx(10 * exact, rel=2e-3)


def test_crps_of_an_exponential():
    """Closed form for rate 1: y - 2 F(y) + 1/2; the heavy tail beyond the last quantile costs a little."""
    for y in (0.1, 1.0, 3.0):
        assert crps(-np.log1p(-np.array(LEVELS)), y) == pytest.approx(y - 2 * (1 - math.exp(-y)) + 0.5, abs=0.012)
    assert math.isnan(crps([*Z[:-1], math.inf], 0))


def test_log_score_is_minus_the_log_density():
    days = np.exp(1 + 0.5 * Z)
    assert log_score(days, 4.0, percent=False, size=9) == pytest.approx(-stats.norm.logpdf(math.log(4), 1, 0.5))
    percent = 100 * expit(0.4 + 0.3 * Z)
    near = log_score(percent, 50.0, percent=True, size=10**7)
    assert near == pytest.approx(-stats.norm.logpdf(logit(0.5), 0.4, 0.3), abs=1e-5)
    assert math.isfinite(log_score(np.full(99, 0.0) + np.arange(99) / 50, 0.0, percent=True, size=50))
    assert math.isnan(log_score(days, -1.0, percent=False, size=9))
    assert math.isnan(log_score(np.full(99, 3.3), 3.3, percent=False, size=9))
    assert math.isnan(log_score(np.full(99, 71.0), 71.0, percent=True, size=9))


def test_honest_forecasts_cover_what_they_say():
    """600 trials of 80 patients whose true share is drawn as the forecast says; the report is drawn alike."""
    rng = np.random.Generator(np.random.Philox(6))
    rows, reports = [], []
    for k in range(600):
        middle = rng.normal(0, 1)
        truth = expit(rng.normal(middle, 0.4, 2001))
        percent = 100 * rng.binomial(80, truth) / 80
        rows.append(forecast_row(percent[1:], size=80, statistic="proportion", unit="%", trial=f"T{k}", endpoint="CR"))
        reports.append({"trial": f"T{k}", "endpoint": "CR", "N": 80.0, "observed": percent[0], "unit": "%", "line": k})
    observed = pd.DataFrame(reports).assign(arm="", population="", timepoint="", grading_scale="")
    scored = score(Forecast(forecast_table(rows), {}), observed)
    total = summary(scored).iloc[0]
    assert total["scored"] == 600
    assert total["in90"] == pytest.approx(0.9, abs=0.035)
    assert total["in50"] == pytest.approx(0.5, abs=0.06)
    assert scored["place"].mean() == pytest.approx(0.5, abs=0.04)
    # whoever forecasts too narrowly scores worse
    table = forecast_table(rows)
    narrow = table.assign(**dict.fromkeys(QUANTILES[20:80], table["q50"]))
    assert summary(score(Forecast(narrow, {}), observed)).iloc[0]["in50"] < total["in50"]


LINES = [
    {"trial": "ONE", "population": "infused", "endpoint": "CRS any grade", "grading_scale": "Lee 2014"},
    {"trial": "ONE", "population": "infused", "endpoint": "CRS any grade", "grading_scale": "ASTCT"},
    {"trial": "ONE", "population": "infused", "endpoint": "ORR"},
    {"trial": "ONE", "population": "enrolled", "endpoint": "ORR"},
    {"trial": "ONE", "population": "infused", "endpoint": "OS", "timepoint": "month 12"},
    {"trial": "ONE", "population": "infused", "endpoint": "neuro >= 3"},
]


@pytest.fixture
def forecast():
    percent = 100 * expit(0.3 * Z)
    rows = [forecast_row(percent, size=100, statistic="proportion", unit="%", **line) for line in LINES]
    days = forecast_row(
        np.exp(Z), size=100, statistic="median", unit="days", trial="ONE", population="infused", endpoint="CRS onset"
    )
    times = np.where(np.array(LEVELS) > 0.6, np.inf, 10 + Z)
    month = forecast_row(times, size=100, statistic="median time", unit="months", trial="ONE", endpoint="PFS median")
    return Forecast(forecast_table([*rows, days, month]), {})


def scored_line(forecast, tmp_path, header, *lines):
    path = tmp_path / "observed.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return score(forecast, read_observed(path)).to_dict("records")


HEADER = "trial,population,endpoint,timepoint,grading_scale,n,N,percent,value,unit"


@pytest.mark.parametrize(
    ("line", "note", "unit"),
    [
        ('ONE,"infused (n=79)",CRS any grade,,Lee 2014 (modified),,,55,,%', "", "%"),
        ("one,,crs any grade,,,,,55,,", "2 lines of the forecast fit; say which", "%"),
        ("ONE,infused,overall response rate,,,40,80,,,", "", "%"),
        ("ONE,,ORR,,,40,80,,,", "2 lines of the forecast fit; say which", "%"),
        ("ONE,all infused,overall survival,12 months,,,,50,,", "", "%"),
        ("ONE,infused,overall survival,1 year,,,,50,,", "", "%"),
        ("ONE,infused,overall survival at 12 months,,,,,50,,", "", "%"),
        (
            "ONE,infused,overall survival,24 months,,,,50,,",
            "no line fits: timepoint 'month 24'; the forecast has 'month 12'",
            "%",
        ),
        ("ONE,infused,neurologic events grade 3-4,,CTCAE 4.03,,,50,,", "", "%"),
        ("ONE,,median time to CRS onset,,,,,,1,weeks", "", "days"),
        ("ONE,,CRS onset median,,,,,,3,days; CV 5%", "", "days"),
        ("ONE,,CRS onset median,,,,,30,,", "reported in '%', forecast in 'days'", "%"),
        ("ONE,,ORR,,,,,,,", "2 lines of the forecast fit; say which", ""),
        ("ONE,enrolled,ORR,,,,,,,", "no number was reported", ""),
        ("ONCE,infused,ORR,,,,,50,,", "no line fits: unknown trial 'ONCE'; nearest: ONE", "%"),
        ("ONE,infused,ORRR,,,,,50,,", "no line fits: unknown endpoint 'ORRR'; nearest: ORR", "%"),
        (
            "ONE,infused,CRS any grade,,Penn,,,50,,",
            "no line fits: grading_scale 'penn'; the forecast has 'astct', 'lee'",
            "%",
        ),
        ("O-N E,efficacy-evaluable (n=94),ORR,,,,,50,,", "", "%"),
        ("ONE,leukapheresed,ORR,,,,,50,,", "", "%"),
        ("ONE,patients with CRS,CRS onset median,,,,,,3,days", "", "days"),
    ],
)
def test_a_reported_number_finds_its_line(forecast, tmp_path, line, note, unit):
    (found,) = scored_line(forecast, tmp_path, HEADER, line)
    assert (found["note"], found["unit"]) == (note, unit)
    assert (found["in90"] is None) == bool(note)


ARMS = "trial,arm,population,endpoint,timepoint,N,percent,value,statistic,unit"


@pytest.mark.parametrize(
    ("line", "note", "median"),
    [
        ("RCT,,axi-cel arm,ORR,,180,50,,,", "", 10),
        ("RCT,,ITT axi-cel,overall response rate,,180,50,,proportion,", "", 10),
        ("RCT,axi-cel,,ORR,,180,50,,,", "", 10),
        ("RCT,SOC,randomised,ORR,,179,50,,,", "", 20),
        ("RCT,,standard-of-care arm,ORR,,179,50,,,", "", 20),
        ("RCT,,randomised,ORR,,359,50,,,", "2 lines of the forecast fit; say which", math.nan),
        ("RCT,,randomised,PFS hazard ratio,,,,0.7,hazard ratio,ratio", "", 1),
        ("RCT,,axi-cel vs SOC,PFS HR,,,,0.7,,", "", 1),
        ("RCT,,,hazard ratio for PFS,,,,0.7,,", "", 1),
        ("RCT,,infused (n=170),Cmax,,,,40,median (IQR),cells/uL", "", 5),
        ("RCT,,infused,Cmax,,,,40,geometric mean,cells/uL", "", 4),
        ("RCT,,infused,Cmax,,,,40,mean (SD),cells/uL", "2 lines of the forecast fit; say which statistic", math.nan),
        ("RCT,,infused,Cmax,,,,40,,cells/uL", "2 lines of the forecast fit; say which statistic", math.nan),
        ("RCT,,infused,AUC0-28d,,,,40,median,cells/uL*day", "reported as median, forecast as geometric mean", math.nan),
    ],
)
def test_arms_and_statistics_find_their_line(tmp_path, line, note, median):
    """The words of published tables: "axi-cel arm", "ITT axi-cel", "SOC", "PFS HR"; a median is no geometric mean."""

    def row(middle, statistic, unit, **keys):
        return forecast_row(np.full(9, middle), size=100, statistic=statistic, unit=unit, trial="RCT", **keys)

    enrolled, infused = {"population": "enrolled"}, {"arm": "axi-cel", "population": "infused"}
    rows = [
        row(10.0, "proportion", "%", arm="axi-cel", endpoint="orr", **enrolled),
        row(20.0, "proportion", "%", arm="standard", endpoint="orr", **enrolled),
        row(1.0, "hazard ratio", "1", population="randomised", endpoint="pfs hazard ratio"),
        row(4.0, "geometric mean", "cell/uL", endpoint="cmax", **infused),
        row(5.0, "median", "cell/uL", endpoint="cmax median", **infused),
        row(6.0, "geometric mean", "cell/uL*day", endpoint="auc28", **infused),
    ]
    (found,) = scored_line(Forecast(forecast_table(rows), {}), tmp_path, ARMS, line)
    assert found["note"].startswith(note)
    assert bool(found["note"]) == bool(note)
    assert found["median"] == pytest.approx(median, nan_ok=True)


@pytest.mark.parametrize(
    ("table", "observed", "note"),
    [
        ("value,unit,endpoint,junk,trial,population\n0.7,fraction,ORR,x,ONE,enrolled\n", [70.0], [""]),
        ("Trial,Population,Endpoint,Percent\nONE,enrolled,ORR,70 %\n", [70.0], [""]),
        ("trial,population,endpoint,percent\nONE,enrolled,ORR,NaN\n", [math.nan], ["no number was reported"]),
        ("trial,population,endpoint,percent\nONE,enrolled,ORR,NR\n", [math.nan], ["no number was reported"]),
        ("trial,endpoint,value,unit\nONE,median PFS,n/a,months\n", [math.nan], ["no number was reported"]),
        (
            "trial,population,endpoint,percent\nONE,enrolled,ORR,70\nONE,enrolled,ORR,70\n",
            [70.0, 70.0],
            ["", "the same number as line 2; counted once"],
        ),
    ],
)
def test_tables_of_other_hands(forecast, tmp_path, table, observed, note):
    """Columns in any order, capitals, fractions, signs of per cent, words for what is missing, twice the same."""
    path = tmp_path / "observed.csv"
    path.write_text(table)
    found = score(forecast, read_observed(path))
    assert found["observed"].tolist() == pytest.approx(observed, nan_ok=True)
    assert found["note"].tolist() == note


def test_units_of_time_are_turned(forecast, tmp_path):
    (found,) = scored_line(forecast, tmp_path, HEADER, "ONE,,CRS onset,,,,,,1,weeks")
    assert found["observed"] == 7
    assert found["place"] == pytest.approx(stats.norm.cdf(math.log(7)), abs=0.01)


def test_medians_that_are_not_reached(forecast, tmp_path):
    for value, inside in (("NR", True), ("NE", True), ("20", True), ("1", False)):
        (found,) = scored_line(forecast, tmp_path, HEADER, f"ONE,,median PFS,,,,,,{value},months")
        assert found["in90"] is inside
        assert math.isnan(found["crps"])
        assert math.isnan(found["log_score"])
        assert found["note"].startswith("not reached")


def test_two_numbers_for_one_line_are_not_scored(forecast, tmp_path):
    lines = (
        "ONE,enrolled,ORR,,,,,50,,",
        "ONE,enrolled,ORR,,,,,51,,",
        "ONE,infused,ORR,,,,,50,,",
        "ONE,infused,ORR,,,,,,,",
    )
    *found, empty = scored_line(forecast, tmp_path, HEADER, *lines)
    assert [one["note"] for one in found] == ["2 reported numbers fit this line; keep one"] * 2 + [""]
    assert empty["note"] == "no number was reported"  # and is no rival
    total = summary(pd.DataFrame(found)).iloc[0]
    assert (total["scored"], total["not_scored"], total["in90"]) == (1, 2, 1)


def test_words():
    assert plain("population", "Infused  (n=99, US product)") == "infused"
    assert plain("endpoint", "CRS grade≥3") == plain("endpoint", "crs >= 3") == "crs >=3"
    assert plain("endpoint", "CRS grade 3") == "crs grade 3"
    assert plain("endpoint", "CR/CRi") == "cr/cri"
    assert plain("timepoint", "5 years") == plain("timepoint", "60 months") == "month 60"
    assert plain("timepoint", "day 28-30") == "day 28-30"
    assert plain("timepoint", "2018-04 cut") == "2018-04 cut"
    assert plain_keys({"endpoint": "neurologic events any grade within 8 weeks"}) == plain_keys(
        {"endpoint": "neuro any", "timepoint": "within 8 weeks"}
    )
    assert plain_unit("copies/ug*day; CV 194.9%") == plain_unit("copy/ug*day")


def test_the_shared_tables_are_read(shared_data):
    for name, lines in (("pivotal_endpoints", 466), ("calibration_targets", 100)):
        table = read_observed(shared_data / "clinical" / f"{name}.csv")
        assert len(table) == lines
        assert table["observed"].notna().all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "unknown column 'trial'"),
        (b"trail,endpoint\nA,B\n", "did you mean 'trail'"),
        (b"trial,endpoint,endpoint\n", "stands there twice"),
        (b"trial,endpoint,percent\nA,B,many\n", "line 2, percent: a number is expected, got 'many'"),
        (b"trial,endpoint,percent\nA,B,120\n", "percent goes from 0 to 100"),
        (b"trial,endpoint,n,N,percent\nA,B,50,100,0.5\n", "percent is 0.5, but n of N is 50 of 100"),
        (b"trial,endpoint,value\nA,B,1e999\n", "number is expected"),
        (b"trial,endpoint,n,N\nA,B,5,4\n", "n must lie between 0 and N = 4"),
        (b"trial,endpoint,n,N\nA,B,0,0\n", "N must be at least 1"),
        (b"trial,endpoint,percent\nA,B,50,60,70\n", "line 2: 5 cells, but only 3 columns"),
        (b'trial,endpoint,percent\nA,"B\nC",50\nD,E,x\n', "line 4, percent"),
        (b'trial,endpoint\nA,"B\n', "not comma-separated"),
        (b"trial,endpoint\nA,\0\n", "zero bytes"),
        (b"trial,endpoint\nA,\xe9\n", "UTF-8"),
        (b"trial,endpoint\nA," + b"x" * 200_000 + b"\n", "not comma-separated"),
    ],
)
def test_hostile_tables(tmp_path, content, message):
    (tmp_path / "odd.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_observed(tmp_path / "odd.csv")


def test_short_rows_blank_lines_and_other_columns(tmp_path):
    (tmp_path / "odd.csv").write_text("trial,endpoint,percent,why\nA,B\n\n,,,\nC,D,5,because\n")
    table = read_observed(tmp_path / "odd.csv")
    assert table["line"].tolist() == [2, 5]
    assert table["observed"].tolist() == pytest.approx([math.nan, 5], nan_ok=True)


# Naive forecasts -----------------------------------------------------------------------------------------------------

TRAITS = {
    "NEW": Traits("x", "lymphoma", "CD28"),
    "A": Traits("x", "leukaemia", "4-1BB"),
    "B": Traits("y", "lymphoma", "CD28"),
    "C": Traits("z", "myeloma", "4-1BB"),
    "A+B (final)": Traits("x", "leukaemia", "4-1BB"),
}


def known(*numbers, statistic="geometric mean", unit="copies/ug", size=10**6):
    columns = {"endpoint": "Cmax", "population": "infused", "timepoint": "", "statistic": statistic, "unit": unit}
    return pd.DataFrame([{"trial": t, **columns, "N": size, "observed": x, "cv": 0.5} for t, x in numbers])


def asked(trial="NEW", statistic="geometric mean", unit="copies/ug", size=10**6, **more):
    keys = {"population": "infused (n=9)", "endpoint": "Cmax", **more}
    return forecast_table([forecast_row([1.0], size=size, statistic=statistic, unit=unit, trial=trial, **keys)])


def test_naive_forecasts_by_hand():
    """Two trials with 10 and 1000: the mean is 100 and the log variance between them half their squared distance."""
    found = naive_forecasts(asked(), known(("A", 10.0), ("B", 1000.0)), TRAITS).set_index("forecaster")
    assert list(found.index) == list(NAIVE)
    between = math.log(100) ** 2 / 2
    for forecaster, middle, variance in (
        ("pooled mean", 100, between * 1.5),  # between trials, and of the mean of two
        ("same product", 10, between * 2),
        ("costimulation and disease", 1000, between * 2),
    ):
        line = found.loc[forecaster]
        log = np.log(line[list(QUANTILES)].to_numpy(float))
        assert log.mean() == pytest.approx(math.log(middle), abs=0.15)
        assert (log * Z).sum() / (Z * Z).sum() == pytest.approx(math.sqrt(variance), rel=0.05)


def test_naive_forecast_of_a_share_has_the_chance_of_its_own_size():
    """Three large trials that agree on 40 %: what is left is the binomial of the new trial."""
    numbers = known(("A", 40.0), ("B", 40.0), ("C", 40.0), statistic="proportion", unit="%")
    found = naive_forecasts(asked(statistic="proportion", unit="%", size=50), numbers, TRAITS)
    line = found.iloc[0]
    for level in (5, 50, 95):
        assert line[f"q{level:02d}"] == pytest.approx(100 * stats.binom.ppf(level / 100, 50, 0.4) / 50, abs=2.01)
    assert line["sd"] == pytest.approx(100 * math.sqrt(0.4 * 0.6 / 50), rel=0.05)


def test_what_does_not_count_for_a_naive_forecast():
    numbers = known(("A", 10.0), ("B", 1000.0), ("C", 100.0), ("A+B (final)", 10.0))
    own = naive_forecasts(asked("B"), numbers, TRAITS)  # neither B nor A+B speaks for B: two are left, A and C
    assert own["forecaster"].tolist() == ["pooled mean"]
    assert own["q50"].iloc[0] == pytest.approx(math.sqrt(1000), rel=0.3)
    for other in ({"timepoint": "day 28"}, {"population": "responders"}, {"endpoint": "Tmax"}, {"unit": "cells/uL"}):
        assert len(naive_forecasts(asked(**other), numbers, TRAITS)) == 0
    assert len(naive_forecasts(asked(), known(("A", 10.0)), TRAITS)) == 0  # one trial does not show a spread
    arms = {("NEW", "control"): Traits("", "lymphoma", "")}
    assert len(naive_forecasts(asked(arm="control"), numbers, TRAITS, arms=arms)) == 0
    with pytest.raises(InputError, match="trial without product and disease 'other'"):
        naive_forecasts(asked("OTHER"), numbers, TRAITS)
    with pytest.raises(InputError, match="column of known numbers 'observed'"):
        naive_forecasts(asked(), numbers.drop(columns="observed"), TRAITS)


def test_the_twin_is_compared_on_what_both_forecast():
    good, poor = 100 * expit(0.2 * Z), 100 * expit(2 + 0.2 * Z)
    rows = [
        forecast_row(draws, size=100, statistic="proportion", unit="%", forecaster=who, trial=trial, endpoint="CR")
        for trial in ("A", "B")
        for who, draws in (("twin", good), ("pooled mean", poor))
        if (trial, who) != ("B", "pooled mean")
    ]
    report = {"endpoint": "CR", "N": 100.0, "observed": 50.0, "unit": "%"}
    reports = [{"trial": trial, "line": k, **report} for k, trial in enumerate("AB")]
    observed = pd.DataFrame(reports).assign(arm="", population="", timepoint="", grading_scale="")
    scored = score(Forecast(forecast_table(rows), {}), observed)
    (line,) = against_twin(scored).to_dict("records")
    assert (line["both"], line["closer"]) == (1, 1)
    by = scored.set_index(["forecaster", "line"])["log_score"]
    assert line["log_gain"] == pytest.approx(by["pooled mean", 0] - by["twin", 0])
    assert scored.loc[scored["forecaster"] == "pooled mean", "note"].tolist() == ["", "no line fits"]
