"""`python -m tests.losses_on_replicas`: gradients of every loss on two logical CPU devices against those on one.

A process of its own, since devices can be split only before TensorFlow starts. Prints the worst relative L2 error.
"""

import json

import numpy as np
import tensorflow as tf

from gan_tf.losses import LOSSES
from gan_tf.rng import Draws

GLOBAL_BATCH = 6


def gradients(strategy, loss):
    """Gradients of D's and of G's loss with respect to a linear critic and a linear generator: a list of arrays."""
    rng = np.random.default_rng(0)
    reals, latents = rng.normal(size=(2, GLOBAL_BATCH, 5)).astype(np.float32)
    with strategy.scope():
        d = tf.Variable(rng.normal(size=(5, 4)).astype(np.float32))
        g = tf.Variable(rng.normal(size=(5, 5)).astype(np.float32))
    share = GLOBAL_BATCH // strategy.num_replicas_in_sync

    def step():
        replica = tf.distribute.get_replica_context()
        first = replica.replica_id_in_sync_group * share
        draws = Draws(7, tf.constant(0, tf.int64), GLOBAL_BATCH, first, share)
        x, z = (tf.constant(rows)[first : first + share] for rows in (reals, latents))
        with tf.GradientTape(persistent=True) as tape:
            real_logits, fake_logits = x @ d, z @ g @ d
            d_values = tf.add_n(loss.discriminator(real_logits, fake_logits, draws))
            g_values = loss.generator(fake_logits, real_logits if loss.needs_reals else None)
            d_loss, g_loss = (tf.reduce_sum(values) / GLOBAL_BATCH for values in (d_values, g_values))
        slopes = [tape.gradient(d_loss, d), tape.gradient(g_loss, g)]
        return replica.all_reduce("sum", [*slopes, d_loss, g_loss])

    per_replica = tf.function(lambda: strategy.run(step))()
    return [strategy.experimental_local_results(value)[0].numpy() for value in per_replica]


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    errors = {}
    for name, loss in LOSSES.items():
        pairs = zip(gradients(two, loss), gradients(one, loss), strict=True)
        errors[name] = max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
