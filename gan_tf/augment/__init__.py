"""Augmentations of the discriminator's input: pure, differentiable functions of images and draws."""
