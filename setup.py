"""Finds the packages; everything else about the distribution stands in pyproject.toml.

The folder `datasets/` is installed as `gan_tf_datasets`, since Hugging Face's package already has the name `datasets`.
A table in pyproject.toml cannot rename a folder and find what lies below it, and a list kept by hand would have to be
edited for every data set added.
"""

from setuptools import find_namespace_packages, setup

CACHES = ["__pycache__", "*.__pycache__"]

setup(
    packages=[
        *find_namespace_packages(include=["gan_tf", "gan_tf.*"], exclude=CACHES),
        "gan_tf_datasets",
        *("gan_tf_datasets." + name for name in find_namespace_packages("datasets", exclude=CACHES)),
    ]
)
