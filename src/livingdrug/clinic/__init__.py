"""The ward: what is observed at the bedside, how it is graded, and what the rules say to do. Not for clinical use."""
