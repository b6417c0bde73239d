"""StyleGAN2-ADA's settings that follow from the resolution and the batch where none is given.

Source: the configuration `auto` of the official program for one GPU; Karras et al. 2020 (Training Generative
Adversarial Networks with Limited Data), appendix C.
"""


def batch_size(resolution: int) -> int:
    """Images in a step: 32 up to 128 pixels, 16 at 256, 8 at 512, 4 at 1024."""
    return max(1, min(4096 // resolution, 32))


def r1_gamma(resolution: int, batch: int) -> float:
    """Weight of the R1 penalty: larger images have smaller gradients for each pixel, smaller batches noisier ones."""
    return 0.0002 * resolution**2 / batch


def learning_rate(resolution: int) -> float:
    """Of both optimisers, before the share that lazy regularisation takes."""
    return 0.002 if resolution >= 1024 else 0.0025


def ema_kimg(batch: int) -> float:
    """Half-life of the averaged generator, thousands of images."""
    return batch * 10 / 32
