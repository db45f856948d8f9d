"""What Tests/Digests/run is made of."""
