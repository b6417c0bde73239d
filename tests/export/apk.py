"""The sources of the Android package, and how it answers requests for the files of a site."""

import re
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "web" / "android"


def java_types():
    """Returns the MIME types of SiteFiles.java by the suffix of a file, "" for names without one."""
    java = (SOURCES / "java" / "gan_tf" / "web" / "SiteFiles.java").read_text(encoding="utf-8")
    table = re.search(r"TYPES = \{(.*?)\n    \};", java, re.DOTALL)[1]
    return dict(re.findall(r'\{"(\w*)", "([\w/+-]+)"\}', table))
