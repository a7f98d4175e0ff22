"""HTTP: one router a subject."""
