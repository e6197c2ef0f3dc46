"""From predictions to numbers: per domain, paired, and as text."""
