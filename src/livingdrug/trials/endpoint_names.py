"""The endpoints that a trial of a disease can report, by name, each with the measure that computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livingdrug.trials.measures import DAYS_PER_MONTH, Measure

if TYPE_CHECKING:
    from livingdrug.trials.protocol import Protocol

__all__ = ["CRITERIA", "KINETIC_SUMMARIES", "endpoints_of", "flow_endpoints"]

CRITERIA = {
    "b_all": "b_all", "b_all_adult": "b_all", "lbcl": "lugano", "fl": "lugano", "mcl": "lugano", "cll": "iwcll",
    "myeloma": "imwg",
}  # fmt: skip
"""Disease -> criteria of response."""
LANDMARKS = (3, 6, 9, 12, 18, 24, 30, 36, 48, 60)
ICANS = "astct-icans"
KINETIC_SUMMARIES = ("cmax", "tmax", "auc28", "half_life", "tlast")
"""What a table of kinetics says of a patient."""
ENROLLED = ("enrolled",)


def endpoints_of(trial: Protocol) -> dict[str, Measure]:
    """Return every endpoint that a trial can report: name -> measure.

    Example:
        >>> from livingdrug.trials.protocol import Protocol
        >>> found = endpoints_of(Protocol.builtin("eliana"))
        >>> found["residual disease negative"].among, found["crs >= 3"].scale
        (('infused',), 'penn')
    """
    several = len(trial.arms) > 1
    base = ENROLLED if several else ("infused",)
    return {
        **flow_endpoints(), **_responses(trial, base), **_survival(trial, base), **_effects(trial), **_kinetics(trial),
    }  # fmt: skip


def _share(of: str, among: tuple[str, ...] = ("infused",), **more: Any) -> Measure:
    return Measure(statistic="proportion", of=of, among=among, unit="%", **more)


def flow_endpoints() -> dict[str, Measure]:
    """Return the endpoints about who was infused, and when: name -> measure."""
    lost = ("manufacturing failure", *(f"{why} before infusion" for why in ("death", "progression", "adverse event")))
    return {
        "infused": _share("infused", ENROLLED),
        **{name: _share(name, ENROLLED) for name in lost},
        "enrolment to infusion": Measure(statistic="median", of="infusion_day_from_enrolment", unit="days"),
    }


def _responses(trial: Protocol, base: tuple[str, ...]) -> dict[str, Measure]:
    criteria = CRITERIA[trial.disease]
    found = {"orr": _share("response", base), "orr enrolled": _share("response", ENROLLED)}
    if criteria == "b_all":
        within = {"day": 100.0}  # the visit of month 3, with its window
        found = {
            "cr/cri": _share("response", base, **within), "cr/cri enrolled": _share("response", ENROLLED, **within),
            "residual disease negative": _share("residual disease negative", base),
            "transplant": _share("transplant", ("responders",)),
        }  # fmt: skip
    else:
        found |= {"cr": _share("complete response", base), "cr enrolled": _share("complete response", ENROLLED)}
    if criteria == "imwg":
        found |= {
            "scr": _share("stringent complete response", base),
            "vgpr or better": _share("very good partial response", base),
        }
    if criteria in ("imwg", "iwcll"):
        found["residual disease negative"] = _share("residual disease negative", base)
    found["antigen-negative relapse"] = _share("antigen-negative", ("antigen known at relapse",))
    if base == ENROLLED:  # all are counted among the enrolled already
        found = {name: measure for name, measure in found.items() if not name.endswith(" enrolled")}
    return found


def _survival(trial: Protocol, base: tuple[str, ...]) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    for name in trial.follow_up.clocks:
        among = ("responders",) if name in ("dor", "rfs") else base
        found[f"{name} median"] = Measure(statistic="median time", of=name, among=among, unit="months")
        for month in LANDMARKS:
            if month * DAYS_PER_MONTH <= trial.follow_up.horizon_days:
                day = round(month * DAYS_PER_MONTH, 1)
                found[f"{name} {month} months"] = Measure(statistic="survival", of=name, among=among, day=day, unit="%")
    return found


def _effects(trial: Protocol) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    for syndrome, scale in (("crs", trial.grading.crs), ("neuro", trial.grading.neuro)):
        sick = ("infused", f"with {syndrome}")
        found[f"{syndrome} any"] = _share(syndrome, scale=scale)
        found[f"{syndrome} >= 3"] = _share(syndrome, scale=scale, at_least=3)
        for what in ("onset", "duration"):
            found[f"{syndrome} {what}"] = Measure(
                statistic="median", of=f"{syndrome} {what}", among=sick, scale=scale, unit="days"
            )
    if ICANS in trial.scales["neuro"]:  # many trials report it beside their own scale
        found["icans any"] = _share("neuro", scale=ICANS)
        found["icans >= 3"] = _share("neuro", scale=ICANS, at_least=3)
    for name in ("tocilizumab", "steroid", "vasopressor", "ventilated", "neutropenia_day28", "thrombocytopenia_day28"):
        found[name] = _share(name)
    return found


def _kinetics(trial: Protocol) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    more: dict[str, Any]
    units = {"cmax": trial.sampling.unit, "auc28": f"{trial.sampling.unit}*day", "half_life": "days"}
    for group in ("infused", "responders", "non-responders"):
        tail = "" if group == "infused" else f" {group}"
        for name, unit in units.items():
            found[f"{name}{tail}"] = Measure(statistic="geometric mean", of=name, among=(group,), unit=unit)
        for name in ("cmax", "auc28"):  # some trials report medians, some means
            more = {"of": name, "among": (group,), "unit": units[name]}
            found[f"{name} median{tail}"] = Measure(statistic="median", **more)
            found[f"{name} mean{tail}"] = Measure(statistic="arithmetic mean", **more)
        for name in ("tmax", "tlast"):
            found[f"{name}{tail}"] = Measure(statistic="median", of=name, among=(group,), unit="days")
    return found
