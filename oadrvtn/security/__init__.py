"""Who speaks, and is it true: fingerprints, certificates and TLS."""
