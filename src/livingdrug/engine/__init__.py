"""Numbers only, no biology: a model lowered to a kernel, its steps, events, jumps and the solution."""
