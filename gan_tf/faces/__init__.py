"""Datasets of faces from photographs: detection, alignment by the eyes, output files."""
