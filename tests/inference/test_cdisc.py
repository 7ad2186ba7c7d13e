"""CDISC's tables.

The transport files beside this test hold two invented patients and were written once by pyreadstat 1.3.7; every
expected number is that which was put in, or the difference of two dates that stand in the same row.
"""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.inference.cdisc import read_cdisc, read_parameters, read_transport
from livingdrug.inference.data import read_data

FILES = Path(__file__).parent / "cdisc"
BLOOD, MARROW = "CARTR/BLOOD", "CARTR/BONE MARROW"


def blood_and_marrow(**options):
    return read_cdisc(
        FILES / "pc.xpt", exposure=FILES / "ex.xpt", demographics=FILES / "dm.xpt", treatment="CELLS", **options
    )


def test_kinetics_doses_and_people_meet():
    data = blood_and_marrow()
    assert data.ids == ("S1-001", "S1-002")
    assert set(data.endpoints) == {BLOOD, MARROW}
    assert data.units[BLOOD] == "copies/ug"
    # infusion 2026-03-01T10:00; samples on 03-01T08:00 and on 03-08, 03-11 and 03-29 at 10:00
    first = data.take([0]).endpoint(BLOOD)
    assert first.time == pytest.approx([-2 / 24, 7, 10, 28])
    assert first.value.tolist() == [50, 400.5, 8000, 50]
    assert first.censoring.tolist() == [1, 0, 0, 1]  # "BLQ", and "<50" beside a number that is half the limit
    second = data.take([1]).endpoint(BLOOD)
    assert second.time == pytest.approx([7, 28])  # the row NOT DONE is gone
    assert second.censoring.tolist() == [0, 1]  # "<LLOQ": the limit stands in PCLLOQ
    assert second.lloq.tolist() == [50, 50]
    assert data.endpoint(MARROW).value.tolist() == [1200]
    assert data.doses.amount.tolist() == [1.5e8, 2.25e8]
    assert data.units["amount"] == "cells"
    assert data.doses.duration == pytest.approx([0.5 / 24, 0])
    assert data.covariate("AGE").tolist() == [61, 9]
    assert data.covariates["SEX"].levels == ("F", "M")


def test_study_days_serve_where_there_is_no_infusion_time():
    data = read_data(FILES / "pc.xpt")
    assert data.take([0]).endpoint(BLOOD).time.tolist() == [0, 7, 10, 28]  # PCDY 1, 8, 11, 29: there is no day 0


def test_flow_cytometry_in_cp():
    data = read_cdisc(FILES / "cp.xpt", exposure=FILES / "ex.xpt", treatment="CELLS", endpoints={"CARPOS": "flow"})
    seen = data.endpoint("flow")
    assert seen.value.tolist() == [0.1, 12, 310, 0.1, 44, 5000]
    assert seen.censoring.tolist() == [1, 0, 0, 1, 0, -1]  # ">5000" lies above
    assert data.units["flow"] == "cells/uL"


def test_the_analysis_table():
    data = read_cdisc(FILES / "adpc.xpt", covariates=["AGE", "SEX"])
    first = data.take([0]).observations
    assert first.time == pytest.approx([-2 / 24, 7, 10, 28])  # AFRLT -2, 168, 240 and 672 hours
    assert first.censoring.tolist() == [1, 0, 0, 1]
    assert first.value.tolist() == [50, 400.5, 8000, 50]
    assert data.covariate("AGE").tolist() == [61, 9]


def test_parameters():
    found = read_parameters(FILES / "pp.xpt")
    assert found["code"].tolist() == ["CMAX", "TMAX"]  # a reader that guesses the number of short rows loses the last
    assert found["value"].tolist() == [8000, 10]


def test_what_cannot_be_known_is_asked():
    with pytest.raises(InputError, match=r"CELLS, FLUDARABINE.*treatment="):
        read_cdisc(FILES / "pc.xpt", exposure=FILES / "ex.xpt")
    with pytest.raises(InputError, match="did you mean 'CELLS'"):
        read_cdisc(FILES / "pc.xpt", exposure=FILES / "ex.xpt", treatment="CELL")
    with pytest.raises(InputError, match="did you mean 'CARTR'"):
        read_cdisc(FILES / "pc.xpt", tests=["CART"])
    with pytest.raises(InputError, match="read_parameters"):
        read_cdisc(FILES / "pp.xpt")
    with pytest.raises(InputError, match="neither PC"):
        read_cdisc(FILES / "dm.xpt")
    with pytest.raises(InputError, match="need DM"):
        read_cdisc(FILES / "pc.xpt", covariates=["AGE"])
    with pytest.raises(InputError, match="columns="):
        read_data(FILES / "pc.xpt", columns={"ID": "USUBJID"})


def pc(**columns):
    rows = {
        "USUBJID": ["A", "A"],
        "PCTESTCD": ["CARTR", "CARTR"],
        "PCSTRESN": ["10", "20"],
        "PCSTRESC": ["10", "20"],
        "PCSTRESU": ["u", "u"],
        "PCDTC": ["2026-01-02T00:00", "2026-01-03T00:00"],
        "PCRFTDTC": ["2026-01-01T00:00", "2026-01-01T00:00"],
    }
    return pd.DataFrame({**rows, **columns})


def read(tmp_path, frame, **options):
    frame.to_csv(tmp_path / "pc.csv", index=False)
    return read_cdisc(tmp_path / "pc.csv", **options)


def test_a_table_as_csv_with_the_time_of_reference(tmp_path):
    assert read(tmp_path, pc()).observations.time.tolist() == [1, 2]
    zoned = pc(PCDTC=["2026-01-02T00:00+02:00", "2026-01-03"])
    assert read(tmp_path, zoned).observations.time == pytest.approx([1 - 2 / 24, 2])


def test_problems_of_a_table_name_row_and_column(tmp_path):
    for frame, words in (
        (pc(PCDTC=["2026-01-02T00:00", "2026-01"]), "row 2, subject A, PCDTC: no time"),
        (pc(PCSTRESN=["10", ""], PCSTRESC=["10", "HEMOLYZED"]), "row 2, subject A, PCSTRESN = HEMOLYZED: not a number"),
        (pc(PCSTRESN=["10", ""], PCSTRESC=["10", "BLQ"]), "row 2, subject A, PCSTRESC = 1: censored without a limit"),
        (pc(PCSTRESU=["u", "v"]), "two units"),
        (pc().drop(columns=["PCDTC"]), "time of the samples cannot be found"),
        (pc().drop(columns=["PCSTRESN"]), "PCSTRESN is missing"),
    ):
        with pytest.raises(InputError, match=words):
            read(tmp_path, frame)


def test_the_unit_of_relative_times_is_not_guessed(tmp_path):
    frame = pd.DataFrame({"USUBJID": ["A"], "PARAMCD": ["X"], "AVAL": [3.0], "AFRLT": [24.0]})
    with pytest.raises(InputError, match="time_unit"):
        read(tmp_path, frame)
    assert read(tmp_path, frame, time_unit="hour").observations.time.tolist() == [1]
    seconds = frame.drop(columns="AFRLT").assign(ADTM=[2_000_086_400.0], TRTSDTM=[2_000_000_000.0])
    assert read(tmp_path, seconds).observations.time.tolist() == [1]


def test_damaged_transport_files_raise_nothing_but_input_errors(tmp_path):
    rng = random.Random(5)
    whole = (FILES / "pc.xpt").read_bytes()
    for number in range(60):
        content = bytearray(whole[: rng.randrange(len(whole))] if number % 3 == 0 else whole)
        for _ in range(rng.choice((1, 5, 30)) if content else 0):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file = tmp_path / f"{number}.xpt"
        file.write_bytes(content)
        try:
            read_cdisc(file)
        except InputError:
            continue
    for content in (b"", b"HEADER RECORD", b"\0" * 4000):
        (tmp_path / "x.xpt").write_bytes(content)
        with pytest.raises(InputError, match="transport"):
            read_transport(tmp_path / "x.xpt")
