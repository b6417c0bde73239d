"""Formats numbers, metrics and protocols as text."""

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
    "ms_ssim": "similarity of random pairs (MS-SSIM)",
    "lpips_diversity": "perceptual distance of random pairs (LPIPS)",
    "ppl": "perceptual path length",
    "memorisation": "share of copies of training images",
}
# Entries of a protocol that are part of the sentence of `describe_protocol`, or left out of it.
NOT_LISTED = ("reals", "reals_key", "reals_source", "fakes", "fakes_source", "resolution", "versions")
HASH = re.compile(r"[0-9a-f]{16,}")


def describe_protocol(score, sources=None) -> str:
    """Describes how a Score was measured, in one sentence.

    Args:
        sources: names of the real images, for several scores of one protocol; default that of the score.
    """
    protocol = score.protocol
    metric = METRICS.get(re.match(r"[a-z_]*", score.name)[0], "score")
    direction = "lower is better" if score.lower_is_better else "higher is better"
    sources = sources or [str(protocol[name]) for name in ("reals_source",) if name in protocol]
    images = [f"{format_count(protocol['fakes'])} fakes"] if "fakes" in protocol else []
    if "reals" in protocol:
        source = f" of {' or '.join(sources)}" if sources else ""
        key = f" ({format_value(protocol['reals_key'])})" if protocol.get("reals_key") else ""
        images.append(f"{format_count(protocol['reals'])} reals{source}{key}")
    size = f" at {protocol['resolution']}x{protocol['resolution']}" if "resolution" in protocol else ""
    details = [f"{name} {format_value(value)}" for name, value in score.compared.items() if name not in NOT_LISTED]
    clauses = [f"{score.name}: {metric}, {direction}", " against ".join(images) + size, ", ".join(details)]
    return "; ".join(clause for clause in clauses if clause) + "."


def format_value(value) -> str:
    """Formats a JSON value; hashes are cut to 8 digits."""
    if isinstance(value, list):
        return " ".join(map(format_value, value))
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    text = str(value)
    return text[:8] if HASH.fullmatch(text) else text


def format_count(value) -> str:
    """Formats 5000 as "5,000"."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_share(share) -> str:
    """Formats 0.02 as "2 %" and None as "?"."""
    if share is None:
        return "?"
    if not math.isfinite(share):
        return str(share)
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def format_kimg(images) -> str:
    """Formats 12000 images as "12.0" and 431000 as "431"."""
    return f"{images / 1000:.{1 if images < 100_000 else 0}f}"
