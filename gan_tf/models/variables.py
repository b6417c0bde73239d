"""Names for a network's variables that depend on its structure alone.

`variable.path` depends on how many models the process built before, and `tf.train.Checkpoint(model)` silently drops
layers kept in lists and dicts. A name here is the attribute path, such as `blocks/3/conv/kernel`.
"""

import hashlib

import keras

from gan_tf.errors import UsageError


def named_variables(layer):
    """Returns {attribute path: keras.Variable} of a built layer or model, in a stable order.

    Attributes are walked by name; lists and dicts add their index or key. A variable reached twice keeps its first
    name.

    Raises:
        ValueError: a variable that Keras tracks cannot be reached through attributes, and would be lost.
    """
    found, seen = {}, set()

    def walk(node, path):
        if id(node) in seen:
            return
        seen.add(id(node))
        children = ()
        if isinstance(node, keras.Variable):
            found["/".join(path)] = node
        elif isinstance(node, keras.Layer):
            children = sorted((name, child) for name, child in vars(node).items() if not name.startswith("_"))
        elif isinstance(node, dict):
            children = sorted(node.items())
        elif isinstance(node, list | tuple):
            children = enumerate(node)
        for name, child in children:
            walk(child, [*path, str(name)])

    walk(layer, [])
    lost = [v.path for v in layer.variables if id(v) not in seen]
    if lost:
        raise ValueError(f"{type(layer).__name__} holds variables that no attribute leads to: {lost}")
    return found


def weights_digest(network):
    """Returns a SHA-256 in hex that identifies the weights of a built network: of all names and bytes of variables."""
    digest = hashlib.sha256()
    for name, variable in named_variables(network).items():
        digest.update(name.encode() + variable.numpy().tobytes())
    return digest.hexdigest()


def load_weights(network, weights: dict, where):
    """Sets every variable of a built network from {attribute path: array}.

    `where` describes the source of the weights in errors.

    Raises:
        UsageError: a name is missing or left over, or a shape differs. The network is unchanged then.
    """
    variables = named_variables(network)
    missing, extra = sorted(variables.keys() - weights.keys()), sorted(weights.keys() - variables.keys())
    if missing or extra:
        raise UsageError(f"{where} does not fit the network of its settings: missing {missing[:3]}, extra {extra[:3]}")
    for name, variable in variables.items():
        if tuple(variable.shape) != weights[name].shape:
            raise UsageError(
                f"{where} does not fit the network of its settings: {name} has shape {weights[name].shape}, "
                f"not {tuple(variable.shape)}"
            )
    for name, variable in variables.items():
        variable.assign(weights[name])
