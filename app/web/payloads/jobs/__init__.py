"""Bodies of jobs: what is submitted, and their progress."""
