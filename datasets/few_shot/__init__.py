"""Few-shot sets of 100 to 389 photographs."""
