"""A run as one HTML page, as Markdown, as JSON and as the last lines of a terminal."""
