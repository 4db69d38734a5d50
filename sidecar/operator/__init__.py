"""`agentcom`: a hub from the command line, for the people who give it work. It speaks REST and nothing else."""
