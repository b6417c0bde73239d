"""The model card: what a stranger has to know before using the generator, in sentences made from the run's facts.

Source: the headings follow Mitchell et al. 2019 (Model Cards for Model Reporting).
"""

from gan_tf.report import formatting

PAPERS = {
    "fastgan": "FastGAN (Liu et al. 2021)",
    "pggan": "Progressive GAN (Karras et al. 2018)",
    "stylegan2": "StyleGAN2-ADA (Karras et al. 2020)",
}


def card(facts) -> list[tuple[str, str]]:
    """(heading, text) pairs; empty where the settings are damaged."""
    if facts.config is None:
        return []
    return [
        ("Model", model(facts)),
        ("Intended use", intended_use(facts)),
        ("Training data", data(facts)),
        ("Evaluation", evaluation(facts)),
        ("Limits and risks", limits(facts)),
        ("Rights", rights(facts)),
    ]


def model(facts) -> str:
    """What the network is, and what it was trained with."""
    config, origin = facts.config, facts.converted_from
    kind = PAPERS.get(config.model, config.model)
    version = facts.environment.get("gan_tf")
    by = f" with gan_tf {version}" if isinstance(version, str) else ""
    weights = ""
    if facts.best is not None:
        weights = f" The weights to use are those of {formatting.kimg(facts.best.images_seen)} kimg, which scored best."
    what = (
        f"A generator of RGB images at {config.resolution}x{config.resolution} pixels: {kind}, {config.latent_size} "
        "numbers in."
    )
    if origin:
        return f"{what} Its weights were converted{by} from {origin}; how they were trained is not recorded here."
    return (
        f"{what} It was trained{by} until {formatting.kimg(facts.images_seen)} thousand images were seen, with the "
        f"loss {config.loss} and the seed {config.seed}.{weights}"
    )


def intended_use(facts) -> str:
    """What it is for, and what not."""
    like = "those that its weights were trained on" if facts.converted_from else f"those of {facts.dataset}"
    choice = "by seed and class" if facts.config.conditional else "by seed"
    return (
        f"It makes images like {like}: for study, as material for design, and as a start for further "
        "training. It makes no true statement about anything that exists, and its images should not be shown as "
        f"photographs. It takes no text: choose {choice}."
    )


def data(facts) -> str:
    """What it was trained on."""
    if facts.converted_from:
        return (
            f"Not recorded here: the weights come from {facts.converted_from}, whose authors know. What those images "
            "leave out, the generator does not know; what is frequent in them is frequent in its images."
        )
    count, classes = facts.data.get("images"), facts.data.get("class_names")
    some = f"{formatting.count(count)} images" if count is not None else "images"
    kinds = f" in {len(classes)} classes" if isinstance(classes, list) and classes else ""
    fits = {"crop": "cropped to their centre square", "pad": "padded to a square", "stretch": "stretched to a square"}
    mirrored = ", also mirrored left to right" if facts.config.mirror else ""
    return (
        f"{facts.dataset}: {some}{kinds}, {fits[facts.config.fit]}{mirrored}. What the images leave out, the "
        "generator does not know; what is frequent in them is frequent in its images."
    )


def evaluation(facts) -> str:
    """The score that counts, with its protocol, and the copy check."""
    scored = facts.final or facts.best
    if scored is None:
        return "It has not been scored yet." if not facts.converted_from else "It has not been scored here."
    fresh = " on images that had no part in picking the weights" if facts.final else ""
    checked = scored if scored.copies is not None else facts.best
    copies = "The copy check was not recorded."
    if checked is not None and checked.copies is not None:
        own = checked.share_among_reals
        among = f"; the training images show {formatting.share(own)} among themselves" if own is not None else ""
        copies = f"Of its images, {formatting.share(checked.copies)} count as copies of a training image{among}."
    return f"{scored.score.text()}{fresh}. {formatting.describe_protocol(scored.score)} {copies}"


def limits(facts) -> str:
    """What goes wrong with such generators, and with this one."""
    scored = facts.final if facts.final and facts.final.copies is not None else facts.best
    warned = ""
    if scored and scored.copies_much:
        warned = (
            " This one repeats training images: look at the copy check before you publish any image, above all where "
            "the training images are private or not yours."
        )
    return (
        "A generator that was trained on few images may repeat them, lack whole kinds of them, and pass on what is "
        f"one-sided about them.{warned} Scores with different protocols cannot be compared. Faces that it makes may "
        "resemble people in the training images."
    )


def rights(facts) -> str:
    """Whose the images are."""
    origin = ""
    if facts.converted_from:
        origin = f" The licence of {facts.converted_from}, from which they were converted, goes with them."
    return (
        "The program is under Apache-2.0. The weights were made from the training images: what their owners and the "
        "law allow to be done with those decides what may be done with the weights and with what they make." + origin
    )
