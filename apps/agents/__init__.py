"""Who works, and who may: agents, tokens, enrolment, presence."""
