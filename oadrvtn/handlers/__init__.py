"""The way of a message through the house, and the five resources that answer; users subclass these."""
