"""The command line, thin over the client; needs the extra `cli`."""
