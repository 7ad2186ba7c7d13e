"""All trials by name: those of the twin, and those that replicate the model of a paper."""

from __future__ import annotations

from pathlib import Path

from livingdrug.declared import read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.trials.design import Trial, trial_names
from livingdrug.trials.protocol import Protocol, protocol_names, registered_names

__all__ = ["all_trials", "find_trial"]


def all_trials() -> list[str]:
    """Return the names of all trials that come with the package."""
    return sorted([*protocol_names(), *registered_names(), *trial_names()])


def find_trial(name: str) -> Protocol | Trial:
    """Return a trial that comes with the package, or the one in a TOML file.

    A file with the table ``[population]`` is a trial of a paper's model, any other one a trial of the twin.

    Raises:
        InputError: an unknown name (the nearest are named), or a file that cannot be used.

    Example:
        >>> find_trial("eliana").title.split()[0], find_trial("kimmel-zuma-1").model
        ('Tisagenlecleucel', 'kimmel2021')
    """
    if name.endswith(".toml") or "/" in name or Path(name).is_file():
        return (Trial if "population" in read_toml(name) else Protocol).read(name)
    if name in trial_names():
        return Trial.builtin(name)
    if name not in all_trials():
        raise InputError(unknown_name("trial", name, all_trials()))
    return Protocol.builtin(name)
