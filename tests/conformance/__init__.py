"""Clients of the Open Inference Protocol, unchanged, against a real server: `make conformance`.

Each client has an environment of its own, since their requirements exclude each other and ours.
"""
