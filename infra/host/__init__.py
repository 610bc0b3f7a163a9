"""What the host must have: Java, PostgreSQL, free ports, processes that end."""
