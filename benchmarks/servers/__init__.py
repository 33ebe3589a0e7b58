"""Servers that answer the same question as ours, and the load that is put on all of them."""
