"""The published and simulated data sets of the shared folder, each with its model; answers are in references.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from livingdrug.inference.closed_form import (
    ClosedForm,
    biexponential,
    emax,
    logistic_growth,
    one_compartment_oral,
    symbols,
)
from livingdrug.inference.data import EventData
from livingdrug.inference.residual import additive, proportional
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.model import exp, lognormal, normal, time


def references(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "nlme" / "references.json").read_text(encoding="utf-8"))


def _arrays(table: pd.DataFrame, **columns: Any) -> EventData:
    ids = list(dict.fromkeys(table["ID"]))
    subject = [ids.index(name) for name in table["ID"]]
    return EventData.from_arrays(ids=ids, subject=subject, **columns)


def theophylline(folder: Path, kind: str = "additive_with_t0") -> tuple[StatisticalModel, EventData]:
    name = "theophylline_lloq2.csv" if kind == "M3_lloq2" else "theophylline.csv"
    table = pd.read_csv(folder / "nlme" / name)
    if kind.endswith("without_t0"):
        table = table[(table["TIME"] > 0) | (table["EVID"] == 1)]
    residual = proportional(0.3) if kind.startswith("proportional") else additive(1.0)
    parameters = {
        "ka": Estimate(1.2, lognormal(0.5)),
        "CL": Estimate(3.5, lognormal(0.4)),
        "V": Estimate(25.0, lognormal(0.3)),
    }
    model = StatisticalModel(one_compartment_oral(), parameters, Endpoint("concentration", residual))
    return model, EventData.from_frame(table)


def wang(folder: Path, residual: Any, start: float = 0.5, sd: float = 0.2) -> tuple[StatisticalModel, EventData]:
    table = pd.read_csv(folder / "nlme" / "wang2007.csv")
    (ke,) = symbols("ke")
    form = ClosedForm("wang2007", 10 * exp(-ke * time))
    model = StatisticalModel(form, {"ke": Estimate(start, lognormal(sd))}, Endpoint("value", residual))
    return model, _arrays(table, time=table["TIME"], value=table["DV"])


def orange(folder: Path) -> tuple[StatisticalModel, EventData]:
    table = pd.read_csv(folder / "nlme" / "orange_trees.csv")
    parameters = {
        "Asym": Estimate(170.0, normal(20.0)),
        "xmid": Estimate(700.0, scale="normal"),
        "scal": Estimate(300.0, scale="normal"),
    }
    model = StatisticalModel(logistic_growth(), parameters, Endpoint("size", additive(10.0)))
    return model, _arrays(table, time=table["TIME"], value=table["DV"])


def virus(folder: Path, limit: int | None = None) -> tuple[StatisticalModel, EventData]:
    table = pd.read_csv(folder / "nlme" / "hiv_virload_sim.csv")
    columns = {"time": table["TIME"], "value": table["DV"]}
    if limit:
        columns |= {"value": table[f"DV_LLOQ{limit}"], "censoring": table[f"CENS_LLOQ{limit}"]}
    parameters = {
        "P1": Estimate(10000.0, lognormal(1.5)),
        "l1": Estimate(0.25, lognormal(0.5)),
        "P2": Estimate(150.0, lognormal(1.0)),
        "l2": Estimate(0.025, lognormal(0.5)),
    }
    model = StatisticalModel(biexponential(), parameters, Endpoint("load", additive(0.3), scale="natural"))
    return model, _arrays(table, **columns)


def actg(folder: Path) -> tuple[StatisticalModel, EventData]:
    table = pd.read_csv(folder / "nlme" / "actg315_hiv.csv")
    table = table[table["TIME"] <= 84]
    parameters = {
        "P1": Estimate(1e5, lognormal(1.0)),
        "l1": Estimate(0.3, lognormal(0.4)),
        "P2": Estimate(2000.0, lognormal(1.0)),
        "l2": Estimate(0.03, lognormal(0.8)),
    }
    model = StatisticalModel(biexponential(), parameters, Endpoint("load", additive(0.3)))
    return model, _arrays(table, time=table["TIME"], value=table["DV"], censoring=table["CENS"])


def response(folder: Path, replicate: int = 1) -> tuple[StatisticalModel, EventData]:
    table = pd.read_csv(folder / "nlme" / "emax_rich_prop_2rep.csv")
    table = table[table["REP"] == replicate]
    frame = table.assign(TIME=np.tile(np.arange(4.0), 100))
    data = EventData.from_frame(frame[["ID", "TIME", "DOSE", "DV"]])
    parameters = {
        "E0": Estimate(4.0, lognormal(0.4)),
        "Emax": Estimate(25.0, lognormal(0.5)),
        "ED50": Estimate(400.0, lognormal(0.5)),
    }
    endpoint = Endpoint("effect", proportional(0.2))
    return StatisticalModel(emax(), parameters, endpoint, omega="full"), data
