"""What tests share: an in-process server, a clock whose hands they move, XML to compare."""
