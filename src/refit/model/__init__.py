"""The model as plain data: the factors of items and the weights between items."""
