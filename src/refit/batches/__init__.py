"""Batches: the format of published lists: part files, their index, digests and the pointer document."""
