"""What is given away: a Hugging Face folder with card, datasheet, thanks, license, checksums; and its proof."""
