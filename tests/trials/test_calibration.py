"""The calibration: same plan, same ensemble, whatever is killed; the ensemble's file; intervals beside reports."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.population.free import free_parameters
from livingdrug.trials.calibration import Calibration, Plan, calibrate
from livingdrug.trials.ensemble import Ensemble, load_ensemble, parse_ensemble, save_ensemble
from livingdrug.trials.evidence import chance_variance, observed
from livingdrug.trials.frozen import freeze, reported_numbers
from livingdrug.trials.member_runs import MemberRuns, member_settings
from livingdrug.trials.mode import Mode
from livingdrug.trials.pieces import Pieces
from livingdrug.trials.predict import prediction_settings
from livingdrug.trials.predictive import coverage_summary, coverage_table
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.smoother import begin

PLAN = Plan(members=20, tried=1, same_patients=60, steps=2, patients=50, trials=("zuma-1",))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    return folder, calibrate(PLAN, folder, workers=1)


def begun(folder, where):
    """Copy the pieces of the optimiser but the last one, as of a run that was stopped there; how many these are."""
    (where / "calibration.json").write_bytes((folder / "calibration.json").read_bytes())
    pieces = sorted(folder.glob("mode-*.npz"))[:-1]
    for piece in pieces:
        (where / piece.name).write_bytes(piece.read_bytes())
    return len(pieces)


def test_a_folder_belongs_to_one_plan(done):
    with pytest.raises(InputError, match="another calibration"):
        calibrate(replace(PLAN, seed=9), done[0], workers=1)


def test_the_members_come_nearer_to_what_was_reported(done):
    """Nearer, step by step, than the middle of the prior, where the optimiser began."""
    course = done[1]
    seen = np.array([observed(each) for _, each in PLAN.targets])
    middle = np.nanmean((course.mode.predicted[0] - seen) ** 2)
    apart = [np.nanmean((np.nanmean(step, axis=0) - seen) ** 2) for step in course.predicted]
    assert max(apart) < 0.8 * middle


def test_the_optimiser_keeps_the_runs_about_its_end(done):
    """One try: the middle of the prior, and a run on either side of it for each parameter; as many moves of members."""
    mode, (mean, _) = done[1].mode, PLAN.prior
    assert len(mode.course) == 1
    assert np.array_equal(mode.parameters, mean)
    assert mode.predicted.shape == (1 + 2 * len(PLAN.names), len(PLAN.targets))
    assert done[1].parameters.shape == (PLAN.steps + 2, PLAN.members, len(PLAN.names))


def test_sets_with_the_same_patients_differ_by_their_parameters_only(done):
    """What does not act on ZUMA-1 changes nothing, to the last bit; what acts on it changes what it should."""
    runs = MemberRuns(PLAN, Pieces(done[0]))
    middle = np.log(np.ones(len(PLAN.names)))
    sets = np.array([middle, middle, middle])
    sets[1, PLAN.names.index("expansion:myeloma")] += 1.0
    sets[2, PLAN.names.index("expansion:lbcl")] += 1.0
    predicted, error = runs.same_patients(sets)
    assert np.array_equal(predicted[0], predicted[1], equal_nan=True)
    peak = next(k for k, (_, each) in enumerate(PLAN.targets) if each.kind == "kinetics")
    assert predicted[2, peak] > predicted[0, peak] + 0.3
    assert np.linalg.eigvalsh(error).min() > 0


def test_only_what_acts_on_a_trial_is_moved_by_it(done):
    """ZUMA-1 treats lymphoma with a CD28 product; nothing in it speaks of myeloma or 4-1BB."""
    first, last = done[1].parameters[0], done[1].parameters[-1]
    moved = {name: not np.array_equal(first[:, k], last[:, k]) for k, name in enumerate(PLAN.names)}
    assert moved["expansion:lbcl"]
    assert moved["contraction:CD28"]
    assert moved["zuma-1/expansion"]
    assert not (moved["expansion:myeloma"])
    assert not (moved["contraction:4-1BB"])
    assert not (moved["onset:cilta_cel"])


def test_the_variance_of_a_left_out_trial_adds_up_for_a_linear_simulator():
    """y = slopes . theta for both trials: known slopes, so each part of the variance is known."""
    plan = Plan(members=4000, steps=1, trials=("juliet", "zuma-1"))
    mean, sd = plan.prior
    theta = begin(plan.members, mean, sd, seed=3)
    slope = plan.acts * np.random.default_rng(4).normal(0, 0.3, plan.acts.shape)
    error = np.diag([chance_variance(each) for _, each in plan.targets])
    said = theta @ slope.T
    mode = Mode(mean, (np.zeros(len(slope)), slope), theta, said, (), "")
    found = Calibration(plan, mode, np.array([theta, theta]), said[None, :0], error)
    table = found.variance_without("zuma-1")
    own = [k for k, (name, _) in enumerate(plan.targets) if name == "zuma-1"]
    of_parameters = [k for k, name in enumerate(plan.names) if "/" not in name]
    alone = found._moved_without("zuma-1")[:, of_parameters] @ slope[np.ix_(own, of_parameters)].T
    assert (table["alone"] + table["shared"]).to_numpy() == pytest.approx(alone.var(axis=0, ddof=1), rel=0.25)
    effects = 0.15**2 * (slope[own][:, [k for k, name in enumerate(plan.names) if name.startswith("zuma-1/")]] ** 2)
    assert table["trial_effects"].to_numpy() == pytest.approx(effects.sum(axis=1))
    assert table["chance"].to_numpy() == pytest.approx(np.diag(error)[own])


def test_a_run_that_stops_early_is_refused(monkeypatch):
    from livingdrug.errors import SolveError
    from livingdrug.trials import member_runs
    from livingdrug.trials.outcomes import Outcomes

    def stopped(protocol, arm, ids, *_, **__):
        return Outcomes.of(ids, {"infused": np.ones(len(ids), bool), "solved": np.arange(len(ids)) % 20 > 0})

    monkeypatch.setattr(member_runs, "simulate_arm", stopped)
    with pytest.raises(SolveError, match="JULIET: 5 of 100 infused patients were not solved"):
        member_runs.pools(Protocol.builtin("juliet"), {"expansion:lbcl": np.ones(2)}, 50, 1, seed=1)


def test_settings_of_a_trial_hold_its_own_effects_only():
    plan = Plan(members=3)
    found = member_settings(plan, "eliana", np.zeros((3, len(plan.names))))
    assert set(found) == {f.name for f in free_parameters()} | {
        f"trial_effect:{name}" for name in ("expansion", "killing", "cytokine_gain", "brain_sensitivity")
    }
    assert np.all(found["expansion:lbcl"] == 1.0)
    assert np.all(found["trial_effect:killing"] == 0.0)


def test_at_most_thirty_parameters_are_free():
    assert len(free_parameters()) <= 30


def test_an_ensemble_comes_back_from_its_file(done, tmp_path):
    path = save_ensemble(done[1].ensemble, {"made": "2026-01-01"}, tmp_path / "one.csv")
    found = parse_ensemble("one", path.read_text(encoding="utf-8"))
    assert found.provenance == {"made": "2026-01-01"}
    for name, values in done[1].ensemble.items():
        assert found.settings[name] == pytest.approx(values, rel=1e-5)
    with pytest.raises(InputError, match="never written over"):
        save_ensemble(done[1].ensemble, {}, path)
    changed = path.read_text(encoding="utf-8")
    other = "8" if changed[-10] == "9" else "9"
    with pytest.raises(InputError, match="hash"):
        parse_ensemble("one", changed[:-10] + other + changed[-9:])


def test_the_shipped_ensemble_has_a_hundred_sets_and_says_how_it_was_made():
    found = load_ensemble()
    assert len(found) >= 100
    assert set(found.settings) == {f.name for f in free_parameters()}
    assert {"made", "how", "body", "trials"} <= set(found.provenance)


def test_the_shipped_ensemble_is_that_of_the_default_plan_and_of_this_body():
    """Its header says what ``Plan()`` and the body say, so ``livingdrug calibrate FOLDER`` makes it again."""
    from livingdrug.body.twin import TwinBody

    found, plan = load_ensemble(), Plan()
    assert found.provenance["how"] == (
        f"{plan.tried} tries with {plan.same_patients} patients, {plan.members} members, {plan.steps} steps, "
        f"{plan.patients} patients, seed {plan.seed}"
    )
    assert found.provenance["trials"] == ", ".join(plan.trials)
    assert found.provenance["body"] == TwinBody.fingerprint
    assert (*found.settings, *found.trial_effects) == plan.names


def test_a_calibration_that_is_killed_goes_on_bit_for_bit_with_any_workers(done, tmp_path):
    """A process that is killed without warning leaves whole pieces only; the next ends at the same numbers.

    A piece that was damaged since is made again, the others are used.
    """
    code = (
        "from livingdrug.trials.calibration import Plan, calibrate\n"
        "plan = Plan(members=20, tried=1, same_patients=60, steps=2, patients=50, trials=('zuma-1',))\n"
        f"calibrate(plan, {str(tmp_path)!r}, workers=1)\n"
    )
    folder, whole = done
    already = begun(folder, tmp_path)
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        until = time.monotonic() + 60
        while len(list(tmp_path.glob("*.npz"))) == already and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(before) > already, "no piece was finished before the kill"
    damaged = sorted(before)[1]
    (tmp_path / damaged).write_bytes((folder / damaged).read_bytes()[:100])
    again = calibrate(PLAN, tmp_path, workers=2)
    assert np.array_equal(again.parameters, whole.parameters)
    assert {path.name for path in tmp_path.glob("*.npz")} == {path.name for path in folder.glob("*.npz")}
    made = {name for name, when in before.items() if (tmp_path / name).stat().st_mtime_ns != when}
    assert made == {damaged}  # no other was made twice


def test_an_unknown_ensemble_is_told_with_the_nearest():
    with pytest.raises(InputError, match="2026"):
        load_ensemble("2026-11-2")


def small() -> Ensemble:
    full = load_ensemble()
    return Ensemble("small", {name: values[:3] for name, values in full.settings.items()}, {}, full.hash)


def test_the_coverage_table_counts_what_it_shows():
    table = coverage_table(small(), trials=("zuma-1",), workers=1)
    assert len(table) == 16
    assert table["counted"].all()
    inside = (table["low"] <= table["observed"] + 0.5) & (table["observed"] - 0.5 <= table["high"])
    assert not (table["inside"] & ~inside).any()
    counted = coverage_summary(table)
    assert counted.loc[0, "share"] == pytest.approx(table["inside"].mean())
    assert set(counted["by"]) == {"all", "trial", "class"}


def test_a_product_without_a_calibration_trial_varies_more():
    settings = {name: np.ones(400) for name in ("expansion:lbcl", "contraction:CD28")}
    felix, zuma = Protocol.builtin("felix"), Protocol.builtin("zuma-7")
    new = prediction_settings(settings, felix, felix.arms[0], seed=1)
    known = prediction_settings(settings, zuma, next(arm for arm in zuma.arms if arm.product), seed=1)
    assert new["killing:obe_cel"].std() > 0.2
    assert not any(name.endswith(":axi_cel") for name in known)
    assert known["trial_effect:killing"].std() == pytest.approx(new["trial_effect:killing"].std(), rel=0.3)


def test_a_forecast_of_a_randomised_trial_has_both_arms_hazard_ratios_and_naive_lines(tmp_path):
    found = freeze(small(), [Protocol.builtin("zuma-7")], workers=1)
    table = found.table
    twin = table[table["forecaster"] == "twin"]
    assert {"axi-cel", ""} <= set(twin["arm"])
    assert len(set(twin["arm"])) == 3
    ratio = twin[twin["statistic"] == "hazard ratio"]
    assert len(ratio)
    assert (ratio["q50"] > 0).all()
    naive = table[table["forecaster"] != "twin"]
    assert {"crs any", "crs >= 3"} <= set(naive["endpoint"])
    assert {"frozen", "ensemble sha256", "seed"} <= set(found.provenance)
    assert isinstance(pd.read_csv(found.write(tmp_path / "f.csv"), comment="#"), pd.DataFrame)


def test_the_naive_forecasts_know_the_calibration_trials_only():
    assert set(reported_numbers()["trial"]) <= {Protocol.builtin(t).label for t in Plan().trials}


def test_the_naive_forecasts_speak_of_shares_in_per_cent():
    found = reported_numbers()
    assert set(found[found["statistic"] == "proportion"]["unit"]) == {"%"}
