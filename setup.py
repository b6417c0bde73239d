"""Lists the packages of the distribution; pyproject.toml has everything else.

The folder `datasets/` is installed as `gan_tf_datasets`, because Hugging Face has a package `datasets`, and `web/`, the
page of the web app, as `gan_tf_web`. A table in pyproject.toml cannot both rename a folder and find the packages in it.
"""

from setuptools import find_namespace_packages, setup

CACHES = ["__pycache__", "*.__pycache__"]

setup(
    packages=[
        *find_namespace_packages(include=["gan_tf", "gan_tf.*"], exclude=CACHES),
        "gan_tf_web",
        "gan_tf_datasets",
        *("gan_tf_datasets." + name for name in find_namespace_packages("datasets", exclude=CACHES)),
    ]
)
