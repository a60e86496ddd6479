"""What outlives a log: evidence of a request or a run, and of a log that has lied."""
