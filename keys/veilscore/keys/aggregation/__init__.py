"""Secure aggregation: a sum of vectors of which nobody sees a single one.

The protocol of Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving
Machine Learning", CCS 2017, figure 4, with signed keys and the round of agreement that
an active server needs (section 6). One more mask, which all members know and the
aggregator does not, keeps the sum from the aggregator too.

``Member`` and ``Aggregator`` are its two roles, ``Terms`` what both are told first.
"""
