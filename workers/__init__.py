"""Worker apps: each folder is one, with `workflows`, `activities` and `app`."""
