"""Tests of what Benchmarks/run makes of its figures."""
