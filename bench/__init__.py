"""Measurements of oadrvtn, printed beside a reference loop of the same run: ``python -m bench --help``."""
