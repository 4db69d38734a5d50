"""Where work happens: registered repositories, their bare mirrors, and facts computed from their objects."""
