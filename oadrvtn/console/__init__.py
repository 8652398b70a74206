"""What the utility's people and programs use: the API, the metrics, and the client that the CLI speaks through."""
