"""Faces cut out of photographs: detection, alignment by the eyes, and sets of the faces found.

Read `search.py` first.
"""
