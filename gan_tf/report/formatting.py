"""Scores and their protocols in words."""

import json
import math
import re

METRICS = {
    "fid": "Fréchet distance of Inception features",
    "kid": "kernel distance of Inception features",
    "precision_recall": "harmonic mean of precision and recall in Inception features",
    "density_coverage": "coverage in Inception features",
    "is": "Inception Score",
    "swd": "sliced Wasserstein distance of image patches",
    "ms_ssim": "likeness of random pairs (MS-SSIM)",
    "lpips_diversity": "perceptual distance of random pairs (LPIPS)",
    "ppl": "perceptual path length",
    "memorisation": "share of copies of training images",
}
SPOKEN = ("reals", "reals_key", "reals_source", "fakes", "fakes_source", "resolution", "versions")  # in the sentence
HASH = re.compile(r"[0-9a-f]{16,}")
SHOWN_DIGITS = 8  # of a hash


def metric_words(name) -> str:
    """What a metric measures: "fid5k-custom:1a2b3c4d" is a Fréchet distance. "score" for an unknown one."""
    return METRICS.get(re.match(r"[a-z_]*", name)[0], "score")


def describe_protocol(score, sources=None) -> str:
    """What was measured, in a sentence.

    Args:
        score: Score.
        sources: names of the reals' sources, where several scores of one protocol stand together.
    """
    better = "lower is better" if score.lower_is_better else "higher is better"
    details = ", ".join(f"{key} {shown(value)}" for key, value in score.compared.items() if key not in SPOKEN)
    sentence = f"{score.name}: {metric_words(score.name)}, {better}; {images_words(score.protocol, sources)}"
    return sentence.rstrip("; ") + (f"; {details}." if details else ".")


def images_words(protocol, sources=None) -> str:
    """How many images were compared, and whose; empty where a protocol says nothing of it."""
    source = " or ".join(sources or [str(protocol[key]) for key in ("reals_source",) if key in protocol])
    of_reals = f" of {source}" if source else ""
    of_reals += f" ({shown(protocol['reals_key'])})" if protocol.get("reals_key") else ""
    sides = [f"{count(protocol['fakes'])} fakes"] if "fakes" in protocol else []
    sides += [f"{count(protocol['reals'])} reals{of_reals}"] if "reals" in protocol else []
    at = f" at {protocol['resolution']}x{protocol['resolution']}" if "resolution" in protocol else ""
    return " against ".join(sides) + at


def shown(value) -> str:
    """A value of a protocol, hashes cut short."""
    if isinstance(value, list):
        return " ".join(map(shown, value))
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    text = str(value)
    return text[:SHOWN_DIGITS] if HASH.fullmatch(text) else text


def count(value) -> str:
    """5000 as 5,000."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def share(value) -> str:
    """0.02 as "2 %", None as "?"."""
    if value is None:
        return "?"
    if not math.isfinite(value):
        return str(value)
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def kimg(images) -> str:
    """12000 images as "12.0", 431000 as "431"."""
    return f"{images / 1000:.{1 if images < 100_000 else 0}f}"


def plain_name(name) -> str:
    """A key as words: "d_real" as "d real"."""
    return str(name).replace("_", " ")
