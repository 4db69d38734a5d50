"""The first ten minutes: a sample repository and a handful of tasks, for real."""
