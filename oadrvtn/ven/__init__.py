"""A small real VEN: the demo, the fleet simulator and the tests are made of it."""
