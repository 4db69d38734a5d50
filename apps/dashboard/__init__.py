"""The people's door: pages that update by themselves."""
