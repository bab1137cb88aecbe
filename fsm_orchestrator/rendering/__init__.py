"""Pictures and pages.

Face: `diagram`, `html`.
May import: `explanation`, `inspection`, `lifecycle` and below, not `engine`.
"""
