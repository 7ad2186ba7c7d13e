"""The figure of one patient: what it draws, and the words that go with it."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.reports.patient import _given, _runs, caption, patient_chart, write_patient

DAYS = np.array([-6.0, 0.0, 5.0, 10.0, 30.0])


class Solved:
    """A solution with courses made by hand."""

    def __init__(self, **courses):
        self.times, self.courses, self.outputs = DAYS, courses, tuple(courses)

    def __getitem__(self, name):
        return np.atleast_2d(self.courses[name])


def seen(rule="asco-2021", crs=(0, 1, 1, 2, 0), doses=True, b_cells=(50, 50, 1e-9, 1e-9, 1e-3)):
    """Five rounds; tocilizumab at the third, a steroid at the third and fourth."""
    given = np.zeros((1, 5, 3), np.float32)
    if doses:
        given[0, 2, 0], given[0, 2:4, 1] = 600.0, 10.0
    return SimpleNamespace(
        patient_ids=np.array([1]), rounds=np.array([1.0, 2.0, 3.0, 4.0, 6.0]), rule=rule, given=given,
        classes=("tocilizumab", "steroid", "anakinra"), supported={},
        grades={"astct-crs": np.array([crs], np.int8), "astct-icans": np.zeros((1, 5), np.int8)},
        signs={"temperature": np.array([[36.9, 38.5, 39.0, np.nan, 37.2]])},
        solution=Solved(
            car_t_blood=np.array([0.0, 0.0, 20.0, 30.0, 2.0]), tumour_cells=np.array([1e11, 1e11, 1e10, 0.0, 0.0]),
            b_cells_blood=np.array(b_cells, float), il6=np.array([1.7, 1.7, 900.0, 300.0, 2.0]),
        ),
    )  # fmt: skip


def test_a_grade_holds_until_the_next_round():
    """Grades 0, 1, 1, 2, 0 at days 1, 2, 3, 4, 6: grade 1 from day 2 to 4, grade 2 from day 4 to 6."""
    runs = _runs(seen(), "astct-crs")
    assert runs == [{"day": 2.0, "end": 4.0, "grade": 1}, {"day": 4.0, "end": 6.0, "grade": 2}]
    assert _runs(seen(crs=(0, 0, 0, 0, 3)), "astct-crs") == [{"day": 6.0, "end": 8.0, "grade": 3}]
    assert _runs(seen(), "astct-icans") == []


def test_every_dose_is_marked():
    found = {name: days.tolist() for name, days in _given(seen()).items()}
    assert found == {"tocilizumab": [3.0], "steroid": [3.0, 4.0]}


def test_support_is_marked():
    found = seen(doses=False)
    found.supported = {"g_csf": np.array([[0.0, 5.0, 0.0, 5.0, 0.0]])}
    assert {name: days.tolist() for name, days in _given(found).items()} == {"G-CSF": [2.0, 4.0]}


def test_what_falls_below_the_axis_runs_along_its_bottom():
    """Not joined by a line across the gap, which would show cells that are not there."""
    chart = patient_chart(seen()).to_dict(validate=False)
    b_cells = next(panel for panel in chart["vconcat"] if "B cells" in str(panel["layer"][0]["encoding"]["y"]))
    drawn = [point["value"] for point in b_cells["data"]["values"]]
    assert drawn == [50.0, 0.01, 0.01, 0.01]
    assert b_cells["layer"][0]["encoding"]["y"]["scale"]["domain"][0] == 0.01


def test_both_runs_are_drawn_with_their_grades_and_doses():
    chart = str(patient_chart(seen(), seen("none", crs=(0, 1, 3, 3, 3), doses=False)).to_dict(validate=False))
    for words in ("cytokine release, grade, what-if", "neurotoxicity, grade, what-if", "tocilizumab", "steroid"):
        assert words in chart
    assert "tocilizumab, what-if" not in chart
    assert re.search(r"'strokeDash': \[5, 4\]", chart)


def test_the_caption_says_what_is_seen():
    words = caption(seen(), seen("none"))
    assert "here at most 2 and 0" in words
    assert "until day 6" in words
    assert "under 'none'" in words
    assert words.endswith("Not for clinical use.")
    assert "normal B cells are killed" in words
    assert "normal B cells are killed" not in caption(seen(b_cells=(50, 50, 60, 70, 90)))


@pytest.mark.parametrize("ending", ["svg", "html"])
def test_a_drawing_carries_its_heading_and_caption(tmp_path, ending):
    path = write_patient(seen(), "lymphoma: CD19", tmp_path / f"patient.{ending}", seen("none"))
    text = re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8"))
    assert "lymphoma: CD19" in text
    assert "Not for clinical use" in text
    assert "cytokine release syndrome" in text


def test_a_picture_is_a_png(tmp_path):
    assert write_patient(seen(), "a", tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match="svg"):
        write_patient(seen(), "a", tmp_path / "p.sgv")
