"""Modules of the web app in Chromium, compared with the Python functions that they repeat."""

import json

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.io.image_files import to_uint8
from gan_tf.sampling.interpolate import sphere_path

SEEDS = [0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 9_007_199_254_740_993, 2**62 + 12345, 2**63 - 1, *range(100, 140)]
COUNTS = [5, 0, 1, 300, 44]
SHAPES = [(8, 8), (4, 16), (32, 32)]
MODEL = {
    "id": "small",
    "name": "small",
    "family": "fastgan",
    "weights": "ab" * 32,
    "latent_size": 33,
    "classes": ["a", "b", "c", "d", "e"],
    "class_counts": COUNTS,
    "truncation": True,
    "style": {"kind": "excitations", "layers": ["64", "128"], "default": [0, 1]},
    "noise": [
        {"name": f"noise_{i}", "shape": list(shape), "key": str(rng.stream_key("image", f"noise/{i}"))}
        for i, shape in enumerate(SHAPES)
    ],
    "keys": {name: str(rng.stream_key("image", name)) for name in ("latents", "class")},
}
# float32 values of magnitude up to 5.9; logarithm and cosine differ in the last bit.
TOLERANCE = 2e-6


def latent(seed, scale=1.0):
    """Any latent; those of TensorFlow would start it while the tests are collected."""
    return (scale * np.random.default_rng(seed).standard_normal(MODEL["latent_size"])).tolist()


def recipe(seed, scale=1.0, **changes):
    plain = {"seed": str(seed), "latent": latent(seed, scale), "noise_seed": str(seed), "class": "b", "truncation": 0.7}
    return {**plain, "style": None, **changes}


def test_latents_noise_and_classes_of_seeds_are_those_of_python(modules):
    got = modules.evaluate(
        """async ([model, seeds]) => {
            const random = await import("/random.js");
            return seeds.map((seed) => ({
                latent: [...random.latentOfSeed(model, seed)],
                noise: Object.values(random.noiseOfSeed(model, seed)).map((map) => [...map]),
                label: model.classes.indexOf(random.classOfSeed(model, seed)),
            }));
        }""",
        [MODEL, [str(seed) for seed in SEEDS]],
    )
    latents = rng.latents_of_seeds(SEEDS, MODEL["latent_size"]).numpy()
    np.testing.assert_allclose([one["latent"] for one in got], latents, atol=TOLERANCE, rtol=0)
    for i, maps in enumerate(rng.noise_of_seeds(SEEDS, [(*shape, 1) for shape in SHAPES])):
        expected = maps.numpy().reshape(len(SEEDS), -1)
        np.testing.assert_allclose([one["noise"][i] for one in got], expected, atol=TOLERANCE, rtol=0)
    labels = rng.categories_of_seeds(SEEDS, COUNTS).numpy()
    assert [one["label"] for one in got] == labels.tolist() and len(set(labels)) > 1


def test_words_of_a_stream_are_those_of_tensorflow(modules):
    key, seed, count = 2**62 + 3, 2**63 - 1, 4001
    got = modules.evaluate(
        """async ([key, seed, count]) => [...(await import("/random.js")).uint32s(key, seed, count)]""",
        [str(key), str(seed), count],
    )
    bits = tf.random.stateless_uniform([count], [key, seed], None, None, tf.uint32, alg="philox")
    np.testing.assert_array_equal(got, bits.numpy())


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("0", "0"),
        (" 007 ", "7"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("", None),
        ("9" * 400, None),
    ],
)
def test_seed_of_text(modules, text, seed):
    assert modules.evaluate("async (text) => (await import('/random.js')).parseSeed(text)", text) == seed


def between(modules, first, second, shares):
    return modules.evaluate(
        """async ([first, second, shares]) => {
            const recipes = await import("/recipes.js");
            return shares.map((share) => recipes.between(first, second, share));
        }""",
        [first, second, shares],
    )


def test_interpolation_is_that_of_python(modules):
    first, second = recipe(3), recipe(4, scale=1.3, **{"class": "a"})
    steps = 8
    got = between(modules, first, second, [i / steps for i in range(steps + 1)])
    expected = sphere_path([first["latent"], second["latent"]], steps)
    np.testing.assert_allclose([one["latent"] for one in got], expected, atol=1e-4, rtol=0)
    assert all((one["noise_seed"], one["class"], one["truncation"]) == ("3", "b", 0.7) for one in got)
    assert [one["seed"] for one in got] == ["3"] + [None] * steps and all(one["style"] is None for one in got)


def test_interpolation_of_styles(modules):
    style = {"latent": latent(9), "noise_seed": "9", "class": "d", "layers": [1]}
    [plain] = between(modules, recipe(3, style=style), recipe(4), [0.25])
    np.testing.assert_allclose(plain["style"]["latent"], sphere_path([latent(9), latent(4)], 4)[1], atol=1e-4)
    assert {**plain["style"], "latent": None} == {**style, "latent": None}
    [other] = between(modules, recipe(3), recipe(4, style=style), [0.25])
    np.testing.assert_allclose(other["style"]["latent"], sphere_path([latent(3), latent(9)], 4)[1], atol=1e-4)
    assert {**other["style"], "latent": None} == {"latent": None, "noise_seed": "3", "class": "b", "layers": [1]}


def test_interpolation_of_equal_and_of_opposite_latents(modules):
    [same] = between(modules, recipe(3), recipe(3), [0.5])
    np.testing.assert_allclose(same["latent"], latent(3), rtol=1e-6)
    with pytest.raises(Exception, match="opposite"):
        between(modules, recipe(3), recipe(3, scale=-1.0), [0.5])


def test_plane_through_three_seeds(modules):
    corners = [recipe(1), recipe(2, scale=0.8), recipe(3, scale=1.2)]
    points = [[0.16, 0.84], [0.84, 0.84], [0.5, 0.14], [0.5, 0.5], [0.0, 0.0], [1.0, 0.3]]
    got = modules.evaluate(
        """async ([corners, points]) => {
            const { onPlane } = await import("/recipes.js"), { weightsAt } = await import("/plane.js");
            return points.map((point) => [weightsAt(...point), onPlane(corners, weightsAt(...point))]);
        }""",
        [corners, points],
    )
    latents = np.array([corner["latent"] for corner in corners])
    lengths = np.linalg.norm(latents, axis=1)
    for (weights, placed), point in zip(got, points, strict=True):
        # The weights are those of the corners' positions, and the latent has their mean direction and length.
        np.testing.assert_allclose(np.array(weights) @ [*points[:3]], point, atol=1e-12)
        assert np.sum(weights) == pytest.approx(1)
        direction = weights @ (latents / lengths[:, None])
        expected = direction / np.linalg.norm(direction) * max(weights @ lengths, 1e-3)
        np.testing.assert_allclose(placed["latent"], expected, atol=1e-6)
        assert (placed["noise_seed"], placed["class"], placed["style"]) == ("1", "b", None)
    np.testing.assert_allclose([placed["latent"] for _, placed in got[:3]], latents, atol=1e-6)


def read_file(modules, text, models=(MODEL,)):
    """Returns [id of the model, note, images], or the message of the error."""
    return modules.evaluate(
        """async ([text, models]) => {
            const recipes = await import("/recipes.js");
            try {
                const file = recipes.fromJson(text);
                const { model, note } = recipes.modelFor(file, models);
                return [model.id, note, file.images];
            } catch (error) {
                if (!(error instanceof recipes.UserError)) throw error;
                return error.message;
            }
        }""",
        [text, list(models)],
    )


def test_latent_file_round_trip(modules):
    style = {"latent": latent(9), "noise_seed": "9", "class": "d", "layers": [0, 1]}
    images = [recipe(2**63 - 1), {**recipe(4, truncation=-1.5, style=style), "seed": None}]
    text = modules.evaluate(
        "async ([model, images]) => (await import('/recipes.js')).toJson(model, images)", [MODEL, images]
    )
    file = json.loads(text)
    assert (file["format"], file["version"]) == ("gan_tf latents", 1)
    assert file["model"] == {"name": "small", "family": "fastgan", "weights": "ab" * 32}
    assert read_file(modules, text) == ["small", "", images]


def test_latents_in_files_have_the_precision_of_float32(modules):
    made = modules.evaluate(
        "async (model) => (await import('/recipes.js')).recipeOfSeed(model, '5', {truncation: 0.5})", MODEL
    )
    drawn = modules.evaluate("async (model) => [...(await import('/random.js')).latentOfSeed(model, '5')]", MODEL)
    np.testing.assert_array_equal(np.float32(made["latent"]), np.float32(drawn))
    assert (made["seed"], made["noise_seed"], made["truncation"]) == ("5", "5", 0.5)


def latent_file(changes=None, **image):
    file = {"format": "gan_tf latents", "version": 1, "model": {k: MODEL[k] for k in ("name", "family", "weights")}}
    return json.dumps({**file, "images": [{**recipe(3), **image}], **(changes or {})})


def test_latent_file_of_other_weights_is_accepted_with_a_note(modules):
    other = {"name": "other", "family": "fastgan", "weights": "cd" * 32}
    identifier, note, _ = read_file(modules, latent_file({"model": other}))
    assert identifier == "small" and "other weights" in note


def test_latent_file_selects_the_model_of_its_weights(modules):
    others = [{**MODEL, "id": "first", "weights": "00"}, MODEL]
    assert read_file(modules, latent_file(), others)[:2] == ["small", ""]


def test_latent_file_may_leave_the_class_out(modules):
    style = {"latent": latent(9), "noise_seed": "9", "layers": [0]}
    image = {"latent": latent(3), "noise_seed": "3", "truncation": 1, "style": style}
    text = latent_file({"images": [image]})
    _, _, [read] = read_file(modules, text, [{**MODEL, "classes": [], "class_counts": []}])
    assert read == {**image, "seed": None, "class": None, "style": {**style, "class": None}}


BAD_STYLE = {"latent": latent(9), "noise_seed": "9", "class": "d", "layers": [2]}


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "null",
        '{"format": "other"}',
        latent_file({"version": 2}),
        latent_file({"images": []}),
        latent_file({"model": None}),
        latent_file({"model": {"name": "x", "family": "pggan", "weights": "00"}}),
        latent_file(latent=latent(3)[:-1]),
        latent_file(latent=[*latent(3)[:-1], "1"]),
        latent_file(latent=[0.0] * MODEL["latent_size"]),
        latent_file(latent=[1e4] * MODEL["latent_size"]),
        latent_file(noise_seed="-1"),
        latent_file(noise_seed=3),
        latent_file(seed="9223372036854775808"),
        latent_file(truncation=3),
        latent_file(**{"class": "z"}),
        latent_file(**{"class": None}),
        latent_file(style=BAD_STYLE),
        latent_file(style={**BAD_STYLE, "layers": [0], "latent": [1.0]}),
        latent_file(style={"layers": [0]}),
        latent_file(style=5),
    ],
)
def test_unusable_latent_file_gets_a_sentence(modules, text):
    message = read_file(modules, text)
    assert isinstance(message, str) and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("square", [1, 2])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bytes_of_images_are_those_of_python(modules, channels, square):
    values = np.random.default_rng(channels).uniform(-1, 1, (8, 12, channels)).astype(np.float32)
    values[:4, :, -1], values[4, :, -1] = -1, np.linspace(-1, -0.98, 12)  # transparent, and nearly so
    got = modules.evaluate(
        """async ([values, shape, pixels]) => {
            const { toBytes } = await import("/render.js");
            return [...toBytes(Float32Array.from(values), shape, pixels)];
        }""",
        [values.ravel().tolist(), [1, *values.shape], 8 // square],
    )
    cells = values.reshape(8 // square, square, 12 // square, square, channels)
    expected = to_uint8(cells.mean(axis=(1, 3), dtype=np.float64))
    got = np.reshape(got, (*expected.shape[:2], 4))
    np.testing.assert_array_equal(got[..., :3], np.broadcast_to(expected[..., :3], got[..., :3].shape))
    np.testing.assert_array_equal(got[..., 3], expected[..., 3] if channels == 4 else 255)


def test_drawn_image_is_not_distorted(modules):
    bytes_of_image = [*range(1, 4), 255, *range(4, 7), 255, *range(7, 10), 255, 0, 0, 0, 0, 90, 80, 70, 255, *[255] * 4]
    got = modules.evaluate(
        """async (values) => {
            const { draw } = await import("/dom.js");
            const canvas = document.createElement("canvas");
            draw(canvas, { rgba: Uint8ClampedArray.from(values), pixels: 2 });
            const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [width, height, ...data];
        }""",
        bytes_of_image,
    )
    assert got == [3, 2, *bytes_of_image]


# Requests to the worker go to `sent`, and the test sends its answers.
FAKE_WORKER = """
    const sent = [];
    let answer;
    window.Worker = class {
        addEventListener(type, listener) {
            if (type === "message") answer = (data) => listener({ data });
        }
        postMessage(request) {
            sent.push(request);
        }
    };
    const { BACKGROUND, Engine } = await import("/engine.js");
    const engine = new Engine();
"""


def test_newer_requests_replace_waiting_ones(modules):
    sent, shown, finished = modules.evaluate(
        f"async () => {{ {FAKE_WORKER}"
        """
            const shown = [], finished = {};
            const render = (channel, names) => {
                const show = ({ recipe }, i) => shown.push(`${channel} ${recipe} ${i}`);
                engine.render(channel, names, 8, show).then((done) => (finished[`${channel} ${names}`] = done));
            };
            const reply = () => answer({ id: sent.at(-1).id, kind: "rendered", pixels: 8, rgba: null });
            render(BACKGROUND, ["b1", "b2", "b3"]);
            render("grid", ["g1", "g2", "g3"]);
            render("drag", ["d1"]);
            reply();
            render("drag", ["d2"]);
            reply();
            render("grid", ["g4", "g5"]);
            for (let i = 0; i < 3; i++) reply();
            engine.cancel(BACKGROUND);
            reply();
            await 0;
            return [sent.map(({ recipe }) => recipe), shown, finished];
        }"""
    )
    # d1 was sent before d2 replaced it, so it is shown; g1, g2, g3 and b3 were never sent.
    assert sent == ["b1", "d1", "d2", "g4", "g5", "b2"]
    assert shown == ["background b1 0", "drag d1 0", "drag d2 0", "grid g4 0", "grid g5 1", "background b2 1"]
    replaced = {"background b1,b2,b3": False, "grid g1,g2,g3": False, "drag d1": False}
    assert finished == {**replaced, "drag d2": True, "grid g4,g5": True}


def test_failed_image_ends_its_request_only(modules):
    got = modules.evaluate(
        f"async () => {{ {FAKE_WORKER}"
        """
            let shown = 0;
            const failed = engine.render("a", ["a1", "a2"], 8, () => shown++).catch((error) => error.message);
            const other = engine.render("b", ["b1"], 8, () => shown++);
            answer({ id: sent.at(-1).id, kind: "failed", message: "No." });
            answer({ id: sent.at(-1).id, kind: "rendered", pixels: 8, rgba: null });
            return [await failed, await other, shown];
        }"""
    )
    assert got == ["No.", True, 1]
