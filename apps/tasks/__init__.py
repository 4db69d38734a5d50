"""The work: tasks, attempts at them, and who gets which."""
