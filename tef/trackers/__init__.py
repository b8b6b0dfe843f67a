"""Trackers: told of a finished report, last; what they hold can be rebuilt from the run folder."""

from tef.trackers.mlflow import MLflow
from tef.trackers.nowhere import Nowhere

__all__ = ["MLflow", "Nowhere"]
