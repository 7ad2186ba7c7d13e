"""The speed of the solver beside its peers: see README.md in this folder."""
