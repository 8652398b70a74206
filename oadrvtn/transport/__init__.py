"""How messages come and go: HTTP."""
