"""What others take: each module runs in the peers' environment and imports nothing of ours."""
