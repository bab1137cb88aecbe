"""Environment values: secrets, masked in everything that is written, and what is kept of others.

Face: `declared`, `masking`, `private_file`, `of_run`.
May import: `disk`, `model` and below.
"""
