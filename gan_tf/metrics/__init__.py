"""Scores of generated images: `definitions` lists the metrics, `evaluate` runs them, other files compute them."""
