"""Tool specs, and the tools that are made of them."""
