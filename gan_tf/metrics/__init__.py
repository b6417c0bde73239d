"""Scores of generated images: `table` names them, `evaluate` measures them, other files are one metric's maths each."""
