"""Everything that proves: encryption, identities, envelopes, the log's tree."""
