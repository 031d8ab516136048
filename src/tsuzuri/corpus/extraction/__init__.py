"""HTML to text: whole pages (`page`), the main text of web pages (`main_text`), and what they say of
themselves (`facts`)."""
