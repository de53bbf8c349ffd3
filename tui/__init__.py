"""HOW a person steers an environment: the command line and the console."""
