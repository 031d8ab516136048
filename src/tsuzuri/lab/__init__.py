"""What training will take and cost before it is begun. Rests on training; imports no torch but to measure."""
