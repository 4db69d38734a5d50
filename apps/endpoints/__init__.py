"""Who can think for us: models, where they are, and which tier of work goes to which of them."""
