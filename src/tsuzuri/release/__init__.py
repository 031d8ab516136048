"""What is given away: a Hugging Face folder with its card, datasheet, thanks and license; and its proof."""
