"""Trial files in which anything is replaced or left out: a trial or a clear error, never a crash."""

import copy
import tomllib
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livingdrug.declared import declare
from livingdrug.errors import InputError
from livingdrug.trials import Trial
from livingdrug.trials.protocol import Protocol

FOLDER = resources.files("livingdrug.trials")


def read(*place):
    return tomllib.loads(FOLDER.joinpath(*place).read_text(encoding="utf-8"))


DESIGNS = {Trial: read("builtin", "kimmel-zuma-1.toml"), Protocol: read("definitions", "eliana.toml")}
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.floats(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def places(value, here=()):
    yield here
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value[:3])
        for key, item in items:
            yield from places(item, (*here, key))


@pytest.mark.parametrize("kind", DESIGNS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=100)
@given(st.data())
def test_any_change_of_the_file_gives_a_trial_or_a_clear_error(kind, data):
    changed = holder = copy.deepcopy(DESIGNS[kind])
    place = data.draw(st.sampled_from([place for place in places(changed) if place]))
    for key in place[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        del holder[place[-1]]
    else:
        holder[place[-1]] = data.draw(ODD)
    try:
        trial = declare(kind, changed, "odd.toml")
    except InputError as error:
        message = str(error)
    else:
        message = "odd.toml"
        if kind is Trial:
            trial.population.sample(3, seed=1)
    assert message.startswith("odd.toml")
