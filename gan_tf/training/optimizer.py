"""Adam with one fused operation for each weight.

The fused kernel (`ResourceApplyAdam`) updates a weight and its two moments in one pass over memory; written with plain
operations the same update takes seven. It writes to the replica's own copy, so that no cross-replica call is needed:
replicas that pass equal gradients stay equal.
"""

import tensorflow as tf


class Adam:
    """Adam for one network's trainable variables.

    Args:
        variables: {attribute path: keras.Variable}, float32 (float64 in tests).
        beta1, beta2: decays of the first and second moment.
        epsilon: added to the root of the bias-corrected second moment, as in the paper's algorithm 1 and in PyTorch.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    def __init__(self, variables, beta1, beta2, epsilon=1e-8):
        self.variables = variables
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.steps = _replicated(tf.constant(0.0))  # float: 2**24 steps are more than any run has
        self.m = {path: _replicated(tf.zeros_like(v.value)) for path, v in variables.items()}
        self.v = {path: _replicated(tf.zeros_like(v.value)) for path, v in variables.items()}

    def named_variables(self):
        """{name: tf.Variable} of everything that must be saved."""
        moments = {f"m/{path}": v for path, v in self.m.items()} | {f"v/{path}": v for path, v in self.v.items()}
        return {"steps": self.steps, **moments}

    def reset(self):
        """Forgets all steps so far, as at a fresh start; outside of replicas."""
        for variable in self.named_variables().values():
            variable.assign(tf.zeros_like(variable))

    def apply(self, gradients, lr):
        """Takes one step, inside a replica.

        Args:
            gradients: {attribute path: tensor}, of the whole global batch; a path left out stays as it is.
            lr: scalar.
        """
        steps = tf.convert_to_tensor(self.steps) + 1.0
        beta1_power, beta2_power = self.beta1**steps, self.beta2**steps
        epsilon = self.epsilon * tf.sqrt(1.0 - beta2_power)  # the kernel adds it before the bias correction
        for path, gradient in gradients.items():
            tf.raw_ops.ResourceApplyAdam(
                var=self.variables[path].value.handle,
                m=self.m[path].handle,
                v=self.v[path].handle,
                beta1_power=tf.cast(beta1_power, gradient.dtype),
                beta2_power=tf.cast(beta2_power, gradient.dtype),
                lr=tf.cast(lr, gradient.dtype),
                beta1=self.beta1,
                beta2=self.beta2,
                epsilon=tf.cast(epsilon, gradient.dtype),
                grad=gradient,
            )
        tf.raw_ops.AssignVariableOp(resource=self.steps.handle, value=steps)


def _replicated(value):
    return tf.Variable(value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
