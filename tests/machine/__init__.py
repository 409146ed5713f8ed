"""The whole product under random days of several tenants: what must hold holds after every step."""
