"""Adversarial losses, gradient penalties, path length regularisation and reconstruction losses.

Losses and penalties return one value per image. The training step sums the values of its replica and divides by the
global batch; the optimiser adds the replicas' gradients.

Logits are [N, L] float32: L logits for each image (50 for FastGAN, 1 for the other families). A loss defined per logit
is averaged over the logits of an image. `LOSSES` maps the values of `--loss` to a `Loss`; the training step adds the
penalties to D's loss, for `wgan_gp` `gradient_penalty`. D is the discriminator, G the generator.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

HINGE_MARGINS = (0.8, 1.0)  # range of the random margins in the official program
SMOOTH_LABEL = 0.9  # label of real images in `bce`
DRIFT = 0.001  # weight of D(x)^2 in `wgan_gp`
PATH_DECAY = 0.01  # weight of a batch in the running mean of path lengths


class Loss(NamedTuple):
    """An adversarial loss.

    discriminator(real_logits [N, L], fake_logits [N, L], draws: gan_tf.rng.Draws) -> (real part [N], fake part [N]);
        D minimises their sum.
    generator(fake_logits [N, L], real_logits [N, L] or None) -> [N]; real logits get no gradient.
    """

    discriminator: Callable
    generator: Callable
    needs_reals: bool = False  # the generator's loss needs real_logits, of the updated D
    bounded: bool = True  # D's loss has a lower bound; near it, D separates all images and G no longer learns


def hinge_discriminator(real_logits, fake_logits, draws):
    """max(0, m - D(x)) and max(0, m + D(G(z))), m ~ U(0.8, 1.0) drawn for each logit.

    Source: Lim and Ye 2017 (Geometric GAN); the random margin is that of the official FastGAN training script.
    """
    real_margins = draws.uniform("hinge real", real_logits.shape[1:], *HINGE_MARGINS)
    fake_margins = draws.uniform("hinge fake", fake_logits.shape[1:], *HINGE_MARGINS)
    return _mean(tf.nn.relu(real_margins - real_logits)), _mean(tf.nn.relu(fake_margins + fake_logits))


def hinge_generator(fake_logits, real_logits=None):
    """-D(G(z)). Source: Lim and Ye 2017."""
    return -_mean(fake_logits)


def logistic_discriminator(real_logits, fake_logits, draws=None):
    """-log sigmoid(D(x)) and -log(1 - sigmoid(D(G(z)))). Source: Goodfellow et al. 2014, equation 1."""
    return _mean(tf.nn.softplus(-real_logits)), _mean(tf.nn.softplus(fake_logits))


def logistic_generator(fake_logits, real_logits=None):
    """-log sigmoid(D(G(z))), the non-saturating form. Source: Goodfellow et al. 2014, section 3."""
    return _mean(tf.nn.softplus(-fake_logits))


def lsgan_discriminator(real_logits, fake_logits, draws=None):
    """(D(x) - 1)^2 / 2 and D(G(z))^2 / 2. Source: Mao et al. 2017, equation 9."""
    return _mean((real_logits - 1.0) ** 2) / 2, _mean(fake_logits**2) / 2


def lsgan_generator(fake_logits, real_logits=None):
    """(D(G(z)) - 1)^2 / 2. Source: Mao et al. 2017, equation 9."""
    return _mean((fake_logits - 1.0) ** 2) / 2


def bce_discriminator(real_logits, fake_logits, draws=None):
    """Binary cross-entropy on sigmoid outputs with label 0.9 for reals and 0 for fakes.

    With label 1 for reals this is `logistic`. One-sided smoothing keeps D's logits on reals from growing without bound.
    Source: Salimans et al. 2016 (Improved techniques for training GANs), section 3.4.
    """
    smoothed = SMOOTH_LABEL * tf.nn.softplus(-real_logits) + (1.0 - SMOOTH_LABEL) * tf.nn.softplus(real_logits)
    return _mean(smoothed), _mean(tf.nn.softplus(fake_logits))


def wgan_discriminator(real_logits, fake_logits, draws=None):
    """-D(x) + 0.001 D(x)^2 and D(G(z)). Source: Karras et al. 2018 (Progressive GAN), appendix A.1."""
    return _mean(DRIFT * real_logits**2 - real_logits), _mean(fake_logits)


def wgan_generator(fake_logits, real_logits=None):
    """-D(G(z)). Source: Arjovsky et al. 2017 (Wasserstein GAN), algorithm 1."""
    return -_mean(fake_logits)


def dual_contrastive_discriminator(real_logits, fake_logits, draws=None):
    """log(1 + sum_z e^(D(G(z)) - D(x))) for each real x, log(1 + sum_x e^(D(G(z)) - D(x))) for each fake G(z).

    D of an image is the mean of its logits; the sums are over the fakes, or the reals, of the global batch on all
    replicas. The gradient of all-gather adds the contributions of all replicas, so that the replicas' gradients, summed
    by the optimiser, equal those of one replica with the whole batch.

    Source: Yu et al. 2021 (Dual Contrastive Loss and Attention for GANs), equations 1 to 3, negated to be minimised.
    """
    reals, fakes = _mean(real_logits), _mean(fake_logits)  # [N]
    real_part = tf.nn.softplus(tf.reduce_logsumexp(_global_batch(fakes)) - reals)
    fake_part = tf.nn.softplus(fakes + tf.reduce_logsumexp(-_global_batch(reals)))
    return real_part, fake_part


def dual_contrastive_generator(fake_logits, real_logits):
    """G minimises what D maximises (equation 3 of Yu et al. 2021), with the logits of the reals as constants."""
    real_part, fake_part = dual_contrastive_discriminator(tf.stop_gradient(real_logits), fake_logits)
    return -real_part - fake_part


def interpolates(reals, fakes, mix):
    """Images between reals and fakes: reals + (fakes - reals) * mix.

    reals, fakes [N, H, W, C], mix [N] in [0, 1] -> [N, H, W, C]. Source: Gulrajani et al. 2017, algorithm 1.
    """
    return reals + (fakes - reals) * tf.cast(tf.reshape(mix, (-1, 1, 1, 1)), fakes.dtype)


def gradient_penalty(discriminator, images, repeats=1):
    """(|gradient of D at an image| - 1)^2, without its factor of 10.

    Args:
        discriminator: images -> logits [N, 1] float32.
        images: [N, H, W, C] float32, from `interpolates`.
        repeats: full resolution / H. The official program upsamples small images to full size, repeating each pixel
            `repeats` by `repeats` times, and takes the gradient there. D first averages those pixels, so each has
            1 / repeats^2 of the small image's gradient, and the norm is 1 / repeats of that at the small image.

    Returns:
        [N]. Its gradient is not finite where D does not depend on the image at all: the root has no epsilon.

    Source: Gulrajani et al. 2017 (Improved Training of Wasserstein GANs), equation 3.
    """
    slopes = _slopes(discriminator, images)
    return (tf.sqrt(tf.reduce_sum(slopes**2, axis=[1, 2, 3])) / repeats - 1.0) ** 2


def r1_penalty(discriminator, reals):
    """Squared length of D's gradient at real images, without gamma / 2: [N]; arguments as for `gradient_penalty`.

    Source: Mescheder et al. 2018 (Which Training Methods for GANs do actually Converge?), section 4.1.
    """
    return tf.reduce_sum(_slopes(discriminator, reals) ** 2, axis=[1, 2, 3])


def energy_distance(fakes, reals):
    """Energy distance of two samples of vectors, relative to the spread of the reals: one value for each fake.

        2 |x - y| - |x - x'| - |y - y'|

    x is the fake, x' another fake, y and y' are two reals, and each length is a mean over all such pairs; the value is
    divided by |y - y'|. The expected sum is 0 if both distributions are equal, and positive otherwise. The first term
    moves a fake to the reals, the second away from the other fakes, so that fakes that are alike are a loss.

    Args:
        fakes, reals: [N, P, C] and [M, P, C] float32, N and M at least 2: P vectors of an image, whose lengths are
            averaged. The reals get no gradient.

    Returns:
        [N].

    Source: Székely and Rizzo 2013 (Energy statistics: a class of statistics based on distances), equation 2.1; as a
    loss of generators: Bellemare et al. 2017 (The Cramér Distance as a Solution to Biased Wasserstein Gradients).
    """
    reals = tf.stop_gradient(reals)
    spread = tf.reduce_sum(_lengths(reals, reals)) / (reals.shape[0] * (reals.shape[0] - 1))
    to_reals = tf.reduce_mean(_lengths(fakes, reals), axis=1)
    to_fakes = tf.reduce_sum(_lengths(fakes, fakes), axis=1) / (fakes.shape[0] - 1)
    return (2.0 * to_reals - to_fakes) / spread - 1.0


def path_lengths(synthesis, ws, directions):
    """Length of the gradient of images, projected on random directions, with respect to ws: RMS over the S layers.

    Args:
        synthesis: ws -> images [N, H, W, C], at least float32 (half precision loses the gradients).
        ws: [N, S, W].
        directions: [N, H, W, C] standard normal; divided here by sqrt(H * W), so that lengths do not grow with images.

    Returns:
        [N]. Its gradient is not finite where an image does not depend on ws at all: the root has no epsilon.

    Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), section 3.2, equation 4, and
    appendix B; details as in the official program.
    """
    slopes = path_slopes(synthesis, ws, directions)
    return tf.sqrt(tf.reduce_mean(tf.reduce_sum(slopes**2, axis=2), axis=1))


def path_slopes(synthesis, ws, directions):
    """Gradient of sum(images * directions) / sqrt(H * W) with respect to ws: tensor like ws."""
    height, width = directions.shape[1:3]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(ws)
        images = synthesis(ws)
        change = tf.reduce_sum(images * tf.cast(directions, images.dtype)) / (height * width) ** 0.5
    return tape.gradient(change, ws)


def path_length_penalty(lengths, mean):
    """Squared distance of each length from the running mean, which is updated with these lengths first.

    The mean is taken over the global batch and has a gradient: that of all-reduce adds the contributions of all
    replicas, as that of all-gather in `dual_contrastive_discriminator`.

    Args:
        lengths: [N] of this replica, from `path_lengths`.
        mean: scalar, the running mean of earlier steps; zero at first.

    Returns:
        (penalty [N], without its weight; the updated running mean, scalar, without gradient).
    """
    batch_mean = tf.reduce_mean(lengths)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        batch_mean = replica.all_reduce(tf.distribute.ReduceOp.SUM, batch_mean) / replica.num_replicas_in_sync
    mean = mean + PATH_DECAY * (batch_mean - mean)
    return (lengths - mean) ** 2, tf.stop_gradient(mean)


LOSSES = {
    "hinge": Loss(hinge_discriminator, hinge_generator),
    "dual_contrastive": Loss(dual_contrastive_discriminator, dual_contrastive_generator, needs_reals=True),
    "logistic": Loss(logistic_discriminator, logistic_generator),
    "lsgan": Loss(lsgan_discriminator, lsgan_generator),
    "bce": Loss(bce_discriminator, logistic_generator),
    "wgan_gp": Loss(wgan_discriminator, wgan_generator, bounded=False),
}

# {name: function of the outputs and targets of decoders, [N, H, W, C] -> error of each image [N]}
RECONSTRUCTIONS = {
    "l1": lambda outputs, targets: tf.reduce_mean(tf.abs(outputs - targets), axis=[1, 2, 3]),
    "l2": lambda outputs, targets: tf.reduce_mean((outputs - targets) ** 2, axis=[1, 2, 3]),
}


def _slopes(discriminator, images):
    """Gradient of every image's logit with respect to the images: tensor like images."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = discriminator(images)
    return tape.gradient(logits, images)


def _lengths(x, y):
    """|x - y| of all pairs of x [N, P, C] and y [M, P, C], averaged over P: [N, M]; a length of 0 has no gradient."""
    squares = tf.reduce_sum((x[:, None] - y) ** 2, axis=3)
    return tf.reduce_mean(tf.sqrt(tf.where(squares > 0, squares, 1.0)) * tf.cast(squares > 0, squares.dtype), axis=2)


def _mean(logits):
    return tf.reduce_mean(logits, axis=1)


def _global_batch(values):
    """[N] of this replica -> [global batch], all replicas' values in replica order; differentiable."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return values
    return replica.all_gather(values, axis=0)
