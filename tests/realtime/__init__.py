"""What depends on real time and on the interpreter: threads that block, signals, processes."""
