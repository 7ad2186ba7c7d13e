"""What each paper claims and how it is recomputed: one file per model, with ASSESSMENT, TARGETS and measure()."""
