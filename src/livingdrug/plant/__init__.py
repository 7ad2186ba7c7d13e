"""The plant that makes thousands of batches: fleet, network, cost and what waiting costs. Not for clinical use."""

from livingdrug.plant.cost import BatchCost, Price, prices
from livingdrug.plant.network import Design, Network, NetworkOptions, design, read_network
from livingdrug.plant.plan import Arrivals, Failure, FleetPlan, Group, Outage, Resource, Step, plan_names
from livingdrug.plant.replicates import replicate
from livingdrug.plant.result import FleetResult
from livingdrug.plant.risk import WaitingRisk, crossing, fit_risk, tully

__all__ = [
    "Arrivals",
    "BatchCost",
    "Design",
    "Failure",
    "FleetPlan",
    "FleetResult",
    "Group",
    "Network",
    "NetworkOptions",
    "Outage",
    "Price",
    "Resource",
    "Step",
    "WaitingRisk",
    "crossing",
    "design",
    "fit_risk",
    "plan_names",
    "prices",
    "read_network",
    "replicate",
    "tully",
]
