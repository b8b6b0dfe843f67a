"""Test and experiment with AI for cancer imaging: sealed models, held-out cohorts, evidence that can be checked."""

__version__ = "0.1.0"
