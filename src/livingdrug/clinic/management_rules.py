"""Rules of management as data: regimens, steps, and what a centre must watch. Not for clinical use.

They stand in ``rules/management.toml``: each step and each regimen with its source, and a mark that says whether it
was read there, is recalled from memory, or is assumed because the source gives no number.
"""

from __future__ import annotations

import datetime as dt
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CLASSES",
    "NOTE",
    "Monitoring",
    "Regimen",
    "Rule",
    "Step",
    "dexamethasone_equivalent",
    "findings_of_rules",
    "label_rule",
    "management_rule",
    "management_rules",
    "missing_management",
    "monitoring",
    "regimens",
    "rule_table",
    "second_dose",
]

Reals = NDArray[np.float64]
FILE = Path(__file__).with_name("rules") / "management.toml"
NOTE = "not for clinical use"
REGIONS = ("US", "EU")
CLASSES = ("tocilizumab", "steroid", "anakinra")
"""Classes of drugs, in the order of the class axis of all arrays of a decision."""


@dataclass(frozen=True)
class Stage:
    """One stage of a regimen: a dose by weight or fixed, its spacing and for how many days (for ever by default)."""

    every_h: float
    mg: float = 0.0
    mg_per_kg: float = 0.0
    mg_per_kg_light: float = 0.0
    often_h: float = 0.0
    days: float = math.inf

    def dose(self, weight: Reals, light_below: float) -> Reals:
        """Return milligrams for weights in kg."""
        light = self.mg_per_kg_light or self.mg_per_kg
        return self.mg + weight * np.where(weight < light_below, light, self.mg_per_kg)


@dataclass(frozen=True)
class Regimen:
    """How a drug is given: stages one after the other, the largest dose, limits, and how long it goes on.

    Attributes:
        drug_class: one of ``CLASSES``.
        most_mg: largest single dose.
        most_in_24_h: most doses of the class within 24 h; ``most_in_all``: in the patient's life.
        continue_at_grade: the course goes on as long as CRS or ICANS has at least this grade; 0: only with its step.
        only_if_not_improved: a further dose needs a grade that has not fallen since the last dose.
    """

    name: str
    drug_class: str
    drug: str
    route: str
    stages: tuple[Stage, ...]
    source: str
    mark: str
    place: str = ""
    note: str = ""
    most_mg: float = math.inf
    light_below_kg: float = 0.0
    most_in_24_h: float = math.inf
    most_in_all: float = math.inf
    continue_at_grade: int = 0
    only_if_not_improved: bool = False


@dataclass(frozen=True)
class Step:
    """One line of a rule: at these grades, under these conditions, this regimen.

    Attributes:
        syndrome: ``"crs"`` or ``"icans"``; empty for a step that hangs on the day alone.
        grades: the grades at which it applies.
        strength: ``"give"`` or ``"consider"``.
        with_crs: only with (True) or without (False) CRS.
        days_over: only if the syndrome has lasted longer than this, in days.
        onset_before, onset_from: only if the syndrome began before, or on or after, this day after the infusion.
        after: class -> hours since the start of its present course without improvement.
        doses_before: class -> doses that must have been given before.
        on: name of the regimen that must be running in the same class.
        given_at_most: only if at most so many doses of the class were given so far.
        from_day, to_day: days since the infusion between which it applies, both included.
        needs: finding -> least value.
        assumed: which part of a step that was read is assumed, e.g. ``"hours"``.
    """

    id: str
    gives: Regimen
    text: str
    source: str
    mark: str
    place: str = ""
    syndrome: str = ""
    grades: tuple[int, ...] = ()
    strength: str = "give"
    with_crs: bool | None = None
    days_over: float = -math.inf
    onset_before: float = math.inf
    onset_from: float = -math.inf
    after: Mapping[str, float] = field(default_factory=dict)
    doses_before: Mapping[str, int] = field(default_factory=dict)
    on: str = ""
    given_at_most: float = math.inf
    from_day: float = -math.inf
    to_day: float = math.inf
    needs: Mapping[str, float] = field(default_factory=dict)
    assumed: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule of management: steps from mild to strong, and the scales on which it reads grades."""

    name: str
    title: str
    crs_scale: str
    icans_scale: str
    source: str
    mark: str
    steps: tuple[Step, ...]
    note: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """Findings, beside the grades, that ``decide`` must be given for this rule."""
        return tuple(sorted({name for step in self.steps for name in step.needs}))

    def without(self, *classes: str) -> Rule:
        """Return the same rule without some classes of drugs, for what-if questions such as "no tocilizumab".

        Raises:
            InputError: an unknown class.

        Example:
            >>> {step.gives.drug_class for step in management_rule("asco-2021").without("tocilizumab").steps}
            {'steroid'}
        """
        for name in classes:
            if name not in CLASSES:
                raise InputError(unknown_name("class of drugs", name, CLASSES))
        kept = tuple(step for step in self.steps if step.gives.drug_class not in classes)
        return replace(self, name=f"{self.name} without {' and '.join(classes)}", steps=kept)


def dexamethasone_equivalent(drug: str) -> float:
    """Return how many mg of dexamethasone act like 1 mg of a steroid (recalled from textbooks).

    Raises:
        InputError: an unknown steroid.

    Example:
        >>> dexamethasone_equivalent("methylprednisolone") * 1000
        187.5
    """
    known = {name: value for name, value in _file()["dexamethasone_equivalent"].items() if isinstance(value, float)}
    if drug not in known:
        raise InputError(unknown_name("steroid", drug, known))
    return known[drug]


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def regimens() -> tuple[Regimen, ...]:
    """Return all regimens; decisions and treatment states hold their numbers in this order."""
    found = []
    for name, table in _file()["regimens"].items():
        values = dict(table)
        stages = tuple(Stage(**stage) for stage in values.pop("stages"))
        found.append(Regimen(name=name, drug_class=values.pop("class"), stages=stages, **values))
    return tuple(found)


def findings_of_rules() -> dict[str, str]:
    """Return what a rule may need beside the grades: name -> meaning with its unit."""
    return {name: f"{line['meaning']} [{line['unit']}]" for name, line in _file()["findings"].items()}


def management_rules() -> tuple[str, ...]:
    """Return the names of all rules."""
    return tuple(_file()["rules"])


@lru_cache(maxsize=32)
def management_rule(name: str) -> Rule:
    """Return a rule by name; what it extends comes after its own steps.

    Raises:
        InputError: an unknown name, with the nearest ones.

    Example:
        >>> management_rule("tisa-cel-label-2025").title
        'US label of tisagenlecleucel, June 2025'
    """
    if name not in _file()["rules"]:
        raise InputError(unknown_name("rule of management", name, management_rules()))
    values = dict(_file()["rules"][name])
    base = management_rule(values.pop("extends")).steps if "extends" in values else ()
    known = {regimen.name: regimen for regimen in regimens()}
    steps = []
    for table in values.pop("steps"):
        line = {"source": values["source"], "mark": values["mark"], **table}
        line |= {"gives": known[table["gives"]], "grades": tuple(table.get("grades", ()))}
        steps.append(Step(**line))
    return Rule(name=name, steps=(*steps, *base), **values)


def label_rule(product: str) -> Rule:
    """Return the rule that writes down today's US label of a product, as far as it was read or is recalled.

    Raises:
        InputError: a product whose label is not here; ``missing_management`` says why.

    Example:
        >>> label_rule("tisa-cel").name, label_rule("cilta-cel").mark
        ('tisa-cel-label-2025', 'recalled')
    """
    labels = _file()["labels"]
    if product not in labels:
        raise InputError(unknown_name("product with a label rule", product, labels) + "; see missing_management()")
    return management_rule(labels[product])


def missing_management() -> dict[str, str]:
    """Return what is not in the rules: title -> why.

    Example:
        >>> "not found" in missing_management()["US label of obecabtagene autoleucel"]
        True
    """
    return {table["title"]: table["why"] for table in _file()["missing"].values()}


def rule_table(rule: Rule | str) -> pd.DataFrame:
    """Return the steps of a rule, one per line: when, what, the source, and whether it was read or recalled."""
    import pandas as pd

    rule = management_rule(rule) if isinstance(rule, str) else rule
    columns = ["rule", "step", "syndrome", "grades", "strength", "drug", "regimen", "text", "source", "place", "mark"]
    columns += ["assumed", "regimen_source", "regimen_mark", "note"]
    rows = []
    for line in rule.steps:
        when = (rule.name, line.id, line.syndrome, ", ".join(map(str, line.grades)), line.strength)
        why = (line.text, line.source, line.place, line.mark, line.assumed, line.gives.source, line.gives.mark, NOTE)
        rows.append((*when, line.gives.drug, line.gives.name, *why))
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Monitoring:
    """How a centre watches its patients after the infusion; NaN where the rule is not known.

    Attributes:
        daily_days: days of daily visits; 0 where visits are rarer.
        visits_in_first_week: visits in the first week.
        stay_near_days: days within reach of the centre.
        no_driving_days: days without driving.
        rems: whether the agency's restricted programme (REMS) applies.
        tocilizumab_doses_on_site: doses of tocilizumab that must be there before the infusion.
        source, mark, recalled, note: where it comes from, and which of the numbers are only recalled.
    """

    daily_days: float
    visits_in_first_week: float
    stay_near_days: float
    no_driving_days: float
    rems: bool
    tocilizumab_doses_on_site: float
    source: str
    mark: str
    recalled: tuple[str, ...]
    note: str


def second_dose(product: str, *, crs: ArrayLike, worst_crs: ArrayLike, worst_icans: ArrayLike) -> NDArray[np.str_]:
    """Return for each patient what the US label says of the second of two infusions: give, wait, stop, or not known.

    Args:
        product: a product that is given as a split dose.
        crs: present grade of CRS, CTCAE v5, one per patient; negative where it is not known, as in the next two.
        worst_crs: highest grade of CRS since the first infusion.
        worst_icans: highest grade of ICANS since then; its row was not read: from grade 1 on the answer is not known.

    Raises:
        InputError: a product without such a rule, or grades that are none.

    Source:
        ``aucatzyldosage2025`` table 2: waiting is to be considered, up to day 21, until CRS is grade 1 or less.

    Example:
        >>> second_dose("obe-cel", crs=[1, 2, 0, 0], worst_crs=[2, 2, 3, 0], worst_icans=[0, 0, 0, 1]).tolist()
        ['give', 'wait', 'stop', 'not known']
    """
    rules = _file()["second_dose"]
    if product not in rules:
        raise InputError(unknown_name("product with a second dose", product, rules))
    given = {"crs": crs, "worst_crs": worst_crs, "worst_icans": worst_icans}
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(grades, np.float64)) for grades in given.values()))
    for name, grades in zip(given, columns, strict=True):
        bad = (grades > 5) | (grades != np.round(grades))
        if bad.any():
            raise InputError(f"second_dose: {name} must be whole grades up to 5, got {grades[bad][0]:g}")
    now, worst, brain = columns
    if (now > worst).any():
        raise InputError("second_dose: crs must not be above worst_crs, the highest grade since the first infusion")
    stop, wait = np.isin(worst, rules[product]["stop_at_crs"]), np.isin(now, rules[product]["wait_at_crs"])
    unknown = (now < 0) | (worst < 0) | (brain != 0)
    return np.select([stop, unknown, wait], ["stop", "not known", "wait"], "give")


def monitoring(product: str, infused_on: dt.date, region: str = "US") -> Monitoring:
    """Return the monitoring rules for a product infused on a date: in the United States they changed on 26 June 2025.

    Args:
        product: name of the product.
        infused_on: date of the infusion; the European rules are those of today.
        region: ``"US"`` or ``"EU"``.

    Raises:
        InputError: a product without a rule, another region, or a date that is none.

    Example:
        >>> monitoring("axi-cel", dt.date(2024, 5, 1)).stay_near_days
        28.0
        >>> monitoring("axi-cel", dt.date(2025, 7, 1)).stay_near_days
        14.0
    """
    if not isinstance(infused_on, dt.date):
        raise InputError(f"monitoring needs the date of the infusion, got {infused_on!r:.40}")
    if region not in REGIONS:
        raise InputError(unknown_name("region", region, REGIONS))
    day = infused_on.date() if isinstance(infused_on, dt.datetime) else infused_on
    table = _file()["monitoring"]
    in_time = "before" if day < table["before"]["until"] else "since"
    values = table["europe" if region == "EU" else in_time]
    values = values | values.get(product, {})
    daily, visits = values["daily_days"], values.get("visits_in_first_week", {})
    if product not in daily and product not in visits:
        raise InputError(unknown_name(f"product with a monitoring rule in the {region}", product, {**daily, **visits}))
    return Monitoring(
        daily_days=float(daily.get(product, 0)),
        visits_in_first_week=float(visits.get(product, math.nan if math.isnan(daily.get(product, 0)) else 7)),
        stay_near_days=float(values["stay_near_days"]),
        no_driving_days=float(values["no_driving_days"]),
        rems=values["rems"],
        tocilizumab_doses_on_site=float(values["tocilizumab_doses_on_site"]),
        source=values["source"],
        mark=values["mark"],
        recalled=tuple(values["recalled"]),
        note=values["note"],
    )
