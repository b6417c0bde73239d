"""Cartoon pandas: random parameters from a seed, painted at any size.

The head fills the frame and each feature is several pixels wide at 64x64, so that a small GAN learns them in minutes.
`draw_animal` paints the same panda at every size. In an image that is not square, the animal fills a square whose sides
are the shorter side, and the scene continues around it.
"""

import math

import numpy as np

from gan_tf_datasets.demo.shapes import Frame, arc, both, ellipse, paint, polygon, square_of, stroke, without

IMAGES = 600
SEED = 20

# Colours of sky and ground.
BACKGROUNDS = (
    (0x3FB8AF, 0x2A8C85),  # teal
    (0xF25F5C, 0xC8403F),  # coral
    (0xFFC145, 0xF09A1A),  # sunflower
    (0x5B8DEF, 0x3A66C4),  # blue
    (0x9B6FD1, 0x7448AD),  # violet
    (0x7AC74F, 0x4F9A2B),  # leaf
    (0xFF8FB1, 0xE0608A),  # pink
)
# Colour of the face, and colour of ears, patches and body.
FURS = (
    ((0xFFFFFF, 0x23232B), 0.5),
    ((0xFFF3DC, 0x2B2430), 0.22),
    ((0xFBE7CF, 0x6B4226), 0.16),  # the brown pandas of Qinling
    ((0xEEF4FF, 0x34406B), 0.12),
)
BRIGHT = (0xE63946, 0xFFB703, 0x2A9DF4, 0x2FBF71, 0xF15BB5)
SCENES = (("flat", 0.34), ("sun", 0.2), ("hills", 0.22), ("bamboo", 0.14), ("dots", 0.1))
EYES = (("open", 0.4), ("left", 0.13), ("right", 0.13), ("happy", 0.22), ("wink", 0.12))
MOUTHS = (("smile", 0.4), ("laugh", 0.32), ("cat", 0.16), ("oh", 0.12))
EXTRAS = (("none", 0.3), ("scarf", 0.16), ("hat", 0.14), ("bow", 0.12), ("glasses", 0.14), ("leaf", 0.14))


def draw_animal(rng, size, furs, paint_animal, transparent=False):
    """Draws one animal, in a scene or on transparency.

    Args:
        rng: numpy Generator; 16 doubles are drawn at any size.
        size: (height, width) in pixels.
        furs: table of (two colours 0xRRGGBB, probability).
        paint_animal: function (image, head, fur, dark, scarf, u) that paints body and head. image: float64 [H, W, C],
            changed in place; head: Frame; fur, dark, scarf: colours, scarf may be None; u: in [0, 1).
        transparent: leave out the scene.

    Returns:
        uint8 [H, W, 3], or [H, W, 4] with straight alpha if `transparent`.
    """
    u = rng.random(16)  # raw doubles only: NumPy has never changed this stream
    sky, ground = (rgb(c) for c in BACKGROUNDS[int(u[0] * len(BACKGROUNDS))])
    fur, dark = (rgb(c) for c in pick(furs, u[1]))
    bright = next_bright(u[2], sky)
    shade = 0.94 + 0.12 * u[3]
    image = np.zeros((*size, 4 if transparent else 3))
    if not transparent:
        image[:] = np.clip(sky * shade, 0, 1)
        paint_scene(image, pick(SCENES, u[4]), ground * shade, u[5])
    head = Frame(
        x=0.5 + 0.06 * (u[6] - 0.5), y=0.56 + 0.04 * (u[7] - 0.5), scale=0.35 + 0.04 * u[8], tilt=0.44 * (u[9] - 0.5)
    )
    extra = pick(EXTRAS, u[10])
    paint_animal(image, head, fur, dark, bright if extra == "scarf" else None, u[11])
    paint_eyes(image, head, pick(EYES, u[12]), dark)
    paint_mouth(image, head, pick(MOUTHS, u[13]), dark)
    if extra in ACCESSORIES:
        ACCESSORIES[extra](image, head, bright, -1 if u[14] < 0.5 else 1)
    if transparent:
        image[..., :3] /= np.maximum(image[..., 3:], 1e-9)  # straight alpha: edges have the colour of the animal
        image[np.round(image[..., 3] * 255) == 0] = 0
    return np.round(image * 255).astype(np.uint8)


def draw_indexed(index, size, seed=SEED, transparent=False):
    """Draws image `index` of a seed, see `draw_animal`; the same on every machine."""
    return draw_animal(np.random.Generator(np.random.PCG64([seed, index])), size, FURS, paint_panda, transparent)


def rgb(code):
    """Converts 0xRRGGBB to float64 [3] in [0, 1]."""
    return np.array([code >> 16, code >> 8 & 255, code & 255]) / 255.0


def pick(table, u):
    """Returns the entry of a table of (entry, probability) selected by u in [0, 1)."""
    for entry, probability in table:
        u -= probability
        if u < 0:
            return entry
    return table[-1][0]


def next_bright(u, sky):
    """Returns a bright colour that differs clearly from the sky."""
    colours = [rgb(c) for c in BRIGHT]
    far = [c for c in colours if np.abs(c - sky).sum() > 0.6]
    return far[int(u * len(far))]


def paint_scene(image, scene, ground, u):
    """Paints the background; u in [0, 1) shifts it."""
    whole = Frame()
    left, top, side = square_of(image)
    first_x, last_x, first_y = -left / side, (image.shape[1] - left) / side, -top / side  # edges of the image
    if scene == "sun":
        paint(image, whole, ellipse(0.5, 0.5, 0.44, 0.44), 0.45 + 0.55 * image[0, 0])
    elif scene == "hills":
        more = math.ceil(last_x - 1)  # on each side
        for shift in (1.6 * i for i in range(-more, more + 1)):
            paint(image, whole, ellipse(shift + 0.1 + 0.2 * u, 1.05, 0.55, 0.55), ground)
            paint(image, whole, ellipse(shift + 0.95, 1.1, 0.5, 0.5), 0.85 * ground)
    elif scene == "bamboo":
        for x in (first_x + 0.08 + 0.05 * u, last_x - 1 + 0.87 + 0.05 * u):
            paint(image, whole, stroke([(x, first_y - 0.1), (x, 1.1)], 0.1), ground)
            for y in (0.25 + 0.35 * i for i in range(math.floor(first_y / 0.35), 3)):
                paint(image, whole, stroke([(x - 0.045, y), (x + 0.045, y)], 0.025), 0.8 * ground)
    elif scene == "dots":
        light = 0.4 + 0.6 * image[0, 0]
        inside = [(0.1, 0.1), (0.5, 0.06), (0.9, 0.1), (0.06, 0.5), (0.94, 0.5), (0.1, 0.9), (0.9, 0.9)]
        columns = range(math.floor(first_x / 0.2), math.ceil(last_x / 0.2) + 1)
        rows = range(math.floor(first_y / 0.2), 6)
        grid = [(0.2 * i - 0.1, 0.2 * j - 0.1) for i in columns for j in rows if (i + j) % 2 == 0]
        for x, y in (*inside, *((x, y) for x, y in grid if not (0 < x < 1 and y > 0))):
            paint(image, whole, ellipse(x, y, 0.06, 0.06), light)


def paint_panda(image, head, light, dark, scarf, u):
    """Paints shoulders, head and scarf (its colour or None), with red cheeks if u < 0.6."""
    body = Frame(head.x, head.y, head.scale)  # upright
    paint(image, body, ellipse(0.0, 1.55, 1.0, 0.85), dark)
    if scarf is not None:
        paint(image, body, ellipse(0.0, 0.85, 0.85, 0.34), scarf)
        paint(image, body, stroke([(0.45, 0.95), (0.55, 1.5)], 0.3), 0.85 * scarf)
    for side in (-1, 1):
        paint(image, head, ellipse(side * 0.76, -0.7, 0.36, 0.36), dark)
    paint(image, head, ellipse(0.0, 0.0, 1.06, 0.94), light * 0.86)
    paint(image, head, ellipse(0.0, -0.04, 1.0, 0.88), light, softness=0.12)
    for side in (-1, 1):
        paint(image, head, ellipse(side * 0.43, -0.05, 0.27, 0.34, side * 0.5), dark)
        if u < 0.6:
            paint(image, head, ellipse(side * 0.7, 0.38, 0.2, 0.15), rgb(0xFF8A9A), softness=0.12)
    paint(image, head, ellipse(0.0, 0.24, 0.15, 0.1), 0.6 * dark)


def paint_eyes(image, head, look, dark):
    """Paints both eyes on their patches; `look` is a key of EYES."""
    for side in (-1, 1):
        x, y = side * 0.4, -0.06
        if look == "happy" or (look == "wink" and side == 1):
            paint(image, head, arc(x, y + 0.07, 0.14, 0.16, math.pi, 2 * math.pi, 0.09), (1.0, 1.0, 1.0))
            continue
        shift = {"left": -0.06, "right": 0.06}.get(look, 0.0)
        paint(image, head, ellipse(x, y, 0.18, 0.19), (1.0, 1.0, 1.0))
        paint(image, head, ellipse(x + shift, y + 0.01, 0.125, 0.135), 0.4 * dark)
        paint(image, head, ellipse(x + shift + 0.045, y - 0.045, 0.045, 0.045), (1.0, 1.0, 1.0))


def paint_mouth(image, head, mouth, dark):
    """Paints the mouth; `mouth` is a key of MOUTHS."""
    ink = 0.6 * dark
    if mouth == "smile":
        paint(image, head, arc(0.0, 0.36, 0.26, 0.2, 0.15 * math.pi, 0.85 * math.pi, 0.07), ink)
    elif mouth == "laugh":
        inside = both(ellipse(0.0, 0.42, 0.27, 0.32), polygon([(-1.0, 0.42), (1.0, 0.42), (1.0, 2.0), (-1.0, 2.0)]))
        paint(image, head, inside, rgb(0x8C1C2B))
        paint(image, head, both(inside, ellipse(0.0, 0.74, 0.2, 0.16)), rgb(0xFF7A88))
    elif mouth == "cat":
        for side in (-1, 1):
            paint(image, head, arc(side * 0.13, 0.38, 0.13, 0.13, 0.0, math.pi, 0.07), ink)
    else:
        paint(image, head, ellipse(0.0, 0.52, 0.1, 0.13), rgb(0x8C1C2B))


def paint_hat(image, head, bright, side):
    """Paints a party hat with a pompom, tilted to one side."""
    hat = Frame(head.x, head.y, head.scale, head.tilt + side * 0.12)
    paint(image, hat, polygon([(0.0, -1.36), (0.4, -0.78), (-0.4, -0.78)], 0.02), bright)
    paint(image, hat, stroke([(-0.38, -0.79), (0.38, -0.79)], 0.17), 0.35 * bright + 0.65)
    paint(image, hat, ellipse(0.0, -1.33, 0.13, 0.13), 0.35 * bright + 0.65)


def paint_bow(image, head, bright, side):
    """Paints a bow at one ear."""
    bow = Frame(head.x, head.y, head.scale, head.tilt + side * 0.65)
    for end in (-1, 1):
        paint(image, bow, ellipse(end * 0.25, -0.92, 0.25, 0.2, end * -0.25), bright)
    paint(image, bow, ellipse(0.0, -0.92, 0.12, 0.13), 0.75 * bright)


def paint_glasses(image, head, bright, side):
    """Paints round glasses; `side` has no effect."""
    for eye in (-1, 1):
        ring = without(ellipse(eye * 0.42, -0.06, 0.36, 0.36), ellipse(eye * 0.42, -0.06, 0.27, 0.27))
        paint(image, head, ring, bright)
    paint(image, head, arc(0.0, -0.02, 0.1, 0.08, math.pi, 2 * math.pi, 0.09), bright)


def paint_leaf(image, head, bright, side):
    """Paints a twig of bamboo held in the mouth."""
    paint(image, head, stroke([(-side * 0.1, 0.5), (side * 0.6, 0.62)], 0.08), rgb(0x3B7A1E))
    for angle, length in ((-0.35, 0.34), (0.45, 0.3)):
        x, y = side * (0.6 + length * math.cos(angle)), 0.62 + length * math.sin(angle)
        paint(image, head, ellipse(x, y, length, 0.14, side * angle), rgb(0x63C132))


ACCESSORIES = {"hat": paint_hat, "bow": paint_bow, "glasses": paint_glasses, "leaf": paint_leaf}
