"""The tests.  Both runners, pytest and trial, import this first: here stands how hypothesis runs in both."""

from hypothesis import settings

# The same examples on every run and every machine: a red test stays red until the code is mended.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None, max_examples=50)
# Other examples each time, and many: ``python -m pytest --hypothesis-profile=explore tests/wire``.
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("fixed")
