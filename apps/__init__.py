"""The rooms of the hub; they look down only (docs/house.md)."""
