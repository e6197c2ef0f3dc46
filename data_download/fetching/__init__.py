"""Downloads: terms, resuming, archives."""
