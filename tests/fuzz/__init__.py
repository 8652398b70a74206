"""Documents of somebody who wants to do harm, by the million: ``python -m tests.fuzz --help``."""
