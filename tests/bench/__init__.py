"""The benchmark suite: `python -m tests.bench`, or `make bench`.

Each figure stands next to a floor measured in the same run, in alternation: what the same work
costs done bare. So the ratios tell something on any machine, the times only on one.
"""
