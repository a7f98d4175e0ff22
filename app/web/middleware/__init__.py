"""What every request passes through: access, limits, timeouts, headers, logging, metrics."""
