"""Proof that the models of the library are those of their papers: targets, verdicts, assessment."""

from livingdrug.qualification.run import Qualification, model_targets, qualify

__all__ = ["Qualification", "model_targets", "qualify"]
