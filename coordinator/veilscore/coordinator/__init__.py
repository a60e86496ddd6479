"""What runs the rounds, relays envelopes and keeps the log; it sees no data."""
