"""Run folders with scores, written without training, for tests of the report and of `gan-tf runs`."""

import dataclasses

import numpy as np

from gan_tf.config.settings import TrainConfig
from gan_tf.io import image_files
from gan_tf.metrics.score import Score
from gan_tf.runs.folder import Run

NETWORK = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
KEPT = 3


def fid(value, name="fid5k", **protocol):
    """Returns an FID as training measures it."""
    protocol = {
        "reals": 100,
        "reals_key": "1a2b3c4d5e6f7081",
        "reals_source": "panda",
        "resolution": 256,
        "fakes": 5000,
        "fakes_source": "averaged generator in float32, seed 0, images from number 0",
        "covariance": "over N - 1",
        "network": NETWORK,
        "resize": "pytorch",
        "features": "float32",
        **protocol,
        "versions": {"gan_tf": "0.1.0", "numpy": "2.4.0"},
    }
    return Score(name, value, True, protocol)


def swd(value):
    """Returns a score of another metric."""
    protocol = {"reals": 100, "reals_source": "panda", "resolution": 256, "fakes": 2000, "levels": [256, 64], "seed": 0}
    return Score("swd2k", value, True, protocol, {"level 256": value + 1, "level 64": value - 1})


def make_run(folder, scores, *, copies=0.02, final=None, data_images=100, **settings):
    """Writes a run with a score every 1,000 images. Returns the Run.

    Args:
        scores: Scores, oldest first. Of those comparable with the last one, the lowest is the best; the KEPT lowest are
            snapshots.
        copies: share of copies for all scores, or a list with one for each.
        final: final Score of the best weights, or None.
        settings: of TrainConfig.
    """
    run = Run(folder)
    run.create()
    config = TrainConfig(**{"dataset": "panda", "total_kimg": 40.0, **settings})
    run.write_settings(config, {"fingerprint": "f" * 64, "images": data_images, "class_names": []})
    run.write_environment({"gan_tf": "0.1.0", "devices": "CPU", "command": ["--dataset", "panda"]})
    shares = copies if isinstance(copies, list) else [copies] * len(scores)
    for epoch, (score, share) in enumerate(zip(scores, shares, strict=True), 1):
        log_score(run, 1000 * epoch, epoch, score, share)
    alike = [(i, score) for i, score in enumerate(scores, 1) if score.comparable_with(scores[-1])]
    ranked = sorted(alike, key=lambda pair: (pair[1].value != pair[1].value, pair[1].value))
    weights = {"w": np.zeros(4, np.float32)}
    metas = [{"score": dataclasses.asdict(score), "images_seen": 1000 * epoch} for epoch, score in ranked[:KEPT]]
    for meta in metas:
        run.keep_snapshot(weights, meta)
    if metas:
        end = {"final": dataclasses.asdict(final)} if final else {}
        run.replace_best(weights, {**metas[0], **end})
        if final:
            values = {"metric": final.name, "score": final.value, "of": metas[0]["images_seen"], "copies": 0.03}
            run.log(1000 * len(scores), "final", {**values, "protocol": final.protocol})
    run.close()
    return run


def log_score(run, seen, epoch, score, share):
    """Writes the record of one scored epoch."""
    copy_parts = {"median_ratio": 0.97, "share_among_reals": 0.01}
    values = {"metric": score.name, "score": score.value, "copies": share, "copy_parts": copy_parts}
    values["copy_protocol"] = {"threshold": 0.5, "space": "pixels"}
    run.log(seen, "train", {"loss/g": 0.5, "loss/d_real": 0.7})
    run.log(seen, "epoch", {"epoch": epoch, **values, "parts": score.parts, "protocol": score.protocol})


def write_images(run, seen):
    """Writes a sample grid and an image of the copy check."""
    random = np.random.default_rng(seen)
    for kind, shape in (("samples", (128, 128, 3)), ("copies", (64, 128, 3))):
        image = random.integers(0, 255, shape, np.uint8)
        image_files.save_png(run.grid_path(seen, kind), image)
