"""The report as a page: self-contained, readable by all, escaped, and the same for the same outcome."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from livingdrug.errors import LivingDrugError
from livingdrug.reports import report

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


class Elements(HTMLParser):
    """Collects tags with their attributes, and checks that they are closed in order."""

    VOID = frozenset({"meta", "img", "br", "hr", "input", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_page_is_well_formed_and_says_what_it_is_not(page):
    elements = Elements(page)
    assert elements.open == []
    assert page.count("Not for clinical use.") >= 2
    assert elements.of("html")[0]["lang"] == "en"
    assert len(elements.of("h1")) == 1


def test_page_needs_no_other_file_no_network_and_no_script(page):
    elements = Elements(page)
    for tag in ("script", "link", "img", "iframe", "object", "embed", "video", "audio", "base", "form"):
        assert not elements.of(tag)
    assert not re.search(r"@import|url\((?!#)|src=|srcset=|xlink:href|\son\w+=", page)
    policy = next(meta["content"] for meta in elements.of("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    for link in elements.of("a"):
        assert link["href"].startswith(("#", "https://"))


def test_links_inside_the_page_have_a_target_and_identifiers_are_unique(page):
    elements = Elements(page)
    identifiers = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {link["href"][1:] for link in elements.of("a") if link["href"].startswith("#")}
    targets |= set(re.findall(r"url\(#([\w-]+)\)", page))
    assert targets <= set(identifiers)


def test_every_figure_speaks_to_those_who_do_not_see_it(page):
    elements = Elements(page)
    drawings = [attributes for attributes in elements.of("div") if attributes.get("role") == "img"]
    assert len(drawings) == len(elements.of("figure")) == len(elements.of("figcaption")) == 5
    assert all(len(drawing["aria-label"]) > 40 for drawing in drawings)
    assert len(elements.of("svg")) == 2 * len(drawings)
    assert page.count('scope="col"') > 10


def test_headings_leave_out_no_level(page):
    levels = [int(tag[1]) for tag, _ in Elements(page).found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_both_schemes_have_enough_contrast(page, scheme):
    blocks = re.findall(r":root \{([^}]*--page[^}]*)\}", page)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", blocks[scheme]))
    for paper in ("page", "card"):
        for ink in ("ink", "quiet", "simulated", "published"):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    assert contrast(colours["warn-ink"], colours["warn"]) >= 4.5


def test_drawings_follow_the_scheme_of_the_page(page):
    used = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', page))
    ruled = set(re.findall(r'svg \[(?:fill|stroke)="(#[0-9a-f]{6})"\]', page))
    assert used <= ruled
    assert "prefers-color-scheme: dark" in page


def test_hostile_words_are_shown_and_do_nothing(make_outcome):
    made = make_outcome(name=HOSTILE, title=HOSTILE)
    made.assumptions.append(HOSTILE)
    made.failures.append({"patient": 3, "reason": HOSTILE})
    made.endpoints.loc[0, ["endpoint", "note", "source", "unit"]] = HOSTILE
    made.flow[1] = ("infused", made.flow[1][1], HOSTILE)
    made.stated.loc[0, ["value", "note", "number"]] = HOSTILE
    elements = Elements(report(made).html)
    assert not elements.of("script")
    assert not elements.of("img")
    assert "&lt;script&gt;" in report(made).html
    assert "{{ 7*7 }}" in report(made).html


def test_the_same_outcome_gives_the_same_page(make_outcome, page):
    assert report(make_outcome()).html == page


def test_page_stays_small(page):
    assert len(page) < 600_000


def test_a_trial_in_which_nobody_is_infused_has_a_report(make_outcome):
    made = make_outcome(patients=20)
    patients = made.patients
    patients["infused"] = 0.0
    patients[["cure_day", "progression_day", "car_peak", "car_peak_day"]] = np.nan
    made.summary = made.summary.iloc[:0]
    made.survival = made.survival.iloc[:0]
    made.flow = [("enrolled", 20, ""), ("infused", 0, "too few cells (19); died (1)")]
    page = report(made).html
    assert "too few cells" in page
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower().split()


def test_failed_patients_are_told(make_outcome):
    made = make_outcome()
    made.failures.extend({"patient": number, "time": 3.5, "state": "tumour"} for number in range(30))
    page = report(made).html
    assert "and 10 more" in page
    assert "None: every patient" not in page


def test_a_published_curve_in_the_band_is_said_to_agree(make_outcome):
    made = make_outcome()
    made.published_survival = made.survival[["day", "pfs"]].iloc[::4]
    page = report(made).html
    assert "The published curve agrees with the simulation: 100\u00a0% of its 26 points are inside the band." in page
    assert "outside the band" not in page
    assert 'class="deviates"' not in page


@pytest.mark.parametrize(("shift", "fares"), [(-0.3, "better"), (0.3, "worse")])
def test_a_published_curve_outside_the_band_is_said_to_deviate(make_outcome, shift, fares):
    made = make_outcome()
    made.published_survival = made.survival[["day", "pfs"]].iloc[1:].assign(pfs=lambda f: (f["pfs"] + shift).clip(0, 1))
    page = report(made).html
    assert "The published curve lies mostly outside the band: only" in page
    assert f"the simulated patients mostly fare {fares} than in the trial" in page
    assert "deviates by 30 points, more than chance explains" in page


def test_save_writes_the_whole_page_or_nothing(make_outcome, tmp_path, page):
    path = report(make_outcome()).save(tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8") == page
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_is_named(make_outcome, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LivingDrugError, match=r"file.report\.html"):
        report(make_outcome()).save(tmp_path / "file" / "report.html")
