"""One file per solver, each with the same function ``run(problem, parameters, tolerance) -> Run``."""
