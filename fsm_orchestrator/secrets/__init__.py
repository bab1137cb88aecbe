"""Environment values: masked in everything that is written, kept in one private file.

Face: `masking`, `private_file`, `of_run`.
May import: `disk`, `model` and below.
"""
