"""OpenADR's messages and values as frozen classes, the errors, and the configuration."""
