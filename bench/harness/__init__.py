"""What benchmarks share: places, process trees, data and an S3 server."""
