"""One module per command or small family: ``add(parser, name)`` declares options and imports nothing heavy,
``run(args, out)`` does the work and returns the exit code."""
