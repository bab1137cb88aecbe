"""The benchmark suite: `python -m tests.bench`, or `make bench`.

Each figure has a floor measured in the same run, in alternation: the cost of the same work done
bare. So the ratios hold on any machine, the times only on one.
"""
