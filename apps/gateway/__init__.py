"""The sidecars' door: their socket and their git."""
