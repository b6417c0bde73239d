"""The frozen networks that metrics look through, each loaded when it is first asked for."""

import functools

from gan_tf.errors import UsageError


class Networks:
    """Inception and LPIPS, as the user wants them.

    Args:
        weights: the user's own file for Inception; None for the official one. Scores then carry its hash in their name.
        resize: how images come to Inception's 299 pixels: "pytorch", "clean" or "tf1".
        precision: of Inception: "float32", or "bfloat16", whose scores go by another name.
        offline: forbid every fetch.
        say: told before anything is fetched.
        alternative: what the user can do without Inception, in place of the usual advice.
    """

    def __init__(
        self, *, weights=None, resize="pytorch", precision="float32", offline=False, log=print, alternative=None
    ):
        self.weights, self.resize, self.precision = weights, resize, precision
        self.offline, self.log = offline, log
        self.alternative = alternative

    @functools.cached_property
    def extractor(self):
        """Inception behind its preprocessing. Raises UsageError if its weights cannot be had."""
        from gan_tf.metrics.features import Extractor
        from gan_tf.pretrained.inception import INCEPTION, load_inception

        alternative = self.alternative or INCEPTION.alternative
        try:
            network = load_inception(self.weights, offline=self.offline, log=self.log, alternative=alternative)
        except UsageError as error:
            raise UsageError(f"--weights: {error}" if self.weights else str(error)) from error
        return Extractor(network, self.resize, self.precision)

    @property
    def has_lpips(self):
        """True if a metric has asked for LPIPS before."""
        return "lpips" in vars(self)

    @functools.cached_property
    def lpips(self):
        """The perceptual distance. Raises UsageError if its weights cannot be had."""
        from gan_tf.pretrained.lpips import load_lpips

        return load_lpips(offline=self.offline, log=self.log, alternative="leave out ppl and lpips_diversity")


def networks_of(settings, log):
    """Networks as a command's `settings` ask for them: its `weights`, `resize`, `feature_precision` and `offline`."""
    return Networks(
        weights=settings.weights,
        resize=settings.resize,
        precision=settings.feature_precision,
        offline=settings.offline,
        log=log,
    )
