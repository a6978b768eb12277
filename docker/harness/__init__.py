"""What the sim-in-the-loop test needs of Docker; standard library only, so it runs anywhere."""
