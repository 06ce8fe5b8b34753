"""Reading from replicas: which there are, how they are, and which one is read from."""
