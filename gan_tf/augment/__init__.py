"""Augmentations inside the training step: pure, differentiable functions of images and draws."""
