"""Everything in the body that changes in time, and what of it there is at the start.

The other blocks of the body hold formulas and equations of these states; this page is the list of them.
"""

from __future__ import annotations

from livingdrug.model import Block, logitnormal, lognormal, parameter, state


class Body(Block):
    """The states of the twin, and the numbers that say where they start.

    Cells are those of the whole body. Day 0 is the infusion; the solve may start days before it, at rest, so that
    lymphodepletion is given as doses of its drugs.
    """

    # ---- the start
    host_capacity = parameter(
        2.50e11, "cell", "the host's own T cells at rest (500 per uL of blood)", symbol="K_N",
        source="kimmel2021: table 1",
    )  # fmt: skip
    host_at_start = parameter(
        1.0, "1", "the host's own T cells at the start, as a share of those at rest", symbol="N_0",
        source="assumed: at rest; 0.012 is the body after lymphodepletion in kimmel2021",
    )  # fmt: skip
    tumour_at_start = parameter(
        9.486e10, "cell", "tumour cells at the start", symbol="T_0",
        source="kimmel2021: table 1, the median of 96 volumes at 1e9 cells per mL", spread=lognormal(1.7),
    )  # fmt: skip
    negative_share = parameter(
        1e-12, "1", "share of tumour cells that lack the target antigen before treatment", symbol="q_N",
        source="assumed: both copies of the gene must be lost; often not one cell in a tumour", limits=(0.0, 1.0),
        spread=logitnormal(2.5),
    )  # fmt: skip
    b_cell_capacity = parameter(
        2.5e10, "cell", "normal B cells at rest", symbol="B_0", source="leontriana2020: start of the paper's runs"
    )
    b_cells_at_start = parameter(
        0.3, "1", "normal B cells at the start, as a share of those at rest", symbol="b_0",
        source="assumed: earlier treatment has left a third", limits=(0.0, 10.0), spread=lognormal(0.5),
    )  # fmt: skip
    plasma_capacity = parameter(
        1e10, "cell", "normal plasma cells at rest", symbol="P_0",
        source="assumed: about 0.5 per cent of 2e12 marrow cells",
    )  # fmt: skip
    rejecting_at_start = parameter(
        1e8, "cell", "host T cells that recognise the cells of another donor", symbol="R_0",
        source="assumed: 1 in 2,500 of the host's T cells; acts with foreign cells only", spread=lognormal(0.7),
    )  # fmt: skip
    marrow_at_start = parameter(
        1.0, "1", "blood-forming marrow at the start, as a share of the normal", symbol="H_0",
        source="assumed: normal", limits=(0.01, 2.0), spread=lognormal(0.2),
    )  # fmt: skip
    neutrophils_normal = parameter(
        4000.0, "cell/uL", "neutrophils at rest", source="recalled: normal range 1,800 to 7,700",
        limits=(100.0, 30000.0), spread=lognormal(0.25),
    )  # fmt: skip
    platelets_normal = parameter(
        220000.0, "cell/uL", "platelets at rest", source="recalled: normal range 150,000 to 450,000",
        limits=(1000.0, 2e6), spread=lognormal(0.25),
    )  # fmt: skip
    haemoglobin_normal = parameter(
        12.0, "g/dL", "haemoglobin at rest", source="assumed: slightly low, as after earlier treatment",
        limits=(3.0, 20.0), spread=lognormal(0.1),
    )  # fmt: skip
    immunoglobulin_normal = parameter(
        7.0, "g/L", "immunoglobulin G at rest",
        source="assumed: lowered by disease and earlier treatment (normal range 7 to 16: recalled)", limits=(0.1, 40.0),
        spread=lognormal(0.35),
    )  # fmt: skip
    ifn_gamma_baseline = parameter(
        2.3, "pg/mL", "interferon gamma at rest", symbol="b_G",
        source="hardiansyah2019: UPN1, figure 1b, read off in nlmixr2lib",
    )  # fmt: skip
    il6_baseline = parameter(
        1.7, "pg/mL", "interleukin 6 at rest", symbol="b_Y",
        source="hardiansyah2019: UPN1, figure 1b, read off in nlmixr2lib", spread=lognormal(0.5),
    )  # fmt: skip
    il10_baseline = parameter(
        4.5, "pg/mL", "interleukin 10 at rest", symbol="b_Q",
        source="hardiansyah2019: UPN1, figure 1b, read off in nlmixr2lib",
    )  # fmt: skip
    crp_baseline = parameter(
        5.0, "mg/L", "C-reactive protein at rest", source="assumed: slightly raised in cancer", spread=lognormal(0.8)
    )
    ferritin_baseline = parameter(
        400.0, "ug/L", "ferritin at rest", source="assumed: raised in cancer and after transfusions",
        spread=lognormal(0.6),
    )  # fmt: skip
    il7_baseline = parameter(5.0, "pg/mL", "interleukin 7 at rest", source="assumed: a few pg/mL in serum")

    one_cell = parameter(
        1.0, "cell", "one cell: the least that can grow, and a clone must exist to be joined", source="assumed: a unit"
    )

    # ---- who carries the target
    contact = parameter(
        0.5, "1", "share of the tumour that circulating cells reach", symbol="omega",
        source="assumed: half of a lymphoma; 1 in leukaemia, 0 in solid tumours", limits=(0.0, 1.0),
    )  # fmt: skip
    antigen_density = parameter(
        1.0, "1", "antigen on a tumour cell with antigen, relative to the typical", symbol="delta",
        source="assumed: it acts on expansion; what it does to killing is in the resistance", limits=(0.0, 1e3),
    )  # fmt: skip
    antigen_production = parameter(
        1.0, "1/day", "antigen per cell that carries it and day", symbol="k_b1",
        source="assumed: with the next, antigen counts cells and lags by a day; kirouac2023 fits 0.001-1",
    )  # fmt: skip
    antigen_clearance = parameter(
        1.0, "1/day", "rate at which antigen is cleared", symbol="k_b2", source="assumed: see antigen_production",
        limits=(1e-6, 1e6),
    )  # fmt: skip
    antigen_on_b_cells = parameter(
        1.0, "1", "1 if normal B cells carry the target (CD19), else 0", symbol="w_B",
        source="recalled: CD19 is on all B cells", limits=(0.0, 1.0),
    )  # fmt: skip
    antigen_on_plasma_cells = parameter(
        0.0, "1", "1 if normal plasma cells carry the target (BCMA), else 0", symbol="w_P",
        source="recalled: BCMA is on plasma cells", limits=(0.0, 1.0),
    )  # fmt: skip
    _antigen_at_rest = (
        contact * antigen_density * tumour_at_start * (1 - negative_share)
        + antigen_on_b_cells * b_cell_capacity * b_cells_at_start
        + antigen_on_plasma_cells * plasma_capacity
    )
    antigen_at_rest = antigen_production / antigen_clearance * _antigen_at_rest

    # ---- CAR T cells in blood, marrow and lymph nodes
    infused = state("cell", "CAR T cells infused, on their way", symbol="D", floor=1e3)
    arrived = state("cell", "infused CAR T cells that settled, not yet active", symbol="D_X", floor=1e3)
    memory = state("cell", "memory CAR T cells", symbol="M", floor=1e3)
    early = state("cell", "effector CAR T cells that begin to divide", symbol="E_1", floor=1e3)
    expanded = state("cell", "effector CAR T cells that have divided", symbol="E", floor=1e3)
    exhausted = state("cell", "exhausted CAR T cells", symbol="X", floor=1e3)
    antigen = state(
        "cell", "antigen that these cells meet, counted in cells that carry it", initial=antigen_at_rest, symbol="A",
        floor=1e4,
    )  # fmt: skip
    # ---- CAR T cells that have entered the tumour
    site_effector = state("cell", "effector CAR T cells within the tumour", symbol="E_t", floor=1e3)
    site_exhausted = state("cell", "exhausted CAR T cells within the tumour", symbol="X_t", floor=1e3)
    # ---- the tumour
    tumour_positive = state(
        "cell", "tumour cells with the target antigen", initial=tumour_at_start * (1 - negative_share), symbol="T_P"
    )
    tumour_negative = state("cell", "tumour cells without it", initial=tumour_at_start * negative_share, symbol="T_N")
    # ---- normal B cells and plasma cells
    b_cells = state("cell", "normal B cells", initial=b_cell_capacity * b_cells_at_start, symbol="B", floor=1e4)
    plasma_cells = state("cell", "normal plasma cells", initial=plasma_capacity, symbol="P", floor=1e4)
    immunoglobulin = state("g/L", "immunoglobulin G in serum", initial=immunoglobulin_normal, symbol="Ig")
    # ---- the host's T cells
    host_t = state("cell", "the host's own T cells", initial=host_capacity * host_at_start, symbol="N", floor=1e4)
    interleukin_7 = state("pg/mL", "interleukin 7 in serum", initial=il7_baseline, symbol="L_7", floor=1e-3)
    rejecting = state(
        "cell", "host T cells that reject foreign cells", initial=rejecting_at_start, symbol="R", floor=1e4
    )
    # ---- drugs
    fludarabine = state("mg/m**2", "fludarabine in the body, per body surface", symbol="D_F", floor=1e-2)
    cyclophosphamide = state("mg/m**2", "cyclophosphamide in the body, per body surface", symbol="D_C", floor=1e-1)
    bendamustine = state("mg/m**2", "bendamustine in the body, per body surface", symbol="D_B", floor=1e-2)
    anti_cd52 = state("mg", "antibody against CD52 in the body", symbol="D_A", floor=1e-3)
    toci_central = state("mg", "tocilizumab in serum and what mixes with it at once", symbol="C_1", floor=1e-2)
    toci_peripheral = state("mg", "tocilizumab elsewhere", symbol="C_2", floor=1e-2)
    steroid = state("mg", "corticosteroid in the body, in mg of dexamethasone", symbol="S", floor=1e-3)
    steroid_acting = state("mg", "corticosteroid where it acts, in mg of dexamethasone", symbol="S_e", floor=1e-3)
    anakinra = state("mg", "anakinra in the body", symbol="K", floor=1e-2)
    growth_factor = state(
        "ug/kg", "growth factor for neutrophils (G-CSF) in the body, per kg", symbol="D_G", floor=1e-3
    )
    # ---- cytokines and what they drive
    tolerance = state(
        "day", "engagement of effectors that adds up and tires the release of cytokines", symbol="W", floor=1e-3
    )
    interferon_gamma = state("pg/mL", "interferon gamma in serum", initial=ifn_gamma_baseline, symbol="G", floor=1e-2)
    colony_factor = state("pg/mL", "GM-CSF in serum", symbol="F", floor=1e-2)
    macrophages = state("1", "share of macrophages that are active", symbol="M_a", floor=1e-5)
    interleukin_6 = state("pg/mL", "interleukin 6 in serum, as measured", initial=il6_baseline, symbol="Y", floor=1e-2)
    interleukin_10 = state("pg/mL", "interleukin 10 in serum", initial=il10_baseline, symbol="Q", floor=1e-2)
    c_reactive_protein = state("mg/L", "C-reactive protein in serum", initial=crp_baseline, floor=1e-2)
    serum_ferritin = state("ug/L", "ferritin in serum", initial=ferritin_baseline, floor=1.0)
    endothelium = state(
        "1", "activation of the vessels' lining, such as angiopoietin 2, 1 at rest", initial=1.0, symbol="V", floor=1e-4
    )
    barrier = state("1", "opening of the blood-brain barrier, 0 at rest", symbol="P_B", floor=1e-4)
    cns_cytokines = state("1", "cytokines in the brain, in multiples of what is harmless", symbol="Z", floor=1e-4)
    brain_injury = state("1", "impairment of the brain, delayed", symbol="U", floor=1e-4)
    # ---- blood counts, as shares of their normal values
    marrow = state(
        "1", "blood-forming cells of the marrow, 1 is normal", initial=marrow_at_start, symbol="H", floor=1e-5
    )
    neutrophil_line = state("1", "neutrophils in the making", initial=marrow_at_start, symbol="H_N", floor=1e-5)
    neutrophils = state(
        "cell/uL", "neutrophils in blood", initial=neutrophils_normal * marrow_at_start, symbol="ANC", floor=1e-1
    )
    platelet_line = state("1", "platelets in the making", initial=marrow_at_start, symbol="H_P", floor=1e-5)
    platelets = state(
        "cell/uL", "platelets in blood", initial=platelets_normal * marrow_at_start, symbol="PLT", floor=10.0
    )
    haemoglobin = state("g/dL", "haemoglobin", initial=haemoglobin_normal, symbol="Hb", floor=1e-3)
    # ---- late harm, as accumulated hazard (the chance of the event is 1 - exp(-hazard))
    infection_hazard = state("1", "accumulated hazard of a severe infection", floor=1e-5)
    movement_hazard = state("1", "accumulated hazard of a late movement disorder", floor=1e-7)
