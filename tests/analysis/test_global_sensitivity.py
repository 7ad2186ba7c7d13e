"""Sobol indices against closed forms and against the estimator of SciPy."""

import numpy as np
import pytest

from livingdrug.analysis import sobol
from livingdrug.errors import InputError, MissingExtra, SolveError
from livingdrug.library import load_model

pytest.importorskip("SALib", reason="global sensitivity needs SALib (the extra 'fit')")
CUBE = dict.fromkeys(("x1", "x2", "x3"), (-np.pi, np.pi))
# Saltelli et al. 2008, Global Sensitivity Analysis, section 4.8 (a = 7, b = 0.1), as closed forms below.
A, B = 7.0, 0.1
VARIANCE = A**2 / 8 + B * np.pi**4 / 5 + B**2 * np.pi**8 / 18 + 0.5
FIRST = np.array([0.5 * (1 + B * np.pi**4 / 5) ** 2, A**2 / 8, 0.0]) / VARIANCE
BOTH_1_3 = B**2 * np.pi**8 * (1 / 18 - 1 / 50) / VARIANCE
TOTAL = FIRST + np.array([BOTH_1_3, 0.0, BOTH_1_3])


@pytest.fixture(scope="module")
def ishigami(models):
    return sobol(models.Ishigami, "ishigami at 1", CUBE, runs=100_000, second_order=True, seed=1)


def test_ishigami(ishigami):
    """Within 0.02 of the closed form, and within the reported 95 % interval for at least 8 of 9 indices."""
    assert ishigami.first[0] == pytest.approx(FIRST, abs=0.02)
    assert ishigami.total[0] == pytest.approx(TOTAL, abs=0.02)
    pairs = ishigami.pairs.set_index(["parameter", "other"])
    expected = {("x1", "x2"): 0.0, ("x1", "x3"): BOTH_1_3, ("x2", "x3"): 0.0}
    for pair, value in expected.items():
        assert pairs.loc[pair, "second"] == pytest.approx(value, abs=0.03)
    off = np.abs([*(ishigami.first[0] - FIRST), *(ishigami.total[0] - TOTAL)])
    widths = [*ishigami.first_error[0], *ishigami.total_error[0]]
    inside = sum(off <= widths) + sum(
        row["second_low"] <= expected[row["parameter"], row["other"]] <= row["second_high"]
        for row in ishigami.pairs.to_dict("records")
    )
    assert inside >= 8
    assert ishigami.runs == 8192 * 8
    assert (ishigami.failed, ishigami.undefined, ishigami.groups_kept) == (0, (0,), (8192,))


def test_against_scipy(ishigami):
    """scipy.stats.sobol_indices on the plain function: other code, other sample; both within 0.02 of each other."""
    from scipy import stats

    def function(x):
        return np.sin(x[0]) + A * np.sin(x[1]) ** 2 + B * x[2] ** 4 * np.sin(x[0])

    uniform = [stats.uniform(-np.pi, 2 * np.pi)] * 3
    found = stats.sobol_indices(func=function, n=8192, dists=uniform, rng=np.random.default_rng(5))
    assert ishigami.first[0] == pytest.approx(found.first_order, abs=0.02)
    assert ishigami.total[0] == pytest.approx(found.total_order, abs=0.02)


def test_product_of_lognormals(models):
    """Closed forms with e_i = exp(s_i^2): first (e_i - 1) / (prod e - 1), total times the others' e."""
    found = sobol(models.Product, "product at 1", "spread", runs=60_000, seed=2)
    e = np.exp(np.array([0.5, 0.3, 0.2]) ** 2)
    assert found.first[0] == pytest.approx((e - 1) / (e.prod() - 1), abs=0.02)
    assert found.total[0] == pytest.approx((e - 1) * e.prod() / e / (e.prod() - 1), abs=0.02)
    assert found.table["parameter"].tolist() == ["a", "b", "c"]


def test_logarithmic_ranges(models):
    """ln-uniform on [1/r, r]: E p = (r - 1/r) / (2 ln r), E p^2 = (r^2 - 1/r^2) / (4 ln r)."""
    found = sobol(models.Product, "product at 1", {"a": "x3", "b": "x2"}, runs=30_000)
    r = np.array([3.0, 2.0])
    e = (r**2 - r**-2) / (4 * np.log(r)) / ((r - 1 / r) / (2 * np.log(r))) ** 2
    assert found.first[0] == pytest.approx((e - 1) / (e.prod() - 1), abs=0.02)


def test_same_seed_same_indices_for_any_number_of_threads(models):
    options = {"runs": 2000, "seed": 7}
    words = ["tumour_cells at 60", "auc tumour_cells 0 60"]
    one, two = (sobol(models.Treated, words, "x2", threads=threads, **options) for threads in (1, 2))
    other = sobol(models.Treated, words, "x2", runs=2000, seed=8)
    for name in ("first", "first_error", "total", "total_error"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


def test_failed_runs_are_told_and_their_base_points_left_out(models):
    """Explosion fails where k > 0.1, i.e. in a fifth of 0.05 to 0.1125; the rest is whole base points."""
    found = sobol(models.Explosion, "size at 1", {"k": (0.05, 0.1125), "other": "10%"}, runs=4096, seed=3)
    assert 0 < found.failed < found.runs / 2
    assert found.groups_kept[0] < found.groups == 1024
    assert f"{found.failed} of {found.runs} runs failed" in found.caption
    assert "base points were left out" in found.caption
    assert np.isfinite(found.first).all()


def test_levels_that_are_never_reached_are_told(models):
    words = ["day tumour_cells below 100", "day tumour_cells below 100 else 100"]
    found = sobol(models.Treated, words, {"kill": (0.3, 0.7), "growth": "10%"}, runs=2000)
    assert found.failed == 0
    assert found.undefined[0] > 0 == found.undefined[1]
    assert "had no number" in found.caption


def test_a_quantity_that_does_not_vary_has_no_indices(models):
    found = sobol(models.Treated, "max tumour_cells", {"stop": (5, 10), "kill": (0.5, 0.6)}, runs=100, days=12)
    assert np.isnan(found.first).all()


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"runs": 5}, InputError, "at least 32 runs"),
        ({"runs": 1e5}, InputError, "whole number"),
        ({"confidence": 1.0}, InputError, "confidence"),
        ({"days": -1}, InputError, "days"),
        ({"seed": -1}, InputError, "seed"),
    ],
)
def test_wrong_input(models, change, error, named):
    with pytest.raises(error, match=named):
        sobol(models.Treated, "max tumour_cells", {"kill": "x2", "growth": "x2"}, **change)


def test_nothing_solved_is_an_error(models):
    with pytest.raises(SolveError, match="no run could be solved"):
        sobol(models.Explosion, "max size", {"k": (0.2, 0.3), "other": "x2"}, runs=100)


def test_without_salib_the_message_says_what_to_install(models, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "SALib.sample.sobol", None)
    with pytest.raises(MissingExtra, match=r"livingdrug\[fit\]"):
        sobol(models.Treated, "max tumour_cells", "x2", runs=100)


@pytest.mark.parametrize("name", ["kimmel2021", "stein2019", "kirouac2023"])
def test_models_of_the_library_with_all_parameters(name):
    """First never exceeds total by more than their intervals allow, and no run fails."""
    model = load_model(name)
    output = next(iter(model.outputs))
    found = sobol(model, [f"max {output}", f"auc {output} 0 28"], "10%", runs=4000, days=60)
    assert found.failed == 0
    slack = 2 * (found.first_error + found.total_error) + 0.02
    assert (found.first <= found.total + slack).all()
