"""The drawings before any model: what they show is what the data hold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from livingdrug.analysis import drawing
from livingdrug.errors import InputError
from livingdrug.inference import exploratory
from livingdrug.inference.data import EventData
from livingdrug.inference.summary import summarise, time_groups


def some(count=4, endpoints=("qpcr",), value=(50.0, 900.0, 60.0), censoring=(1, 0, -1)):
    return EventData.from_arrays(
        ids=[f"P<{index}>" for index in range(count)], subject=np.repeat(np.arange(count), 3),
        time=np.tile([1.0, 10, 28], count), value=np.tile(value, count), censoring=np.tile(censoring, count),
        endpoints=endpoints, units={"qpcr": "copy/ug"},
    )  # fmt: skip


def drawn(chart):
    """Return the values of every layer."""
    whole = chart.to_dict(validate=False)
    found = [layer["data"]["values"] for layer in whole["layer"]]
    return whole, found


def test_values_below_the_limit_are_drawn_at_it_as_triangles():
    whole, layers = drawn(exploratory.spaghetti(some()))
    dots = layers[1]
    assert len(dots) == 12
    assert {(row["value"], row["kind"]) for row in dots} == {
        (50, exploratory.BELOW), (900, exploratory.MEASURED), (60, exploratory.ABOVE)
    }  # fmt: skip
    assert [row["value"] for row in layers[2]] == [50, 900, 60]  # medians
    assert [row["value"] for row in layers[3]] == [50]  # the limit
    assert '"type": "log"' in json.dumps(whole)
    caption = " ".join(whole["title"]["subtitle"])
    assert "4 of 12 samples (33%)" in caption
    assert "Not for clinical use." in caption


def test_what_a_logarithm_cannot_show_is_counted():
    data = some(value=(0.0, 900.0, -3.0), censoring=(0, 0, 0))
    whole, layers = drawn(exploratory.spaghetti(data))
    assert len(layers[1]) == 4
    assert "8 values are not above zero" in " ".join(whole["title"]["subtitle"])
    assert len(drawn(exploratory.spaghetti(data, log=False))[1][1]) == 12
    with pytest.raises(InputError, match="no value can be drawn"):
        exploratory.spaghetti(some(value=(0.0, 0.0, 0.0), censoring=(0, 0, 0)))


def test_of_many_subjects_evenly_many_are_drawn():
    whole, layers = drawn(exploratory.spaghetti(some(1000)))
    assert len({row["id"] for row in layers[1]}) == exploratory.MOST_DRAWN
    assert "300 of 1,000 subjects" in " ".join(whole["title"]["subtitle"])


def test_the_share_below_the_limit_by_time():
    layers = [exploratory.below_limit(some()).to_dict(validate=False)["data"]["values"]]
    assert [(row["time"], row["share"], row["samples"]) for row in layers[0]] == [(1, 1, 4), (10, 0, 4), (28, 0, 4)]


def test_samples_of_many_times_are_put_together():
    times = np.linspace(0, 100, 1000)
    groups = time_groups(times)
    assert len(np.unique(groups)) == 12
    assert np.bincount(groups).min() > 80
    assert time_groups(times, edges=[50]).max() == 1
    table = summarise(some(), edges=[5]).below_limit
    assert table["samples"].tolist() == [4, 8]


def test_drawings_and_page_need_no_network_and_no_script():
    data = some()
    assert "<svg" in drawing.svg(exploratory.spaghetti(data))
    page = exploratory.page(data, "<script>x</script>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<figure>") == 2
    named = EventData.from_arrays(
        ids=["A"], subject=0, time=[1, 2], value=[1, 99], endpoints=["<img src=x onerror=y>"], units={"time": "<b>"}
    )
    assert "<img" not in exploratory.page(named, "x")
    assert "<b>" not in exploratory.page(named, "x")


def test_several_endpoints_need_a_name():
    data = EventData.from_arrays(
        ids=["A"], subject=0, time=[1, 1], value=[3, 4], endpoint=[0, 1], endpoints=["qpcr", "flow"]
    )
    with pytest.raises(InputError, match="qpcr, flow"):
        exploratory.spaghetti(data)
    assert exploratory.spaghetti(data, "flow") is not None
    assert exploratory.page(data, "two").count("<figure>") == 3
