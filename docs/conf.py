"""Sphinx: ``sphinx-build -W -b html docs docs/_build``."""

from importlib.metadata import version as installed

project = "oadrvtn"
author = "The oadrvtn authors"
release = version = installed("oadrvtn")
exclude_patterns = ["_build"]
html_theme = "alabaster"
