"""Side-by-side timings: ratios measured in one run, interleaved, medians with their spread."""
