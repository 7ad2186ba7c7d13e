"""What a model is: declaration, symbols, parameters, checks, vocabulary of outputs."""
