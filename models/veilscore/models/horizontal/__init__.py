"""Horizontal training: one scorecard over rows that lie at several members.

Members hold the same columns about different entities, each with its own labels. All
they exchange are sums of vectors that every member contributes to (``ports.Sum``), so a
run is a script of sums (``script.py``): first for the bins that all share
(``bins.py``), then one for each round of training (``rounds.py``). README.md of the
folder ``models`` says who learns what of each sum.

``local_training`` and ``own_model`` import torch, ``accounting`` dp-accounting; the
rest imports neither.
"""
