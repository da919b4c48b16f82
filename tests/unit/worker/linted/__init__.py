"""A package of workflows that the check reads. A comment `# ! name` on a line is what must be found
there, and nothing else may be found."""
