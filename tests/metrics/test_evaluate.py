import dataclasses
import json
import math

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.metrics import METRICS, Metric
from gan_tf.metrics.evaluate import Evaluator, Score

REALS = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


def cycling(images):
    """A sampler that goes through `images` again and again."""
    position = 0

    def sample(count):
        nonlocal position
        position += count
        return images.take(range(position - count, position), axis=0, mode="wrap")

    return sample


def test_swd2k_takes_2000_images_and_measures_the_reals_once(monkeypatch):
    prepared = []
    metric = METRICS["swd2k"]
    monkeypatch.setitem(
        METRICS, "swd2k", metric._replace(prepare=lambda *a: prepared.append(a[1:]) or metric.prepare(*a))
    )
    evaluate = Evaluator("swd2k", REALS, seed=3)
    assert not prepared
    noise, flat = evaluate(cycling(REALS)), evaluate(cycling(REALS // 128 * 128))
    assert prepared == [(2000, 3)]
    assert noise.better_than(flat) and not flat.better_than(noise)
    assert evaluate(cycling(REALS)) == noise
    assert noise.name == "swd2k" and noise.lower_is_better
    assert json.loads(json.dumps(noise.protocol)) == {
        "reals": 40,
        "fakes": 2000,
        "levels": [16],
        "patches_per_image": 64,
        "directions": 128,
        "seed": 3,
    }


def test_better_is_lower_or_higher_as_the_metric_says():
    low, high = Score("a", 1.0, True, {}), Score("a", 2.0, True, {})
    assert low.better_than(high) and not high.better_than(low) and not low.better_than(low)
    assert low.better_than(None)
    assert Score("b", 2.0, False, {}).better_than(Score("b", 1.0, False, {}))


def test_nan_is_never_kept():
    low, nan = Score("a", 1.0, True, {}), Score("a", math.nan, True, {})
    assert low.better_than(nan) and not nan.better_than(low) and not nan.better_than(None)


def test_scores_of_two_metrics_are_not_compared():
    with pytest.raises(ValueError, match="called a cannot be compared with one called b"):
        Score("a", 1.0, True, {}).better_than(Score("b", 1.0, True, {}))


def test_score_survives_json():
    score = Score("a", 1.0, True, {"seed": 3, "levels": [32, 16]})
    assert Score(**json.loads(json.dumps(dataclasses.asdict(score)))) == score


def test_unknown_metric_names_the_known_ones():
    with pytest.raises(UsageError, match="'fid5k' is unknown; choose from swd2k"):
        Evaluator("fid5k", REALS, 0)


@pytest.mark.parametrize("wrong", [REALS.astype(np.float32), REALS[:, :8], REALS[:3]])
def test_images_of_another_kind_or_number_are_refused(monkeypatch, wrong):
    counting = Metric(4, True, lambda *a: None, lambda side, chunks: float(sum(map(len, chunks))))
    monkeypatch.setitem(METRICS, "count4", counting)
    with pytest.raises(ValueError, match=r"count4 wants uint8 \(4, 16, 16, 3\), got"):
        Evaluator("count4", REALS, 0)(lambda count: wrong[:count])
