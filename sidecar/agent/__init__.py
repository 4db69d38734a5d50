"""The agent: a model, some tools, a tree, and limits. Verification is the judge of what comes of it."""
