"""Writes the web app: a folder of static files with a page, its runtime, trained generators and their description.

`site.json` describes each generator: the inputs and outputs of its parts (see parts.py), and all that the page needs to
generate the image of a seed as `gan-tf generate` does.
"""

import hashlib
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import gan_tf
import gan_tf_web
from gan_tf import rng
from gan_tf.data.listing import walk
from gan_tf.export import formats, network, parts
from gan_tf.export.comparison import compare_with_keras, inputs_of_seeds
from gan_tf.export.runtime import copy_runtime
from gan_tf.io.files import exists, sha256_of
from gan_tf.io.image_files import as_rgb, to_uint8
from gan_tf.io.json_text import json_text
from gan_tf.models import family_of
from gan_tf.models.network import map_shape
from gan_tf.models.variables import weights_digest
from gan_tf.sampling.generate import class_means, has_mapping, style_layers

FORMAT = 1  # of site.json
DESCRIPTION = "site.json"
WRITTEN = (DESCRIPTION, "manifest.webmanifest", "icons", "models", "litert")  # in addition to the page's own files
WORKER = "service-worker.js"
MIN_SIZE = 32  # pixels of the shorter side of a scaled image
ICONS = {"192.png": (192, 1.0), "512.png": (512, 1.0), "maskable-512.png": (512, 0.8)}  # pixels, share of the image
SHORT_NAME = 12  # characters that fit below an icon


def page_folder():
    """Returns the folder of the page's own files, which is `web/app` in the repository."""
    return Path(gan_tf_web.__file__).parent / "app"


def site_names(site) -> list[str]:
    """Returns the names of all that a site folder consists of: also the folder `site`, if another version wrote it."""
    names = [*WRITTEN, *(entry.name for entry in page_folder().iterdir())]
    if not exists(site / WORKER):
        return names
    listed = re.search(
        r"^const FILES = (\[.*\]);$", (site / WORKER).read_text(encoding="utf-8", errors="replace"), re.MULTILINE
    )
    try:
        return names + [Path(name).parts[0] for name in json.loads(listed[1] if listed else "[]")]
    except (ValueError, TypeError, IndexError):  # not a list that `write_service_worker` wrote
        return names


def unique_ids(names) -> list[str]:
    """Returns different names of folders, [a-z0-9-]+, for the names of runs."""
    ids = []
    for name in names:
        base = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "run"
        numbered = (f"{base}-{number}" for number in itertools.count(2))
        ids.append(next(one for one in itertools.chain([base], numbered) if one not in ids))
    return ids


def write_model(site, trained, identifier, name, *, score, licence, advance=lambda count: None):
    """Writes the files of a generator to a site, and compares them with Keras.

    Args:
        site: folder.
        trained: TrainedGenerator.
        identifier: name of its folder in `models/`.
        name: of the run.
        score: text, or None.
        licence: text of the user, or None.
        advance: see `compare_with_keras`.

    Returns:
        (its entry in site.json, Comparison, function from seed to image uint8 [H, W, C]).
    """
    folder = site / "models" / identifier
    folder.mkdir(parents=True)
    described, runners = {}, {}
    for part, function in parts.traced_parts(trained, network.TRANSPOSED).items():
        path = folder / f"{part}.tflite"
        description = {"inputs": _named(parts.inputs_of(function)), "outputs": _named(parts.outputs_of(function))}
        formats.convert_to_tflite(function, "float16", {"made_by": _made_by(), "part": part, **description}, path)
        file = {"file": f"models/{identifier}/{path.name}", "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        described[part], runners[part] = {**file, **description}, formats.tflite_runner(path)
    g = network.folded(trained, network.FAST)
    settings = network.ExportSettings("float16", "input" if g.noise_shapes else "none", batch=1)
    run = chained(g, settings, described, runners)
    comparison = compare_with_keras(trained, settings, folder, run, advance)
    entry = {
        "id": identifier,
        "name": name,
        "family": trained.config.model,
        "images_seen": trained.images_seen,
        "score": score,
        "weights": weights_digest(trained.generator),
        "licence": network.licence_text(trained, licence),
        "difference": {"largest": comparison.largest, "mean": comparison.mean},
        **properties(g, trained),
        "parts": described,
    }
    return entry, comparison, lambda seed: to_uint8(run(inputs_of_seeds(g, settings, [seed]))[0])


def chained(g, settings, described, runners):
    """Returns a function from the list of inputs [latents, labels, noise maps] to images, which runs all parts."""
    names = [spec.name for spec in network.input_specs(g, settings)]

    def run(inputs):
        values = dict(zip(names, inputs, strict=True))
        for part, runner in runners.items():
            if "w" in values:
                values["ws"] = np.repeat(values["w"][:, None], g.mapping.copies, axis=1)
            values |= runner(**{entry["name"]: values[entry["name"]] for entry in described[part]["inputs"]})
        return values[f"{network.IMAGES}_{g.image_shape[0]}"]

    return run


def properties(g, trained):
    """Returns the properties of a folded generator that the page needs, as a dict for site.json."""
    sizes = [
        {"pixels": height, "width": width, "output": f"{network.IMAGES}_{height}", "scaled": False}
        for height, width in parts.sizes_of(g)
    ]
    if len(sizes) == 1:
        height, width, _ = g.image_shape
        while min(height, width) >= 2 * MIN_SIZE:
            height, width = height // 2, width // 2
            sizes.append({**sizes[0], "pixels": height, "width": width, "scaled": True})
    style, mean_w = None, None
    if has_mapping(g):
        layers = [str(shape[0]) for shape in (*g.noise_shapes, g.image_shape)]
        style = {"kind": "layers", "layers": layers, "default": sorted(style_layers(g))}
        mean_w = (class_means(g) if g.classes else g.mapping.average.value[None]).numpy().tolist()
    elif hasattr(g, "excited_sizes"):
        layers = [str(map_shape(size, g.base)[0]) for size in g.excited_sizes]
        style = {"kind": "excitations", "layers": layers, "default": list(range(len(layers)))}
    return {
        "latent_size": g.latent_size,
        "resolution": g.resolution,
        **network.image_properties(g, trained),
        "sizes": sizes,
        "classes": list(trained.classes.names),
        "class_counts": list(trained.classes.counts),
        "truncation": "truncation" not in family_of(trained.config).unsupported,
        "mean_w": mean_w,
        "style": style,
        "noise": [
            {"name": f"noise_{i}", "shape": list(shape[:2]), "key": _key(f"noise/{i}")}
            for i, shape in enumerate(g.noise_shapes)
        ],
        "keys": {"latents": _key("latents"), "class": _key("class")},
    }


def write_site(site, title, models, icon, runtime):
    """Writes all files of a site except its `models/`.

    Args:
        site: folder.
        title: name of the app.
        models: entries of `write_model`.
        icon: uint8 [H, W, C].
        runtime: folder of `runtime.obtain_runtime`.
    """
    shutil.copytree(page_folder(), site, copy_function=shutil.copyfile, dirs_exist_ok=True)
    copy_runtime(runtime, site / "litert")
    manifest = json.loads((site / "manifest.webmanifest").read_bytes())
    manifest |= {"name": title, "short_name": title[:SHORT_NAME].strip()}
    (site / "manifest.webmanifest").write_text(json_text(manifest, indent=2) + "\n", encoding="utf-8")
    (site / "icons").mkdir()
    for name, (pixels, share) in ICONS.items():
        write_icon(site / "icons" / name, icon, pixels, share)
    description = {"format": FORMAT, "made_by": _made_by(), "title": title, "models": models}
    (site / DESCRIPTION).write_text(json_text(description) + "\n", encoding="utf-8")
    write_service_worker(site)


def write_icon(path, image, pixels, share):
    """Writes a square PNG of `pixels` with an image uint8 [H, W, C] on the mean colour of its first and last row.

    share: of the square's side that the longer side of the image has. Transparent parts are grey.
    """
    image = as_rgb(image)
    scale = pixels * share / max(image.shape[:2])
    size = tuple(round(side * scale) for side in image.shape[1::-1])
    icon = Image.new("RGB", (pixels, pixels), tuple(int(c) for c in image[[0, -1]].mean(axis=(0, 1))))
    image = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    icon.paste(image, tuple((pixels - side) // 2 for side in size))
    icon.save(path)


def write_service_worker(site):
    """Lists the files of a site in its service worker, which stores them on the device, and identifies them by a hash.

    The variants of the runtime are left out: the worker adds the one that the browser can run.
    """
    worker, digest, files = site / WORKER, hashlib.sha256(), []
    for name in sorted(walk(site)):
        if name != WORKER:
            digest.update(f"{name} {sha256_of(site / name)}\n".encode())
            files += [] if name.startswith("litert/litert_wasm") else [name]
    text = worker.read_text(encoding="utf-8").replace("@VERSION@", digest.hexdigest()[:16])
    worker.write_text(text.replace("/*@FILES@*/", ", ".join(map(json_text, files))), encoding="utf-8")


def _named(specs):
    return [{"name": name, "shape": [int(size) for size in spec.shape]} for name, spec in specs.items()]


def _key(purpose):
    return str(rng.stream_key("image", purpose))  # a number in JSON would be rounded to 53 bits


def _made_by():
    return f"gan_tf {gan_tf.__version__}"
