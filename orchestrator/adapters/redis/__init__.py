"""The store on Redis 7.0 or newer: key names, scripts, and a class for each right."""
