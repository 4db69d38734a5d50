"""Who thinks: one file for each kind of endpoint."""
