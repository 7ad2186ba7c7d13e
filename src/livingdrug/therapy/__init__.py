"""The therapy in its own order: collect, engineer, multiply, release, wait, condition, infuse."""

from livingdrug.therapy.collection import Apheresis, CollectionPlan, collect
from livingdrug.therapy.conditioning import ConditionedPatients, ConditioningPlan, condition
from livingdrug.therapy.engineering import EngineeredCells, EngineeringPlan, engineer
from livingdrug.therapy.infusion import Course, InfusionPlan, Link, infuse
from livingdrug.therapy.journey import Journey
from livingdrug.therapy.multiplication import MultiplicationPlan, Product, multiply
from livingdrug.therapy.release import Dose, ReleasePlan, release
from livingdrug.therapy.stage import Attrition
from livingdrug.therapy.stated import Fixed, LogitNormal, LogNormal, Normal, Quantiles, Stated, Values
from livingdrug.therapy.waiting import WaitingPlan, wait

__all__ = [
    "Apheresis",
    "Attrition",
    "CollectionPlan",
    "ConditionedPatients",
    "ConditioningPlan",
    "Course",
    "Dose",
    "EngineeredCells",
    "EngineeringPlan",
    "Fixed",
    "InfusionPlan",
    "Journey",
    "Link",
    "LogNormal",
    "LogitNormal",
    "MultiplicationPlan",
    "Normal",
    "Product",
    "Quantiles",
    "ReleasePlan",
    "Stated",
    "Values",
    "WaitingPlan",
    "collect",
    "condition",
    "engineer",
    "infuse",
    "multiply",
    "release",
    "wait",
]
