"""Paillier encryption, the only importer of ``phe``: integers in, integers out.

``public`` is what a peer or the coordinator may hold, ``private`` what only the owner
holds; ``workers`` runs the heavy work of both in other processes.
"""
