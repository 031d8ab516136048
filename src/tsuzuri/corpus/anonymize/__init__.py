"""Personal data in Japanese text: found by rules that check what they can, then masked, replaced or kept."""
