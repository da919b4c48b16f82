"""What users declare: decorators, typed definitions, and the table from name to definition."""
