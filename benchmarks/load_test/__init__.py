"""A load test of any server, by locust: `make load-test`.

`traffic.py` says what a client does, `__main__.py` runs more and more clients and prints what the
server could take. It knows the server by HTTP alone, and runs in an environment of its own.
"""
