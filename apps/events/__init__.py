"""How anything changes, is remembered and is told."""
