"""A package, so that the stack that its chapters share ends with the last of them."""
