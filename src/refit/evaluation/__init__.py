"""Evaluation: models are judged on what people did next, compared with intervals, and proposed or refused."""
