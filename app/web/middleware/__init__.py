"""What every request passes through: access control, limits, timeouts, headers, audit, metrics.

Read `guard.py` first, then `guarded_route.py`.
"""
