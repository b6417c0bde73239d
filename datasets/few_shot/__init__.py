"""Few-shot datasets of 100 to 389 photographs."""
