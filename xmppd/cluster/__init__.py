"""What nodes tell one another: the session registry and the bus."""
