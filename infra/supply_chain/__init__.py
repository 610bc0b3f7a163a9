"""What Refit is made of: locked packages, whether the installed files are theirs, and what is known against them."""
