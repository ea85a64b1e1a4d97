"""Experiments: one file a claim or figure of a paper; each says what the paper found and checks it.

Each is run as `python -m experiments.NAME [--quick] [--seeds K] [--backend B] [--out DIR]`.
"""
