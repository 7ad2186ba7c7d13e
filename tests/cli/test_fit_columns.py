"""`livingdrug fit` on files that say more: two endpoints of a solved model, columns that move in time, and classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from livingdrug.cli.fit import fit
from livingdrug.engine.solve import Change, solve
from livingdrug.library.mueller_schoell2021 import MuellerSchoell2021
from livingdrug.library.stein2019 import transgene

DAYS = np.array([3.0, 7, 10, 14, 21, 28, 60])
MOVED = 8.0  # day from which the ratio of some patients is another
TWO_ENDPOINTS = """
[columns]
cd4_cd8_ratio = "RATIO"
[parameters.reference_expansion]
sd = 0.4
[parameters.central_killing]
spread = "none"
[endpoints.tumour]
residual = "proportional"
start = [0.2]
"""
HELD = """
[parameters]
fold_expansion = 3900
peak_day = 9.3
persistent_fraction = 0.0079
decline = 0.0032
contraction = 0.16
"""
MOVING_EFFECT = (
    HELD
    + """
[parameters.peak]
covariates = [{ column = "WT", form = "power", centre = 70.0 }]
"""
)
CLASSES = (
    HELD
    + """
[mixture]
parameter = "peak"
shifts = { low = -1.0 }
"""
)


def run(*words: Any) -> Any:
    application = typer.Typer()
    application.command()(fit)
    return CliRunner().invoke(application, [str(word) for word in words])


def courses(expansion: np.ndarray, ratio: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """CAR T cells and tumour of patients whose ratio of CD4 to CD8 becomes another on a day."""
    solution = solve(
        MuellerSchoell2021, {"reference_expansion": expansion, "cd4_cd8_ratio": ratio}, DAYS,
        outputs=["car_t_blood", "tumour"], rtol=1e-9, doses=[Change("cd4_cd8_ratio", moved, MOVED)],
    )  # fmt: skip
    return solution.values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    path, random, count = tmp_path_factory.mktemp("columns"), np.random.default_rng(6), 12
    ratio = np.exp(0.4 * random.standard_normal(count))
    moved = np.where(np.arange(count) % 2, 5 * ratio, ratio)
    true = courses(0.00846 * np.exp(0.4 * random.standard_normal(count)), ratio, moved)
    true[..., 0] *= np.exp(0.3 * random.standard_normal((count, len(DAYS))))
    true[..., 1] *= 1 + 0.1 * random.standard_normal((count, len(DAYS)))
    lines = [
        {"ID": f"P{k}", "TIME": day, "DV": true[k, j, e], "DVID": name, "RATIO": (ratio if day < MOVED else moved)[k]}
        for k in range(count)
        for j, day in enumerate(DAYS)
        for e, name in enumerate(("car_t_blood", "tumour"))
    ]
    pd.DataFrame(lines).to_csv(path / "two.csv", index=False)
    (path / "two.toml").write_text(TWO_ENDPOINTS)
    value = transgene(DAYS, peak=24000 * np.exp(0.3 * random.standard_normal((count, 1))))
    frame = pd.DataFrame({"ID": np.repeat([f"P{k}" for k in range(count)], len(DAYS)), "TIME": np.tile(DAYS, count)})
    frame["DV"] = (value * np.exp(0.3 * random.standard_normal(value.shape))).ravel()
    frame["WT"] = np.where((frame["ID"] == "P3") & (frame["TIME"] > 20), 60, np.repeat(55 + 3 * np.arange(count), 7))
    frame.to_csv(path / "weights.csv", index=False)
    (path / "weights.toml").write_text(MOVING_EFFECT)
    return path


def test_two_endpoints_and_a_moving_column_of_a_solved_model(folder: Path) -> None:
    """IPRED of both endpoints are the courses of the patient's own expansion under the ratio that moves."""
    words = ("--spec", folder / "two.toml", "-m", "focei", "--errors", "none", "--no-report", "-o", folder / "two")
    result = run("mueller_schoell2021", folder / "two.csv", *words)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(folder / "two" / "diagnostics.csv", dtype={"ID": str})
    data = pd.read_csv(folder / "two.csv")
    facts = json.loads((folder / "two" / "fit.json").read_text(encoding="utf-8"))["estimates"]
    eta = pd.read_csv(folder / "two" / "effects.csv", dtype={"ID": str}).set_index("ID")
    for k, who in enumerate(dict.fromkeys(data["ID"])):
        mine = data[data["ID"] == who]
        own = facts["reference_expansion"] * np.exp(eta.loc[who, "reference_expansion"])
        first, later = np.asarray(mine["RATIO"])[[0, -1]]
        killing = np.array([facts["central_killing"]])
        expected = solve(
            MuellerSchoell2021,
            {"reference_expansion": np.array([own]), "cd4_cd8_ratio": np.array([first]), "central_killing": killing},
            DAYS, outputs=["car_t_blood", "tumour"], rtol=1e-9, doses=[Change("cd4_cd8_ratio", later, 10.0)],
        ).values[0]  # fmt: skip
        for e, name in enumerate(("car_t_blood", "tumour")):
            found = np.asarray(table[(table["ID"] == who) & (table["ENDPOINT"] == name)]["IPRED"])
            scaled = np.log(expected[:, 0]) if e == 0 else expected[:, e]  # its residual is that of logarithms
            assert found == pytest.approx(scaled, rel=1e-4, abs=1e-4), (k, name)
    assert facts["car_t_blood:a"] == pytest.approx(0.3, abs=0.08)  # as simulated
    assert facts["tumour:b"] == pytest.approx(0.1, abs=0.03)


def test_an_effect_of_a_moving_column_says_what_it_takes(folder: Path) -> None:
    words = ("--spec", folder / "weights.toml", "-m", "focei", "--errors", "none", "--no-report", "-o", folder / "w")
    result = run("stein2019", folder / "weights.csv", *words)
    assert result.exit_code == 0, result.output
    assert "'WT' moves in time" in " ".join(result.output.split())
    assert "takes its value at the first sample used" in " ".join(result.output.split())


def test_classes_of_patients_are_found_and_named(tmp_path: Path) -> None:
    """Every third patient expands twelve times less; the report, the summary and the table say who."""
    random, count = np.random.default_rng(8), 24
    low = np.arange(count) % 3 == 0
    peak = 24000 * np.exp(0.3 * random.standard_normal(count) - np.log(12) * low)
    value = transgene(DAYS, peak=peak[:, None]) * np.exp(0.3 * random.standard_normal((count, len(DAYS))))
    frame = pd.DataFrame({"ID": np.repeat(range(count), len(DAYS)), "TIME": np.tile(DAYS, count), "DV": value.ravel()})
    frame.to_csv(tmp_path / "classes.csv", index=False)
    (tmp_path / "classes.toml").write_text(CLASSES)
    words = ("--spec", tmp_path / "classes.toml", "-o", tmp_path / "out", "--method", "focei", "--replicates", 100)
    result = run("stein2019", tmp_path / "classes.csv", *words)
    assert result.exit_code == 0, result.output
    assert f"classes: reference {(~low).sum()}, low {low.sum()} " in result.output
    patients = pd.read_csv(tmp_path / "out" / "effects.csv")
    assert list(patients) == ["ID", "CLASS", "CHANCE", "peak"]
    assert ((patients["CLASS"] == "low") == low).all()
    assert patients["CHANCE"].between(0.5, 1).all()
    facts = json.loads((tmp_path / "out" / "fit.json").read_text(encoding="utf-8"))
    assert facts["classes"] == {"reference": (~low).sum(), "low": low.sum()}
    assert facts["estimates"]["peak:class low"] == pytest.approx(-np.log(12), abs=0.3)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Who belongs to which class" in page
