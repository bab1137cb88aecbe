"""Package data only: the shipped lifecycles. No code may live here."""
