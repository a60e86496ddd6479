"""Hosted scores: a requester's encrypted features, a holder's private card."""
