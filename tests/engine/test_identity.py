"""A patient's bits depend on nothing but the patient: not on threads, order, vector width, blocks or company."""

import numpy as np
import pytest

from livingdrug.engine.compile import vector_width
from livingdrug.engine.solve import Change, Crossing, Dose, Extreme, solve, solve_in_blocks
from livingdrug.library import load_model

COUNT = 150


def _random(seed):
    return np.random.default_rng(seed)


def treated(models, rows):
    """Doses, infusions, changes, crossings and extremes in one solve, different in every patient."""
    random = _random(1)
    at, amounts, clearance = random.uniform(0, 5, COUNT), random.uniform(1, 200, COUNT), random.uniform(0.5, 9, COUNT)
    at[::7] = np.nan
    length = np.where(random.uniform(size=COUNT) < 0.5, 0.0, random.uniform(0.1, 3, COUNT))
    level = random.uniform(0.5, 10, COUNT)
    return models.Treated, {
        "parameters": {"clearance": clearance[rows], "dose_day": random.uniform(0, 6, COUNT)[rows]},
        "times": np.linspace(0, 9, 13),
        "doses": [
            Dose("drug", amounts[rows], at=at[rows], duration=length[rows]),
            Change("clearance", 3.0, at=at[rows]),
        ],
        "crossings": {
            "up": Crossing("concentration", above=level[rows]),
            "down": Crossing("drug", below=level[rows], stop=True),
        },
        "extremes": {"peak": Extreme("concentration")},
    }


def kimmel(models, rows):
    """A jump model: the random streams belong to the patient too."""
    random = _random(2)
    k = load_model("kimmel2021")
    volume = 10 ** random.uniform(0, 3, COUNT)
    capacity = 6.96e10 * np.exp(0.3 * random.standard_normal(COUNT))
    return k, {
        "parameters": dict(k.parameter_sets["code"])
        | {"baseline_tumour_volume": volume[rows], "car_t_capacity": capacity[rows]},
        "times": np.array([7, 28, 90, 400.0]),
        "crossings": {"progression": Crossing("tumour_volume", above=1.2 * volume[rows], stop=True)},
        "seed": 11,
    }


def kirouac(models, rows):
    """Powers at and near zero send some lanes the long way, which must not show in their neighbours."""
    k = load_model("kirouac2023")
    sets = [list(k.parameter_sets.values())[i % 36] for i in range(COUNT)]
    scale = np.exp(0.2 * _random(3).standard_normal(COUNT))
    parameters = {name: np.array([s[name] for s in sets])[rows] for name in sets[0]}
    parameters["kill_rate"] = (np.array([s["kill_rate"] for s in sets]) * scale)[rows]
    return k, {"parameters": parameters, "times": np.array([1, 7, 28, 180.0])}


def exploding(models, rows):
    """Some patients fail; the others, and what is said of those that fail, stay the same."""
    return models.Explosion, {
        "parameters": {"k": _random(4).uniform(0.02, 0.6, COUNT)[rows]},
        "times": np.array([0, 1, 2, 3.0]),
    }


def crowded(models, rows):
    """A jump model whose rates are not proportional to its cells: event after event."""
    start, crowd = _random(9).integers(1, 60, COUNT).astype(float), _random(10).uniform(0.005, 0.1, COUNT)
    parameters = {"start": start[rows], "crowd": crowd[rows], "birth": 0.6}
    return models.Crowded, {"parameters": parameters, "times": np.array([0.5, 2.0, 6.0]), "seed": 4}


CASES = {f.__name__: f for f in (treated, kimmel, kirouac, exploding, crowded)}


def run(case, models, rows=None, rtol=1e-5, **options):
    rows = np.arange(COUNT) if rows is None else rows
    model, arguments = CASES[case](models, rows)
    return solve(
        model,
        arguments.pop("parameters"),
        arguments.pop("times"),
        patient_ids=1000 + rows,
        rtol=rtol,
        **arguments,
        **options,
    )


def everything(solution):
    """All that a solution says of its patients, one row of bytes per patient."""
    columns = [
        solution.values,
        solution.final,
        solution.status,
        solution.time_reached,
        solution.steps,
        solution.rejected,
    ]
    columns += [*solution.crossing_time.values(), *solution.extinct_time.values(), *solution.tangents.values()]
    columns += [a for pair in solution.extreme.values() for a in pair]
    count = len(solution.status)
    return np.hstack([np.ascontiguousarray(c).reshape(count, -1).view(np.uint8) for c in columns])


@pytest.fixture(scope="module")
def plain(models):
    """Each case once, with one thread and the processor's own vector width."""
    known = {}

    def get(case):
        if case not in known:
            known[case] = everything(run(case, models, threads=1))
        return known[case]

    return get


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads(models, plain, case, threads):
    assert np.array_equal(everything(run(case, models, threads=threads)), plain(case))


@pytest.mark.parametrize("case", CASES)
def test_any_order_of_patients(models, plain, case):
    order = _random(5).permutation(COUNT)
    assert np.array_equal(everything(run(case, models, rows=order)), plain(case)[order])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_any_width_of_vector(models, plain, case, lanes):
    if lanes == vector_width():
        assert np.array_equal(everything(run(case, models, lanes=None)), plain(case))
    assert np.array_equal(everything(run(case, models, lanes=lanes)), plain(case))


@pytest.mark.parametrize("case", CASES)
def test_alone_as_in_company(models, plain, case):
    for row in (0, 1, 63, COUNT - 1):
        assert np.array_equal(everything(run(case, models, rows=np.array([row])))[0], plain(case)[row])


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_any_size_of_block(models, block):
    """Parameters are made from identifiers, block by block."""
    rate = _random(6).uniform(0.1, 0.9, 40)

    def parameters(ids):
        return {"death": rate[ids.astype(int)]}

    ids = np.arange(40, dtype=np.uint64)
    whole = everything(solve(models.Clone, parameters(ids), [1.0, 9.0], patient_ids=ids, seed=3))
    blocks = solve_in_blocks(models.Clone, parameters, ids, [1.0, 9.0], block=block, seed=3)
    assert np.array_equal(np.vstack([everything(b) for b in blocks]), whole)


def test_one_patient_that_changes_leaves_the_others(models, plain):
    """Only row 17 has another volume."""
    model, arguments = kimmel(models, np.arange(COUNT))
    arguments["parameters"]["baseline_tumour_volume"][17] *= 2
    times = arguments.pop("times")
    found = everything(
        solve(model, arguments.pop("parameters"), times, patient_ids=1000 + np.arange(COUNT), rtol=1e-5, **arguments)
    )
    assert np.flatnonzero((found != plain("kimmel")).any(axis=1)).tolist() == [17]


def test_times_of_others_do_not_matter(models):
    """Also where another patient's solve starts before day 0, or ends later."""
    times = np.array([[-5.0, 0, 1], [0, 1, 2], [0, 1, 90]])
    found = solve(models.Logistic, {"growth": [0.5, 0.4, 0.3]}, times)
    for row, growth in enumerate((0.5, 0.4, 0.3)):
        alone = solve(models.Logistic, {"growth": [growth]}, times[row : row + 1])
        assert np.array_equal(everything(alone)[0], everything(found)[row])


@pytest.mark.parametrize("case", ["treated", "kimmel"])
@pytest.mark.parametrize("options", [{"threads": 3}, {"lanes": 4}, {"order": True}, {"rows": [5]}])
def test_rounds_keep_all_that(models, case, options):
    """A visit that changes states by their own values, in every patient."""

    def visit(ward):
        if case == "kimmel":
            ward["car_t"] = ward["car_t"] * np.where(ward["tumour_cells"] > 1e9, 1.5, 1.0)
            ward.stop(ward["tumour_cells"] > 1e12)
        else:
            ward["drug"] = 0.5 * ward["drug"]
            ward.give(Dose("drug", 10.0, at=np.where(ward["concentration"] < 2, ward.time + 0.25, np.nan)))

    days = [3.0, 14.0, 28.0] if case == "kimmel" else [1.5, 3.0, 8.5]
    whole = everything(run(case, models, rounds=days, visit=visit, threads=1))
    order = (
        _random(7).permutation(COUNT)
        if options.pop("order", False)
        else np.array(options.pop("rows", np.arange(COUNT)))
    )
    assert np.array_equal(everything(run(case, models, rows=order, rounds=days, visit=visit, **options)), whole[order])


def test_tangents_keep_all_that(models):
    """Days of doses at the very start too, where the slopes of all lanes are computed while lanes are being filled."""
    random = _random(8)
    clearance, day = random.uniform(1, 9, COUNT), np.where(np.arange(COUNT) % 3 == 0, 0.0, random.uniform(0, 3, COUNT))

    def found(rows, **options):
        parameters = {"clearance": clearance[rows], "dose_day": day[rows]}
        return everything(solve(models.Treated, parameters, [0, 1, 5.0], tangents=["clearance", "dose_day"], **options))

    whole = found(np.arange(COUNT), threads=1)
    order = random.permutation(COUNT)
    assert np.array_equal(found(order, threads=2), whole[order])
    assert np.array_equal(found(order[:1]), whole[order[:1]])
    assert np.array_equal(found(order, lanes=4), whole[order])
