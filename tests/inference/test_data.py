"""Event data sets: spellings, one store, and the way there and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.inference.data import EventData, read_data

FULL = """ID,TIME,AMT,DV,EVID,MDV,CMT,RATE,ADDL,II,SS,DVID,CENS,LIMIT,WT,SEX
A,0,100,.,1,1,1,50,2,7,.,.,.,.,70,F
A,1,.,12.5,0,0,.,.,.,.,.,qpcr,0,.,70,F
A,1,.,5,0,0,.,.,.,.,.,flow,1,2,70,F
A,9,.,900,0,0,.,.,.,.,.,qpcr,-1,.,80,F
B,0,.,.,2,1,.,.,.,.,.,.,.,.,65,M
B,0.5,200,.,4,1,2,-2,.,12,1,.,.,.,65,M
B,3,.,.,0,1,.,.,.,.,.,qpcr,.,.,65,M
B,4,.,3,0,0,.,.,.,.,.,flow,0,1,65,M
"""


def read(tmp_path, text, name="data.csv", **options):
    file = tmp_path / name
    file.write_text(text)
    return read_data(file, **options)


def test_every_column_of_the_format_reaches_its_place(tmp_path):
    data = read(tmp_path, FULL)
    assert data.ids == ("A", "B")
    assert data.endpoints == ("flow", "qpcr")
    seen = data.observations
    assert seen.subject.tolist() == [0, 0, 0, 1]  # the row with MDV 1 holds no value
    assert seen.value.tolist() == [12.5, 5, 900, 3]
    assert seen.censoring.tolist() == [0, 1, -1, 0]
    assert seen.limit.tolist()[1] == 2
    assert np.isnan(seen.limit[[0, 2, 3]]).all()
    assert seen.lloq.tolist()[1] == 5  # the value of a censored row is its limit
    assert seen.lloq.tolist()[3] == 1  # LIMIT on a measured row is its limit of quantification
    assert seen.row.tolist() == [2, 3, 4, 8]
    given = data.doses
    assert given.evid.tolist() == [1, 2, 4]
    assert given.amount.tolist() == [100, 0, 200]
    assert given.rate.tolist() == [50, 0, -2]
    assert given.duration.tolist()[:2] == [2, 0]  # 100 at 50 a day
    assert np.isnan(given.duration[2])
    assert (given.additional[0], given.interval[0], given.steady[2]) == (2, 7, 1)
    assert data.compartments == ("1", "2")
    assert given.compartment.tolist()[0::2] == [0, 1]
    assert data.covariate("WT").tolist() == [70, 65]
    assert data.covariates["SEX"].levels == ("F", "M")


def test_covariates_that_move_hold_until_the_next_value(tmp_path):
    weight = read(tmp_path, FULL).covariates["WT"]
    assert weight.varies
    assert weight.at([0, 0, 0, 0, 1], [-1, 8.9, 9, 99, 50]).tolist() == [70, 70, 80, 80, 65]


def test_the_two_spellings_of_a_limit_give_one_store(tmp_path):
    cens = read(tmp_path, "ID,TIME,DV,CENS\n1,1,50,1\n1,2,70,0\n")
    blq = read(tmp_path, "ID,TIME,DV,BLQ,LLOQ\n1,1,0,1,50\n1,2,70,0,50\n")
    lloq = read(tmp_path, "ID,TIME,DV,LLOQ\n1,1,3,50\n1,2,70,50\n")
    given = read(tmp_path, "ID,TIME,DV\n1,1,3\n1,2,70\n", lloq=50)
    in_dv = read(tmp_path, "ID,TIME,DV,BLQ\n1,1,50,1\n1,2,70,0\n")
    for data in (cens, blq, lloq, given, in_dv):
        assert data.observations.value.tolist() == [50, 70]
        assert data.observations.censoring.tolist() == [1, 0]
        assert data.observations.lloq[0] == 50


def test_with_cens_each_row_carries_its_own_limit(tmp_path):
    """A limit given for all fills in where a row has none; it does not overrule the row."""
    data = read(tmp_path, "ID,TIME,DV,CENS\n1,1,30,1\n1,2,0,1\n1,3,.,1\n1,4,80,0\n", lloq=50)
    assert data.observations.value.tolist() == [30, 50, 50, 80]
    assert data.observations.lloq.tolist() == [30, 50, 50, 50]
    column = read(tmp_path, "ID,TIME,DV,CENS,LLOQ\n1,1,25,1,50\n1,2,80,0,50\n")
    assert column.observations.value.tolist() == [50, 80]


def test_logarithms_may_have_a_limit_below_zero(tmp_path):
    data = read(tmp_path, "ID,TIME,DV,CENS\n1,1,-1,1\n1,2,-0.5,0\n", lloq=-1)
    assert data.observations.value.tolist() == [-1, -0.5]
    assert data.notes == ()


def test_each_endpoint_has_its_own_limit(tmp_path):
    text = "ID,TIME,DV,DVID\n1,1,30,1\n1,1,0.2,2\n1,2,60,1\n1,2,0.05,2\n"
    data = read(tmp_path, text, endpoints={"1": "qpcr", "2": "flow"}, lloq={"qpcr": 50, "flow": 0.1})
    assert data.endpoint("qpcr").censoring.tolist() == [1, 0]
    assert data.endpoint("flow").censoring.tolist() == [0, 1]  # 0.2 lies above its own limit and below the other's
    assert data.endpoint("flow").lloq.tolist() == [0.1, 0.1]
    assert data.endpoint("qpcr").value.tolist() == [50, 60]


def test_one_limit_for_all_leaves_the_right_side_alone(tmp_path):
    data = read(tmp_path, "ID,TIME,DV,CENS\n1,1,900,-1\n1,2,10,0\n", lloq=1)
    assert data.observations.censoring.tolist() == [-1, 0]
    assert data.observations.value.tolist() == [900, 10]


def test_without_evid_a_row_with_an_amount_is_a_dose(tmp_path):
    data = read(tmp_path, "ID,TIME,AMT,DV\n1,0,100,.\n1,1,.,3\n")
    assert len(data.doses) == len(data.observations) == 1


def test_other_names_and_other_separators(tmp_path):
    rows = [["subject", "day", "conc"], ["7", "1", "3"], ["7", "2", "4"]]
    columns = {"ID": "subject", "TIME": "day", "DV": "conc"}
    for name, separator in (("a.csv", ","), ("b.csv", ";"), ("c.tab", "\t"), ("d.dat", "   ")):
        text = "\n".join(separator.join(row) for row in rows) + "\n"
        assert read(tmp_path, text, name, columns=columns).observations.value.tolist() == [3, 4]


def test_hours_become_days(tmp_path):
    text = "ID,TIME,AMT,DV,RATE,ADDL,II\n1,0,48,.,24,1,12\n1,36,.,3,.,.,.\n"
    data = read(tmp_path, text, time_unit="hour")
    assert data.observations.time.tolist() == [1.5]
    # 24 an hour are 576 a day; 48 at that rate take 2 hours
    assert data.doses.rate.tolist() == [576]
    assert data.doses.duration == pytest.approx([2 / 24])
    assert data.doses.interval.tolist() == [0.5]


def test_additional_doses_are_unrolled():
    doses = {"subject": [0, 0], "time": [0, 5], "amount": [10, 1], "additional": [2, 0], "interval": [4, 0]}
    data = EventData.from_arrays(ids=["A"], subject=[0], time=[20], value=[1], doses=doses)
    every = data.doses.unrolled()
    assert every.time.tolist() == [0, 4, 5, 8]
    assert every.amount.tolist() == [10, 10, 1, 10]
    assert every.additional.tolist() == [0, 0, 0, 0]


def test_a_selection_keeps_the_rows_numbers_and_the_data_together():
    frame = pd.DataFrame({"ID": [1, 1, 2, 2], "TIME": [0, 1, 0, 1], "DV": [1.0, 2, 3, 4], "WT": [50, 60, 70, 80]})
    some = EventData.from_frame(frame[frame["ID"] == 2])
    assert some.observations.row.tolist() == [3, 4]
    swapped = EventData.from_frame(frame).take([1, 0])
    assert swapped.ids == ("2", "1")
    assert swapped.observations.value.tolist() == [3, 4, 1, 2]
    assert swapped.observations.subject.tolist() == [0, 0, 1, 1]
    assert swapped.covariates["WT"].at([0, 1], [1, 1]).tolist() == [80, 60]
    with pytest.raises(InputError, match="once"):
        swapped.take([0, 0])
    with pytest.raises(InputError, match="2 subjects"):
        swapped.take([2])


def test_arrays_cannot_be_changed_and_names_are_checked():
    data = EventData.from_arrays(ids=["A"], subject=0, time=[1, 2], value=[3, 4])
    with pytest.raises(ValueError, match="read-only"):
        data.observations.value[0] = 9
    with pytest.raises(InputError, match="did you mean"):
        EventData.from_arrays(ids=["A"], subject=0, time=[1], value=[3], covariates={"age": 4}).covariate("agee")
    with pytest.raises(InputError, match="endpoint"):
        data.endpoint("flow")
    with pytest.raises(InputError, match="one name"):
        EventData.from_arrays(ids=["A", "A"], subject=0, time=[1], value=[3])
    with pytest.raises(InputError, match="no index below 1"):
        EventData.from_arrays(ids=["A"], subject=[1], time=[1], value=[3])
    with pytest.raises(InputError, match="finite"):
        EventData.from_arrays(ids=["A"], subject=0, time=[np.inf], value=[3])
    for odd in (1.5, np.nan, 1e300):
        with pytest.raises(InputError, match=r"occasion must be whole numbers, got .* at index 1"):
            EventData.from_arrays(ids=["A"], subject=0, time=[1, 2], value=[3, 3], occasion=[1, odd])
    with pytest.raises(InputError, match="one length"):
        EventData.from_arrays(ids=["A"], subject=[0, 0], time=[1, 2, 3], value=[3, 4, 5])
    with pytest.raises(InputError, match="option"):
        EventData.from_frame(pd.DataFrame({"ID": [1], "TIME": [0], "DV": [1]}), llok=3)  # pyright: ignore


@st.composite
def tables(draw):
    """Event data sets of any shape."""
    subjects = draw(st.integers(1, 4))
    number = st.floats(0.001, 1e6, allow_nan=False)
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, subjects - 1), number, number, st.sampled_from([-1, 0, 1]), st.integers(0, 1)),
            min_size=1, max_size=12, unique_by=lambda row: (row[0], row[1], row[4]),
        )
    )  # fmt: skip
    subject, time, value, censoring, endpoint = map(list, zip(*rows, strict=True))
    doses = {"subject": list(range(subjects)), "time": 0.0, "amount": draw(number), "rate": draw(number)}
    weights = draw(st.lists(number, min_size=subjects, max_size=subjects))
    return EventData.from_arrays(
        ids=[f"S{index}" for index in range(subjects)], subject=subject, time=time, value=value,
        censoring=censoring, endpoint=endpoint, endpoints=("flow", "qpcr"), doses=doses, covariates={"WT": weights},
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(tables())
def test_the_table_gives_the_same_data_back(data):
    again = EventData.from_frame(data.to_frame(), covariates=["WT"], endpoints=["flow", "qpcr"])
    for name in ("subject", "time", "value", "endpoint", "censoring", "limit", "lloq"):
        np.testing.assert_array_equal(getattr(again.observations, name), getattr(data.observations, name))
    for name in ("subject", "time", "amount", "rate", "evid", "additional"):
        np.testing.assert_array_equal(getattr(again.doses, name), getattr(data.doses, name))
    np.testing.assert_array_equal(again.covariate("WT"), data.covariate("WT"))


def test_the_verification_sets_are_read(shared_data):
    """Counts as SOURCE.md and references.json of the data state them."""
    folder = shared_data / "nlme"
    expected = {
        "theophylline.csv": (12, 132, 0),
        "theophylline_lloq2.csv": (12, 132, 27),
        "orange_trees.csv": (5, 35, 0),
        "wang2007.csv": (10, 20, 0),
        "actg315_hiv.csv": (46, 361, 40),
    }
    for name, (subjects, samples, below) in expected.items():
        data = read_data(folder / name)
        found = (len(data), len(data.observations), int((data.observations.censoring == 1).sum()))
        assert found == (subjects, samples, below), name
    for limit, below in ((20, 79), (50, 131)):
        columns = {"DV": f"DV_LLOQ{limit}", "CENS": f"CENS_LLOQ{limit}"}
        data = read_data(folder / "hiv_virload_sim.csv", columns=columns, covariates=())
        assert int((data.observations.censoring == 1).sum()) == below
    data = read_data(folder / "theophylline.csv")
    assert data.doses.amount[0] == 319.992
    assert data.covariate("WT")[0] == 79.6


def test_summary_counts_by_hand(tmp_path):
    text = (
        "ID,TIME,AMT,DV,CENS,SEX\n1,0,5,.,0,F\n1,7,.,50,1,F\n1,14,.,80,0,F\n2,0,5,.,0,M\n2,7,.,60,0,M\n2,14,.,50,1,M\n"
    )
    summary = read(tmp_path, text).summary()
    assert summary.below_limit["share"].tolist() == [0.5, 0.5]
    assert summary.endpoints.loc[0, ["samples", "below", "subjects"]].tolist() == [4, 2, 2]
    assert summary.endpoints.loc[0, "median"] == 70  # of the measured values 60 and 80
    assert summary.doses.loc[0, "doses"] == 2
    assert "F 1, M 1" in " ".join(summary.lines())


def test_a_large_table_is_read_in_seconds():
    import time

    subjects, samples = 20_000, 12
    frame = pd.DataFrame(
        {"ID": np.repeat(np.arange(subjects), samples), "TIME": np.tile(np.arange(samples, dtype=float), subjects),
         "DV": np.full(subjects * samples, 3.0), "WT": np.repeat(np.arange(subjects) % 50 + 40, samples)}
    )  # fmt: skip
    start = time.process_time()
    data = EventData.from_frame(frame)
    assert len(data.observations) == subjects * samples
    assert time.process_time() - start < 10


def test_data_travel_to_other_processes(tmp_path):
    import pickle

    data = read(tmp_path, FULL)
    again = pickle.loads(pickle.dumps(data))
    assert again.ids == data.ids
    np.testing.assert_array_equal(again.observations.value, data.observations.value)
    assert again.covariates["WT"].at([0], [9]).tolist() == [80]


def test_reading_needs_no_heavy_package_before_it_begins():
    import subprocess
    import sys

    rooms = "livingdrug.inference.data, livingdrug.inference.nca, livingdrug.inference.cdisc, livingdrug.cli.nca"
    heavy = ["pandas", "scipy", "altair", "pyarrow", "pyreadstat", "sympy", "pint"]
    code = f"import sys, {rooms}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_sample_listed_before_a_dose_of_its_time_is_a_trough(tmp_path):
    rows = "A,0,100,.,1\nA,0,.,9,0\nA,2,.,1,0\nA,2,100,.,1\nA,2,.,7,0\nB,2,.,1,0\nB,3,100,.,1\nB,4,.,1,0\n"
    data = read(tmp_path, "ID,TIME,AMT,DV,EVID\n" + rows)
    assert np.asarray(data.observations.before_dose).tolist() == [0, 1, 0, 0, 0]
    again = EventData.from_frame(data.to_frame())
    assert np.asarray(again.observations.before_dose).tolist() == [0, 1, 0, 0, 0]
