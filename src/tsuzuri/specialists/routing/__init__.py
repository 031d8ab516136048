"""Who answers: a text's first characters to the specialist whose domain they are of."""
