"""Side-by-side timings: ratios measured in one run, interleaved, medians with their spread.

`python -m benchmarks` measures and writes a JSON file; `python -m benchmarks --show FILE` prints its tables.
"""
