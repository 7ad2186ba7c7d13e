"""The two problems of the bench, declared like any other model of the project.

Neither is a published model: they are made of the usual parts of CAR-T models, with assumed values, and sized to show
what a solver does with an easy and with a demanding problem. Nothing clinical follows from them.
"""

from livingdrug.model.declaration import Model
from livingdrug.model.expressions import maximum, minimum, time
from livingdrug.model.symbols import bolus, ddt, lognormal, parameter, state


def rate(value: float, spread: float, meaning: str):
    """A parameter per day with a log-normal spread."""
    return parameter(value, "1/day", meaning, spread=lognormal(spread))


def number(value: float, spread: float, meaning: str):
    """A parameter without unit with a log-normal spread."""
    return parameter(value, "1", meaning, spread=lognormal(spread))


def cells(value: float, spread: float, meaning: str):
    """A parameter in cells with a log-normal spread."""
    return parameter(value, "cell", meaning, spread=lognormal(spread))


def constant(value: float, unit: str, meaning: str):
    """A parameter that is the same in all patients."""
    return parameter(value, unit, meaning)


class Small(Model):
    """Five states, no events: injected cells become effectors that multiply on antigen, kill, and leave memory."""

    dose = cells(2e8, 0.5, "cells infused")
    burden = cells(2e11, 1.0, "tumour cells at infusion")
    injected_loss = rate(0.15, 0.3, "death of injected cells")
    engraftment = rate(0.5, 0.3, "injected cells becoming effectors")
    slow_expansion = rate(0.06, 0.3, "growth on antigen, late")
    fast_expansion = rate(1.15, 0.25, "growth on antigen, early, on top")
    expansion_ageing = rate(0.085, 0.2, "how soon the early growth ends")
    expansion_steepness = number(5.0, 0.15, "how abruptly the early growth ends")
    half_antigen = cells(1e9, 0.8, "tumour cells for half of the growth")
    effector_loss = rate(0.25, 0.25, "death of effectors")
    memory_formation = rate(0.01, 0.5, "effectors becoming memory cells")
    reactivation = rate(0.15, 0.5, "memory cells becoming effectors on antigen")
    memory_loss = rate(0.003, 0.5, "death of memory cells")
    tumour_growth = rate(0.035, 0.5, "growth of a small tumour")
    tumour_limit = cells(1e13, 0.3, "tumour cells at which growth ends")
    killing = rate(0.9, 0.4, "highest rate of killing")
    killing_ratio = number(0.3, 0.6, "weight of the tumour in the saturation of killing")
    half_killing = cells(1e8, 0.8, "CAR-T cells for half of the killing when there is little tumour")
    release = parameter(2e-11, "pg/mL/cell", "cytokine per killed cell", spread=lognormal(0.5))
    clearance = rate(4.0, 0.3, "loss of cytokine")
    one_cell = constant(1.0, "cell", "below this a tumour hardly grows")
    first_moment = constant(1e-6, "day", "keeps the power of time smooth at zero")

    injected = state("cell", "injected CAR-T cells", initial=dose)
    effector = state("cell", "effector CAR-T cells")
    memory = state("cell", "memory CAR-T cells")
    tumour = state("cell", "tumour cells", initial=burden)
    cytokine = state("pg/mL", "cytokine in blood", floor=1e-3)

    antigen = tumour / (half_antigen + tumour)
    age = (expansion_ageing * (time + first_moment)) ** expansion_steepness
    growth = (slow_expansion + fast_expansion / (1 + age)) * antigen
    attackers = injected + effector
    kill = killing * attackers / (attackers + killing_ratio * tumour + half_killing)

    equations = {
        ddt(injected): -(injected_loss + engraftment) * injected,
        ddt(effector): engraftment * injected
        + growth * effector
        - (effector_loss + memory_formation) * effector
        + reactivation * memory * antigen,
        ddt(memory): memory_formation * effector - reactivation * memory * antigen - memory_loss * memory,
        ddt(tumour): tumour_growth * tumour * (1 - tumour / tumour_limit) * tumour / (one_cell + tumour)
        - kill * tumour,
        ddt(cytokine): release * kill * tumour - clearance * cytokine,
    }
    outputs = {"tumour_cells": tumour}


class Full(Model):
    """Seventeen states, eight doses at four of them patient-specific times: conditioning, cells, cytokines, rescue."""

    dose = cells(1e8, 0.4, "CAR-T cells infused")
    memory_share = number(0.3, 0.3, "share of memory cells in the dose")
    car_negative_dose = cells(1e8, 0.4, "cells without CAR infused")
    burden = cells(1e11, 1.0, "tumour cells before conditioning")
    negative_share = number(1e-7, 1.0, "share of tumour cells without the antigen")
    fludarabine_dose = number(1.0, 0.1, "one of three doses")
    cyclophosphamide_dose = number(1.0, 0.1, "one of three doses")
    tocilizumab_dose = number(1200.0, 0.1, "the one dose")
    steroid_dose = number(10.0, 0.1, "one of three doses")
    rescue_day = parameter(9.0, "day", "day of tocilizumab", spread=lognormal(0.08))

    slow_expansion = rate(0.06, 0.3, "growth on antigen, late")
    fast_expansion = rate(0.75, 0.25, "growth on antigen, early, on top")
    expansion_ageing = rate(0.055, 0.15, "how soon the early growth ends")
    expansion_steepness = number(6.0, 0.15, "how abruptly the early growth ends")
    half_antigen = cells(1e9, 0.8, "antigen-bearing cells for half of the growth")
    niche_gain = number(0.8, 0.3, "how much an empty niche adds to growth")
    half_niche = cells(2e10, 0.3, "host T cells that half fill the niche")
    half_steroid = number(2.0, 0.3, "steroid that halves growth and activation")
    effector_loss = rate(0.2, 0.25, "death of effectors")
    memory_formation = rate(0.012, 0.5, "effectors becoming memory cells")
    exhaustion = rate(0.06, 0.5, "effectors becoming exhausted on antigen")
    reactivation = rate(0.15, 0.5, "memory cells becoming effectors on antigen")
    memory_loss = rate(0.003, 0.5, "death of memory cells")
    exhausted_loss = rate(0.12, 0.3, "death of exhausted cells")
    car_negative_growth = rate(0.3, 0.3, "growth of cells without CAR in an empty niche")
    car_negative_loss = rate(0.12, 0.3, "death of cells without CAR")
    host_level = cells(1e11, 0.3, "host T cells in health")
    host_turnover = rate(0.03, 0.3, "recovery of host T cells")
    host_by_fludarabine = rate(0.35, 0.3, "death of host T cells by fludarabine")
    host_by_cyclophosphamide = rate(0.25, 0.3, "death of host T cells by cyclophosphamide")
    killing = rate(1.0, 0.35, "highest rate of killing")
    killing_ratio = number(0.3, 0.6, "weight of the targets in the saturation of killing")
    half_killing = cells(1e8, 0.8, "killers for half of the killing when there are few targets")
    exhausted_weight = number(0.3, 0.3, "killing by an exhausted cell against an effector")
    memory_weight = number(0.05, 0.3, "killing by a memory cell against an effector")
    positive_growth = rate(0.035, 0.5, "growth of tumour with the antigen")
    negative_growth = rate(0.03, 0.5, "growth of tumour without the antigen")
    tumour_limit = cells(1e13, 0.3, "tumour cells at which growth ends")
    antigen_loss = rate(1e-8, 0.8, "tumour cells losing the antigen")
    bystander = number(0.02, 0.6, "killing of tumour without the antigen against tumour with it")
    tumour_by_fludarabine = rate(0.05, 0.3, "death of tumour by fludarabine")
    tumour_by_cyclophosphamide = rate(0.08, 0.3, "death of tumour by cyclophosphamide")
    b_cell_level = cells(1e11, 0.4, "B cells in health")
    b_cell_turnover = rate(0.02, 0.3, "recovery of B cells")
    b_cell_by_fludarabine = rate(0.2, 0.3, "death of B cells by fludarabine")
    fludarabine_loss = rate(1.8, 0.2, "elimination")
    cyclophosphamide_loss = rate(2.6, 0.2, "elimination")
    il6_base = parameter(60.0, "pg/mL/day", "release of IL-6 in health", spread=lognormal(0.3))
    il6_by_killing = parameter(6e-8, "pg/mL/cell", "IL-6 per killed cell", spread=lognormal(0.5))
    il6_by_macrophages = parameter(3e4, "pg/mL/day", "IL-6 by macrophages", spread=lognormal(0.5))
    il6_loss = rate(12.0, 0.25, "loss of IL-6 with all receptors free")
    tocilizumab_loss = rate(0.12, 0.2, "elimination")
    binding = rate(0.05, 0.2, "tocilizumab to receptor")
    unbinding = rate(1.0, 0.2, "tocilizumab from receptor")
    internalisation = rate(0.3, 0.2, "loss of the complex")
    receptors = number(4.0, 0.2, "IL-6 receptors in all")
    interferon_by_killing = parameter(8e-9, "pg/mL/cell", "interferon per killed cell", spread=lognormal(0.5))
    interferon_loss = rate(6.0, 0.25, "loss of interferon")
    macrophage_activation = rate(1.0, 0.3, "activation of macrophages")
    half_interferon = parameter(200.0, "pg/mL", "interferon for half of it", spread=lognormal(0.5))
    macrophage_calming = rate(0.4, 0.3, "macrophages calming down")
    endothelium_activation = rate(0.5, 0.3, "activation of endothelium")
    half_il6 = parameter(500.0, "pg/mL", "IL-6 signal for half of it", spread=lognormal(0.5))
    endothelium_calming = rate(0.25, 0.3, "endothelium calming down")
    steroid_loss = rate(0.5, 0.2, "elimination")
    one_cell = constant(1.0, "cell", "below this a tumour hardly grows")
    first_moment = constant(1e-6, "day", "keeps the power of time smooth at zero")

    effector = state("cell", "effector CAR-T cells")
    memory = state("cell", "memory CAR-T cells")
    exhausted = state("cell", "exhausted CAR-T cells")
    car_negative = state("cell", "infused T cells without CAR")
    host = state("cell", "host T cells", initial=host_level)
    positive = state("cell", "tumour cells with the antigen", initial=burden)
    negative = state("cell", "tumour cells without the antigen", initial=burden * negative_share)
    b_cells = state("cell", "healthy B cells", initial=b_cell_level)
    fludarabine = state("1", "fludarabine, relative to one dose", floor=1e-3)
    cyclophosphamide = state("1", "cyclophosphamide, relative to one dose", floor=1e-3)
    il6 = state("pg/mL", "IL-6 in blood", initial=il6_base / il6_loss, floor=1e-2)
    tocilizumab = state("1", "tocilizumab", floor=1e-2)
    blocked = state("1", "IL-6 receptors blocked by tocilizumab", floor=1e-3)
    interferon = state("pg/mL", "interferon gamma in blood", floor=1e-3)
    macrophages = state("1", "share of macrophages that are active", floor=1e-4)
    endothelium = state("1", "share of endothelium that is active", floor=1e-4)
    steroid = state("1", "steroid", floor=1e-3)

    antigen = (positive + b_cells) / (half_antigen + positive + b_cells)
    niche = 1 / (1 + host / half_niche)
    calm = 1 + steroid / half_steroid
    killers = effector + exhausted_weight * exhausted + memory_weight * memory
    kill = killing * killers / (killers + killing_ratio * (positive + negative + b_cells) + half_killing)
    age = (expansion_ageing * (time + first_moment)) ** expansion_steepness
    growth = (slow_expansion + fast_expansion / (1 + age)) * antigen * (1 + niche_gain * niche) / calm
    free = 1 - blocked / receptors
    chemotherapy = tumour_by_fludarabine * fludarabine + tumour_by_cyclophosphamide * cyclophosphamide
    room = 1 - (positive + negative) / tumour_limit
    killed = kill * (positive + b_cells)
    bound = binding * tocilizumab * (receptors - blocked)

    equations = {
        ddt(effector): growth * effector
        - (effector_loss + memory_formation + exhaustion * antigen) * effector
        + reactivation * antigen * memory,
        ddt(memory): memory_formation * effector - reactivation * antigen * memory - memory_loss * memory,
        ddt(exhausted): exhaustion * antigen * effector - exhausted_loss * exhausted,
        ddt(car_negative): car_negative_growth * niche * car_negative - car_negative_loss * car_negative,
        ddt(host): host_turnover * (host_level - host)
        - (host_by_fludarabine * fludarabine + host_by_cyclophosphamide * cyclophosphamide) * host,
        ddt(positive): positive_growth * positive * room * positive / (one_cell + positive)
        - kill * positive
        - antigen_loss * positive
        - chemotherapy * positive,
        ddt(negative): negative_growth * negative * room * negative / (one_cell + negative)
        + antigen_loss * positive
        - bystander * kill * negative
        - chemotherapy * negative,
        ddt(b_cells): b_cell_turnover * (b_cell_level - b_cells)
        - kill * b_cells
        - b_cell_by_fludarabine * fludarabine * b_cells,
        ddt(fludarabine): -fludarabine_loss * fludarabine,
        ddt(cyclophosphamide): -cyclophosphamide_loss * cyclophosphamide,
        ddt(il6): il6_base
        + il6_by_killing * killed
        + il6_by_macrophages * macrophages
        - il6_loss * (0.2 + 0.8 * free) * il6,
        ddt(tocilizumab): -tocilizumab_loss * tocilizumab - bound + unbinding * blocked,
        ddt(blocked): bound - (unbinding + internalisation) * blocked,
        ddt(interferon): interferon_by_killing * killed - interferon_loss * interferon,
        ddt(macrophages): macrophage_activation * interferon / (interferon + half_interferon) * (1 - macrophages) / calm
        - macrophage_calming * macrophages,
        ddt(endothelium): endothelium_activation * il6 * free / (il6 * free + half_il6) * (1 - endothelium)
        - endothelium_calming * endothelium,
        ddt(steroid): -steroid_loss * steroid,
    }
    one_day = constant(1.0, "day", "between the steroid's doses, after tocilizumab")
    earliest = constant(8.0, "day", "earliest day of tocilizumab")
    latest = constant(10.0, "day", "latest day of tocilizumab")
    rescue = minimum(maximum(rescue_day, earliest), latest)
    events = [
        bolus(fludarabine, fludarabine_dose, at=0),
        bolus(cyclophosphamide, cyclophosphamide_dose, at=0),
        bolus(fludarabine, fludarabine_dose, at=1),
        bolus(cyclophosphamide, cyclophosphamide_dose, at=1),
        bolus(fludarabine, fludarabine_dose, at=2),
        bolus(cyclophosphamide, cyclophosphamide_dose, at=2),
        bolus(effector, dose * (1 - memory_share), at=5),
        bolus(memory, dose * memory_share, at=5),
        bolus(car_negative, car_negative_dose, at=5),
        bolus(tocilizumab, tocilizumab_dose, at=rescue),
        bolus(steroid, steroid_dose, at=rescue + one_day),
        bolus(steroid, steroid_dose, at=rescue + 2 * one_day),
        bolus(steroid, steroid_dose, at=rescue + 3 * one_day),
    ]
    outputs = {"tumour_cells": positive + negative}
