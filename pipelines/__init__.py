"""Steps: *what* is done to which data, one command each. They know addresses but no schedule."""
