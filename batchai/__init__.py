"""A resumable batch-processing engine for LLM APIs."""

__version__ = "0.1.0"
