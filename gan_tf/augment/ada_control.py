"""What moves the probability of adaptive augmentation: how sure the discriminator is of real images.

r_t = mean of sign(D(real)) is 0 for a discriminator that cannot tell, and goes to 1 as it learns the training images
by heart. Where it is above its target, there is too little augmentation.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), section 3.
"""

import tensorflow as tf

INTERVAL = 4  # steps between two moves
ADA_KIMG = 500.0  # thousands of real images in which p can rise from 0 to 1


def adapted(p, signs, count, images, target, ada_kimg, ada_max):
    """The probability for the next interval: a step of images / (1000 ada_kimg), up if r_t > target, down if below.

    Args:
        p: the probability so far, float32 scalar.
        signs: sum of the mean signs of the interval's steps, each over the whole batch of augmented reals.
        count: how many steps that were. 0 leaves p as it is.
        images: real images that the interval took: INTERVAL times the global batch.
        target: of r_t, in (-1, 1).
        ada_kimg: thousands of images for a way from 0 to 1.
        ada_max: highest p. Not in the official program, which bounds p by 0 only: from about 0.8 on, augmentations
            are so frequent that the generator starts to make augmented images (section 2.2 of the paper).

    Returns:
        float32 scalar in [0, ada_max].
    """
    step = tf.sign(tf.math.divide_no_nan(signs, count) - target) * (images / (1000.0 * ada_kimg))
    return tf.where(count > 0, tf.clip_by_value(p + step, 0.0, ada_max), p)
