"""Cohorts of virtual patients."""

from livingdrug.population.cohort import Population, read_values

__all__ = ["Population", "read_values"]
