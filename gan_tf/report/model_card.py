"""The model card: use, data, scores, limits and rights of a generator.

Source: headings follow Mitchell et al. 2019 (Model Cards for Model Reporting).
"""

from gan_tf.report.formatting import describe_protocol, format_count, format_kimg, format_share

FAMILIES = {
    "fastgan": "FastGAN (Liu et al. 2021)",
    "pggan": "Progressive GAN (Karras et al. 2018)",
    "stylegan2": "StyleGAN2-ADA (Karras et al. 2020)",
}
FITS = {"crop": "cropped to their centre square", "pad": "padded to a square", "stretch": "stretched to a square"}
BIAS = "The generator reproduces the biases of those images."


def model_card(summary) -> list[tuple[str, str]]:
    """Returns (heading, text) pairs; [] if the settings of the run are damaged."""
    if summary.config is None:
        return []
    config, origin = summary.config, summary.converted_from
    source = "the training images of its weights" if origin else f"the images of {summary.dataset}"
    intended_use = (
        f"It generates images like {source}: for study, as material for design, and as a start for further training. "
        "Its images are no evidence of anything that exists, and should not be shown as photographs. "
        f"Images are chosen {'by seed and class' if config.conditional else 'by seed'}, not by text."
    )
    scored = summary.final if summary.final and summary.final.copies is not None else summary.best
    warning = ""
    if scored and scored.has_many_copies:
        warning = (
            " This one repeats training images: read the copy check before you publish an image, above all if the "
            "training images are private or not yours."
        )
    limits = (
        "A generator that was trained on few images may repeat them, miss whole kinds of them, and reproduce their "
        f"biases.{warning} Scores of different protocols are not comparable. Generated faces may resemble people in "
        "the training images."
    )
    rights = (
        "The program is under Apache-2.0. The weights were learned from the training images: their owners and the law "
        "decide what may be done with the weights and with generated images."
    ) + (f" The licence of {origin} also applies." if origin else "")
    return [
        ("Model", _model(summary)),
        ("Intended use", intended_use),
        ("Training data", _training_data(summary)),
        ("Evaluation", _evaluation(summary)),
        ("Limits and risks", limits),
        ("Rights", rights),
    ]


def _model(summary) -> str:
    config, origin = summary.config, summary.converted_from
    family = FAMILIES.get(config.model, config.model)
    version = summary.environment.get("gan_tf")
    program = f" with gan_tf {version}" if isinstance(version, str) else ""
    kind = (
        f"A generator of RGB images of {config.resolution}x{config.resolution} pixels: {family}, with latents of "
        f"{config.latent_size} numbers."
    )
    if origin:
        return f"{kind} Its weights were converted{program} from {origin}; their training is not recorded here."
    best = f" The best score has the weights of {format_kimg(summary.best.images_seen)} kimg." if summary.best else ""
    return (
        f"{kind} It was trained{program} for {format_kimg(summary.images_seen)} thousand images, with the "
        f"loss {config.loss} and the seed {config.seed}.{best}"
    )


def _training_data(summary) -> str:
    if summary.converted_from:
        return f"Not recorded here: see the publisher of {summary.converted_from}. {BIAS}"
    count, classes = summary.data.get("images"), summary.data.get("class_names")
    images = f"{format_count(count)} images" if count is not None else "images"
    in_classes = f" in {len(classes)} classes" if classes else ""
    mirrored = ", also mirrored left to right" if summary.config.mirror else ""
    return f"{summary.dataset}: {images}{in_classes}, {FITS[summary.config.fit]}{mirrored}. {BIAS}"


def _evaluation(summary) -> str:
    scored = summary.final or summary.best
    if scored is None:
        return "It has not been scored yet." if not summary.converted_from else "It has not been scored here."
    new_images = " on images that were not used to choose the weights" if summary.final else ""
    checked = scored if scored.copies is not None else summary.best
    copies = "The copy check was not recorded."
    if checked is not None and checked.copies is not None:
        share = checked.share_among_reals
        among = f"; among the training images themselves it is {format_share(share)}" if share is not None else ""
        copies = f"Of its images, {format_share(checked.copies)} count as copies of a training image{among}."
    return f"{scored.score.text()}{new_images}. {describe_protocol(scored.score)} {copies}"
