"""What thinking costs: reserved before a call, settled after it, never more than an operator allows."""
