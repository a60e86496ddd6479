"""What the web pages and REST interfaces of node and coordinator have in common."""
