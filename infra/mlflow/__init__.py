"""The embedded MLflow."""
