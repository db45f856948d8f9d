"""What Tests/Soak/run and Tests/Soak/kill are made of."""
