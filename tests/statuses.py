"""The HTTP status of every error code: contract section 9, copied by hand."""

HTTP_STATUS = {
    "INVALID_INPUT": 400,
    "UNAUTHORIZED": 401,
    "USAGE_LIMIT_EXCEEDED": 402,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "TIMEOUT": 408,
    "NOT_CONFIGURED": 409,
    "DISABLED": 409,
    "NOT_DEPLOYED": 409,
    "CONFLICT": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "RATE_LIMIT_EXCEEDED": 429,
    "EXECUTION_ERROR": 500,
    "SIM_UNAVAILABLE": 502,
    "CIRCUIT_OPEN": 503,
    "OUTCOME_UNKNOWN": 504,
}
