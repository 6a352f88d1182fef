"""The engine: what is left to do, one attempt, what follows it, and the pool."""
