"""The doors: MCP over stdio and HTTP, and REST. They translate; the gateway decides."""
