"""The protocol as others see it: the official conformance suite, and the MCP Inspector."""
