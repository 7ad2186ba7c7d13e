"""The two published models that the body contains: which switches lead to them.

Both are tested: with these values the body follows the published model within 1 % of its peak.

Example:
    >>> KIMMEL2021["own_room"], KIROUAC2023["homeostasis"]
    (0.0, 0.0)
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["KIMMEL2021", "KIROUAC2023", "as_kimmel2021", "as_kirouac2023"]

# One antigen scale there, one for each signal here.
_HALVES = ("renewal_half", "expansion_half", "exhaustion_half", "return_half")

_ALONE = {
    "negative_share": 0.0, "mutation": 0.0, "contact": 1.0, "entry": 0.0, "antigen_on_b_cells": 0.0,
    "antigen_on_plasma_cells": 0.0, "suppression": 0.0, "cytokine_release": 0.0, "brain_switch": 0.0, "foreign": 0.0,
}  # fmt: skip

KIROUAC2023: Mapping[str, float] = {**_ALONE, "antigen_switch": 1.0, "homeostasis": 0.0}
"""Antigen switch only: no room, no host, no trafficking, no B cells beside the tumour, no cytokines."""

KIMMEL2021: Mapping[str, float] = {
    **_ALONE,
    "antigen_switch": 0.0,
    "homeostasis": 1.0,
    "growth_by_antigen": 0.0,
    "own_room": 0.0,
    "kill_steepness": 1.0,
    "tumour_capacity": 1e30,
}
"""Room only: no memory, burst or exhaustion; growth and its capacity do not ask for antigen."""


def as_kirouac2023(published: Mapping[str, float]) -> dict[str, float]:
    """Return the body's parameters for a set of kirouac2023; the state ``antigen`` then starts at 1e10 cells."""
    same = {name: value for name, value in published.items() if name != "antigen_half"}
    return {**KIROUAC2023, "tumour_at_start": 1e10, **same, **dict.fromkeys(_HALVES, published["antigen_half"])}


def as_kimmel2021(published: Mapping[str, float]) -> dict[str, float]:
    """Return the body's parameters for those of kimmel2021; the CAR T cells then start in the state ``expanded``."""
    renamed = {
        "normal_t_capacity": "host_capacity", "normal_t_growth": "host_growth", "half_kill_car_t": "half_kill_effector",
    }  # fmt: skip
    start = (
        "normal_t_at_infusion",
        "car_t_at_infusion",
        "baseline_tumour_volume",
        "tumour_density",
        "blood_equivalent",
    )
    same = {renamed.get(name, name): value for name, value in published.items() if name not in start}
    host = published["normal_t_at_infusion"] / published["normal_t_capacity"]
    tumour = published["baseline_tumour_volume"] * published["tumour_density"]
    return {**KIMMEL2021, **same, "host_at_start": host, "tumour_at_start": tumour}
