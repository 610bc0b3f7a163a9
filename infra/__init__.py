"""The embedded stack: Airflow, MLflow and a small S3 server as ordinary processes of one person."""
