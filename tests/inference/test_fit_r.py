"""Fits beside R's lme4 and nlme, where theirs is the same likelihood: models that are linear in the random effects.

The expected numbers are R's: of ``r/fit.R`` on the made-up data beside it (and on Orange), by lme4 1.1-31 and nlme
3.1-162 under R 4.2.2, kept in ``r/references.csv``. Where R is present the script runs again and must say the same.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from livingdrug.inference.estimation import fit
from livingdrug.inference.result import FitResult
from livingdrug.inference.saem import SaemSettings


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sets, cases = _beside("fit_sets"), _beside("r_cases")
R = cases.references(cases.FOLDER / "references.csv")
WITHIN = {"focei": 5e-5, "laplace": 5e-5, "quadrature": 5e-5, "saem": 1e-3}
"""Relative: the exact methods end at R's maximum; the sums of SAEM are drawn."""


def compare(found: FitResult, theirs: dict[str, float], names: dict[str, str], deviance: float = 1e-5) -> None:
    """Every value as R's, and -2 log likelihood, where it is drawn within four of its standard errors."""
    assert found.converged_, found.verdict_
    away = {ours: found.estimates_[ours] / theirs[name] - 1 for name, ours in names.items()}
    assert max(map(abs, away.values())) < WITHIN[found.method_], away
    assert abs(found.minus2ll_ - theirs["deviance"]) < max(deviance, 4 * found.minus2ll_se_)


@pytest.mark.parametrize("method", WITHIN)
@pytest.mark.parametrize("name", cases.CASES)
def test_linear_models_end_where_lme4_and_nlme_end(name: str, method: str) -> None:
    model, data, names = cases.CASES[name]()
    found = fit(model, data, method, nodes=3, saem=SaemSettings(200, 150))
    for program in ("lme4", "nlme"):
        theirs = R[name, program]
        compare(found, theirs | {"deviance": theirs["deviance"] + cases.logarithms(name, data)}, names)


@pytest.mark.parametrize("method", ["focei", "quadrature"])
def test_a_curve_with_one_effect_in_front_ends_where_nlmer_ends(shared_data: Path, method: str) -> None:
    """nlmer stops its inner iteration early: ours is the higher likelihood, by 1.3e-5."""
    model, data = sets.orange(shared_data)
    found = fit(model, data, method)
    compare(found, R["orange", "lme4"], cases.ORANGE, deviance=1e-4)


def r_is_here() -> bool:
    """Whether R, lme4 and nlme are installed."""
    has = "quit(status = !all(sapply(c('lme4', 'nlme'), requireNamespace, quietly = TRUE)))"
    return bool(shutil.which("Rscript")) and not subprocess.run(["Rscript", "-e", has], check=False).returncode


if r_is_here():  # no skipped test where it is not: its numbers, which are kept, are checked above all the same

    def test_r_still_says_what_is_kept(tmp_path: Path) -> None:
        file = tmp_path / "references.csv"
        with file.open("w", encoding="utf-8") as out:
            subprocess.run(["Rscript", str(cases.FOLDER / "fit.R"), str(cases.FOLDER)], check=True, stdout=out)
        found = cases.references(file)
        assert len(found) == 2 * len(cases.CASES)
        for key, values in found.items():
            assert values == pytest.approx(R[key], rel=1e-5), key
