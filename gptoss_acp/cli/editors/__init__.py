"""The editors that can start this agent: which are on the machine, and what each has to be told."""
