"""All parties of one TOML file as separate processes on one machine."""
