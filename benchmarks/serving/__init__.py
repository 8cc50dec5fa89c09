"""The web page and the server as processes of their own, under many requests."""
