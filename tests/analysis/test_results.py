"""What every result can do: be drawn, described and saved in each format, and never over a file."""

import json
import re

import pandas as pd
import pytest

from livingdrug.analysis import (
    local_sensitivities,
    outcome_plane,
    profiles,
    quantity_plane,
    simulate_data,
    sobol,
    tornado,
)
from livingdrug.errors import InputError

X, Y = {"kill": (0.05, 1.5)}, {"growth": (0.01, 0.3, "log")}


@pytest.fixture(scope="module")
def results(models):
    """One result of each kind."""
    pytest.importorskip("SALib", reason="global sensitivity needs SALib (the extra 'fit')")
    model = models.Treated
    data = simulate_data(model, {"tumour_cells": [1, 5, 10]}, sd=0.2, seed=1)
    return {
        "sobol": sobol(model, ["tumour_cells at 60", "day of min tumour_cells"], "10%", runs=500, second_order=True),
        "local": local_sensitivities(model, times=[1.0, 30.0, 60.0]),
        "tornado": tornado(model, "tumour_cells at 60", "10%"),
        "plane": outcome_plane(model, X, Y, size=12),
        "numbers": quantity_plane(model, X, Y, "tumour_cells at 60", size=12),
        "profile": profiles(model, data, {"kill": (0.1, 3.0)}),
    }


KINDS = ("sobol", "local", "tornado", "plane", "numbers", "profile")
BEGINNINGS = {"png": b"\x89PNG", "svg": b"<svg", "html": b"<!doctype html>"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format(results, kind, tmp_path):
    result = results[kind]
    paths = {ending: result.save(tmp_path / f"a.{ending}") for ending in ("csv", "json", "html", "svg", "png")}
    for ending, start in BEGINNINGS.items():
        assert paths[ending].read_bytes().startswith(start)
    assert len(pd.read_csv(paths["csv"])) == len(result.table)
    read = json.loads(paths["json"].read_text(encoding="utf-8"))
    assert len(read["table"]) == len(result.table)
    assert read["notice"] == "Not for clinical use."
    assert read["title"] == result.title


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_whole_and_say_what_they_are(results, kind, tmp_path):
    """Nothing is fetched when a page is opened; the caption and the notice stand on page and picture."""
    page = results[kind].save(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Not for clinical use." in page
    assert not re.findall(r"<script|<link|(?:src|href)=\"(?!#)", page)
    drawn = re.sub(r"<[^>]+>", " ", results[kind].save(tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert "Not for clinical use." in " ".join(drawn.split())
    first = results[kind].caption.split()[0]
    assert first in drawn
    assert first in page


@pytest.mark.parametrize("kind", KINDS)
def test_axes_have_names_and_units(results, kind, tmp_path):
    drawn = re.sub(r"<[^>]+>", " ", results[kind].save(tmp_path / "a.svg").read_text(encoding="utf-8"))
    titles = {"sobol": "share of the variance", "local": "% change per 1 %", "tornado": "tumour cells at 60, cell",
              "plane": "kill, 1/day", "numbers": "tumour cells at 60, cell", "profile": "kill, 1/day"}  # fmt: skip
    assert titles[kind] in drawn


def test_nothing_is_written_over_a_file(results, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        results["tornado"].save(path)
    assert path.read_text(encoding="utf-8") == "mine"
    results["tornado"].save(path, force=True)
    assert path.read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize("name", ["a.xls", "a", "a.htm"])
def test_an_unknown_ending_is_refused(results, tmp_path, name):
    with pytest.raises(InputError, match=r"\.csv"):
        results["tornado"].save(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_summaries_are_part_of_the_table(results, kind):
    assert 0 < len(results[kind].summary) <= len(results[kind].table)


def test_names_cannot_break_a_page(models, tmp_path):
    """Titles and captions are text, whatever stands in them."""
    import dataclasses

    result = tornado(models.Line, "height at 5", "10%")
    page = dataclasses.replace(result, model="<b>&").save(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;" in page
