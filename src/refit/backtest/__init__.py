"""Backtest: what a drift policy would have done on past weeks, judged by the models it would have served."""
