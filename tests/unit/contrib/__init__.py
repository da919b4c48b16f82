"""Extensions, each with its library."""
