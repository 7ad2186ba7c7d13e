"""Inference: fitting models to clinical data as pharmacometricians do."""
